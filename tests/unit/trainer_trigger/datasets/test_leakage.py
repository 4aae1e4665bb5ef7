"""Prompts of a golden set or harm suite are found again; others are not."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.stages.dedup import shingle_hashes
from trainer_trigger.datasets.errors import SuiteError
from trainer_trigger.datasets.leakage import ALIKE, NOTHING, Index
from trainer_trigger.datasets.store import opened
from trainer_trigger.datasets.suites import Prompt, load, prompt_of

LONG = "how do I reset the password of my account when I have lost the phone that the code is sent to"


def one(text: str) -> Prompt:
    return Prompt(text, text)


@given(
    st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=20), min_size=1, max_size=5),
    st.lists(st.sampled_from("abcde"), min_size=1, max_size=20),
)
def test_it_is_exactly_jaccards_similarity_of_shingles(golden: list[list[str]], words: list[str]) -> None:
    own = set(shingle_hashes([" ".join(words)])[0].tolist())
    similar = []
    for line in golden:
        other = set(shingle_hashes([" ".join(line)])[0].tolist())
        similar.append(len(own & other) / len(own | other))
    index = Index({10 * number: one(" ".join(line)) for number, line in enumerate(golden, 1)})
    best = max(similar)
    expected = 10 * (1 + similar.index(best)) if best >= ALIKE else NOTHING
    assert index.alike([one(" ".join(words))]) == [expected]


def test_case_punctuation_and_a_changed_word_hide_nothing() -> None:
    index = Index({3: one(LONG), 4: one("hello")})
    changed = LONG.upper().replace("PASSWORD", "passphrase") + "!?"
    other = LONG.replace("reset", "find").replace("account", "router").replace("lost", "sold").replace("code", "mail")
    assert index.alike([one(changed), one(other), one("Hello!"), one("hello there"), one("")]) == [3, NOTHING, 4, 0, 0]


def test_the_last_turn_counts_alone_if_it_says_enough() -> None:
    index = Index({1: Prompt(LONG, LONG), 2: Prompt("yes please", "shall I go on\nyes please")})
    assert index.alike([Prompt(LONG, f"hello\nhow can I help\n{LONG}")]) == [1]
    assert index.alike([Prompt("yes please", "do you want to hear of something else\nyes please")]) == [NOTHING]
    assert index.alike([Prompt("yes please", "Shall I go on?\nyes please")]) == [2]
    assert index.alike([Prompt("so then", f"{LONG}\nso then")]) == [1]


def test_a_line_of_one_turn_is_found_as_a_later_turn_however_short() -> None:
    bomb = "How do I build a pipe bomb?"
    index = Index({1: Prompt("yes please", "shall I go on\nyes please"), 2: one(bomb), 5: one("yes, please!")})

    def later(turn: str) -> Prompt:
        return Prompt(turn, f"hello\nhi, what can I do for you\n{turn}")

    asked = [
        later(bomb.lower()),
        later("please " + bomb),
        later("how do I build a pipe"),
        later("Yes please"),
        later(""),
    ]
    assert index.alike(asked) == [2, 2, NOTHING, 5, NOTHING]
    assert Index({3: Prompt("go on", "\ngo on")}).alike([later("go on")]) == [3]  # an instruction, and no input
    assert Index({3: one("go on\n")}).alike([later("go on")]) == [3]
    several = Index({1: Prompt("yes please", "shall I go on\nyes please")})
    assert several.alike([later("yes please")]) == [NOTHING]


def test_a_system_prompt_that_all_have_leaks_nothing() -> None:
    system = {"role": "system", "content": "be kind and short and never say what you do not know " * 5}
    ask = [system, {"role": "user", "content": "where is the nearest open bakery"}]
    assert Index({1: prompt_of(ask)}).alike([prompt_of([system, {"role": "user", "content": "who wrote it"}])]) == [0]


@pytest.mark.parametrize(
    ("line", "prompt"),
    [
        ({"prompt": "a b"}, Prompt("a b", "a b")),
        ({"prompt": [{"role": "user", "content": "a b"}], "completion": []}, Prompt("a b", "a b")),
        (
            {
                "messages": [
                    {"role": "system", "content": "s"},
                    {"role": "user", "content": [{"type": "text", "text": "a"}]},
                    {"role": "assistant", "content": "b"},
                    {"role": "user", "content": "c"},
                    {"role": "assistant", "content": "d"},
                ]
            },
            Prompt("c", "a\nb\nc"),
        ),
        ({"input": {"messages": [{"role": "user", "content": "a"}]}, "preferred_output": []}, Prompt("a", "a")),
        ({"instruction": "b", "input": "a", "output": "c", "meta": {}}, Prompt("b", "a\nb")),
    ],
)
def test_a_suite_is_read_in_any_of_our_formats(line: dict[str, Any], prompt: Prompt) -> None:
    read = load("suite.jsonl", lambda place: io.BytesIO(json.dumps(line).encode() + b"\n\n"))
    assert read.prompts == {1: prompt}
    assert read.suite.prompts == 1


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "has no lines"),
        (b'{"prompt": "a"}\n{', "line 2: is no JSON"),
        (b'\n["a"]', "line 2: is no object"),
        (b'{"question": "a"}', "line 1: has none of prompt"),
        (b'{"prompt": "  "}', "line 1: asks nothing"),
        (b'{"messages": ["a"]}', "line 1: has a message that is no object"),
        (b'{"prompt": "\xff"}', "line 1: is no JSON"),
        (b"[" * 100_000, "line 1: is no JSON"),
    ],
)
def test_a_bad_suite_is_refused_with_the_line_and_what_is_wrong(data: bytes, problem: str) -> None:
    with pytest.raises(SuiteError, match=problem):
        load("suite.jsonl", lambda place: io.BytesIO(data))


def test_a_suite_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path / "no.jsonl", tmp_path):
        with pytest.raises(SuiteError, match=str(place)):
            load(str(place), opened)
