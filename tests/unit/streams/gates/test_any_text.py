"""Whatever the text, the gates neither raise nor take a time that grows with its square."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.curation import Gating, Policing, Strict
from streams.gates import candidate
from streams.stages.gate import Gates
from tests.candidates import mine, normalised

DEFAULT = Gates(Gating(policy=Policing(terms={"a": ("b c",)}, scope="both")))
STRICT = Gates(mine(Strict, format="^S", languages=("en",), drop_truncated="suspected"))
CHARS = 200_000
TOO_LONG_S = 2.5
"""What takes the square of 200,000 characters takes minutes."""

ODD = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x00\x1b\u0301\u202e\ufeff\ud7ff@<>0 \n."))


@given(ODD.filter(str.strip), ODD.filter(str.strip))
def test_the_gates_never_raise(prompt: str, answer: str) -> None:
    try:
        sample = normalised(f"a{answer}", f"q{prompt}")
    except AssertionError:
        return  # normalise left nothing of it
    for gates in (DEFAULT, STRICT):
        verdict = gates(sample)
        assert verdict == gates(sample)
        assert gates.explain(verdict)


@pytest.mark.parametrize(
    "piece",
    ["a", "a ", "1", "1 ", "1-", "+1 ", "(1", "a@", "a@a.", "@", "A", "A1", "Ab ", "a, B", "<A_1>", "<", "sk-", "eyJ",
     "\u0301", "é", "一", "\x00", "\n", "- \n", "```", "-----BEGIN ", "GB82 ", "4111 ", "i won't ", "b c ", "1.", "_"],
)  # fmt: skip
def test_the_time_is_bounded_for_two_hundred_thousand_characters_of(piece: str) -> None:
    text = (piece * CHARS)[: CHARS - 2]
    sample = normalised(f"x{text}x", "Why?")
    facts = candidate(sample)
    took: dict[str, float] = {}
    for gate in (*DEFAULT.gates, *STRICT.gates):
        start = time.process_time()
        gate.judge(facts)
        took[gate.name] = max(took.get(gate.name, 0.0), time.process_time() - start)
    assert max(took.values()) < TOO_LONG_S, max(took, key=took.__getitem__)
