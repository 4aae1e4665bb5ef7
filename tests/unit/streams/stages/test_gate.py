"""gate: profiles, both sides of the hard limits, every outcome kept, and why in words."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.curation import Curation, Default, Gating, Policing, Strict
from schemas.events import Message, ToolCall
from schemas.reasons import Reason
from streams.errors import SettingError
from streams.redaction import policy
from streams.stages import Drop, Keep
from streams.stages.gate import Gates
from tests.candidates import dropped, kept, mine, normalised, outcome

DEFAULT = Gates()
STRICT = Gates(Gating("strict"))
CALL = Message("assistant", None, tool_calls=(ToolCall("search", '{"q": "rain"}'),))
MAX_CHARS = Default().max_chars


def words(count: int) -> str:
    """So many words, all different."""
    return " ".join(f"word{place}" for place in range(count)) + "."


def test_one_word_is_enough_in_the_default_profile_and_needs_no_system_prompt() -> None:
    gated = kept(DEFAULT(normalised("Because.")))
    assert gated.quality == 0.6
    assert gated.profile == "default"


def test_quality_grows_with_what_is_said_up_to_twenty_different_words() -> None:
    qualities = [kept(DEFAULT(normalised(words(count)))).quality for count in (1, 2, 10, 19, 20, 40)]
    assert qualities == sorted(qualities)
    assert qualities[-3] < qualities[-2] == qualities[-1]


def test_all_outcomes_are_recorded_for_accepted_and_rejected_alike_safety_first() -> None:
    accepted = kept(DEFAULT(normalised("Because."))).gates
    refused = dropped(DEFAULT(normalised("Because.", sensitive=True))).gates
    names = ["consent", "pii", "residual_pii", "policy_model", "length", "truncated", "repetition", "language"]
    names += ["hallucination", "refusal", "grounding", "low_signal", "quality"]
    assert [each.gate for each in accepted] == names
    assert [each.gate for each in refused] == names
    assert [each.family for each in refused] == ["safety"] * 4 + ["quality"] * 9
    assert [each.passed for each in refused] == [False] + [True] * 12
    assert [each.passed for each in accepted] == [True] * 13


def test_a_gate_runs_that_can_drop_or_counts_in_the_profile_and_no_other() -> None:
    idle = {"policy", "format", "words", "system_prompt"}
    assert not idle & {gate.name for gate in DEFAULT.gates}
    assert idle - {gate.name for gate in STRICT.gates} == {"policy"}
    mine = Default(min_words=1, format="x", require_format=True)
    gates = Gates(Gating(profile="mine", profiles={"mine": mine}, policy=Policing(terms={"marks": ("qzxj",)})))
    assert idle - {gate.name for gate in gates.gates} == {"system_prompt"}


def test_a_safety_reason_goes_before_a_quality_reason() -> None:
    long = normalised("b" * (MAX_CHARS + 1), sensitive=True)
    verdict = dropped(DEFAULT(long))
    assert verdict.reason == Reason.CONSENT_MISSING
    assert outcome(verdict, "length").reason == Reason.TOO_LONG


def test_sensitive_content_needs_an_explicit_yes() -> None:
    assert dropped(DEFAULT(normalised(sensitive=True))).reason == Reason.CONSENT_MISSING
    kept(DEFAULT(normalised(sensitive=True, consent=True)))
    kept(DEFAULT(normalised()))


def test_the_longest_sample_passes_and_one_character_more_does_not() -> None:
    assert isinstance(DEFAULT(normalised("b", "a" * (MAX_CHARS - 1))), Keep)
    assert dropped(DEFAULT(normalised("b", "a" * MAX_CHARS))).reason == Reason.TOO_LONG


def test_a_sample_that_held_a_barred_type_is_dropped_and_one_with_another_passes() -> None:
    barred = Gates(redaction=policy.parse(["US_SSN=drop"]))
    verdict = dropped(barred(normalised(pii={"US_SSN": 1, "URL": 2})))
    assert verdict.reason == Reason.PII_BARRED
    assert outcome(verdict, "pii").detail == "US_SSN"
    assert outcome(barred(normalised(pii={"URL": 2})), "pii").value == 2.0


# --- profiles ---


def by_the_seeds(system: bool, answer: str, pattern: str | None) -> float:
    """The criteria of the seeds' `FineTuningDataPipeline`, as their page tells them."""
    markers = ("i don't have access to", "i cannot verify", "as an ai", "i don't know your", "i'm not sure which")
    return sum(
        (
            0.2 if system else 0,
            0.3 if 50 <= len(answer.split()) <= 1_000 else 0,
            0 if any(marker in answer.lower() for marker in markers) else 0.3,
            0.2 if pattern is None or re.search(pattern, answer) else 0,
        )
    )


@given(
    system=st.booleans(),
    count=st.sampled_from([1, 49, 50, 51, 400, 1_000, 1_001]),
    marker=st.sampled_from(["", "As an AI, ", "I cannot verify it. ", "I'm not sure which one. ", "An aim. "]),
    pattern=st.sampled_from([None, "^Subject:", "word0"]),
    head=st.sampled_from(["", "Subject: "]),
)
def test_strict_agrees_with_the_seeds(system: bool, count: int, marker: str, pattern: str | None, head: str) -> None:
    answer = f"{head}{marker}{words(max(1, count - len(f'{head}{marker}'.split())))}"
    wanted = by_the_seeds(system, answer, pattern)
    verdict = Gates(mine(Strict, format=pattern))(normalised(answer, system="Be kind." if system else None))
    assert outcome(verdict, "quality").value == pytest.approx(wanted)
    assert isinstance(verdict, Keep) == (wanted >= 0.75)


def test_strict_keeps_at_its_threshold_and_drops_below_with_every_outcome() -> None:
    assert kept(STRICT(normalised(words(50)))).quality == 0.8
    verdict = dropped(STRICT(normalised(words(49), system="Be kind.")))
    assert verdict.reason == Reason.LOW_QUALITY
    assert outcome(verdict, "quality").value == 0.7
    assert [each.gate for each in verdict.gates if not each.passed] == ["quality"]


@pytest.mark.parametrize(("threshold", "passes"), [(0.6, True), (0.600001, False)])
def test_a_profile_has_its_own_threshold(threshold: float, passes: bool) -> None:
    verdict = Gates(mine(threshold=threshold))(normalised("Because."))
    assert isinstance(verdict, Keep) == passes


def test_weights_of_ones_own_are_a_weighted_mean() -> None:
    gates = Gates(mine(Strict, weights={"system_prompt": 1, "words": 3}, threshold=0))
    assert kept(gates(normalised("Because.", system="Be kind."))).quality == 0.25
    assert kept(gates(normalised(words(50)))).quality == 0.75
    assert kept(Gates(mine(weights={}))(normalised())).quality == 1.0
    assert kept(Gates(mine(weights={"words": 0}))(normalised())).quality == 1.0


def test_an_answer_of_tool_calls_alone_is_no_worse_for_saying_nothing() -> None:
    assert kept(DEFAULT(normalised(CALL))).quality == 1.0
    assert kept(STRICT(normalised(CALL))).quality == 0.8
    required = Gates(mine(Strict, format="^Subject:", require_format=True, min_words=5))
    assert isinstance(required(normalised(CALL)), Keep)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"profile": "mine"}, "there is no profile 'mine': default, strict - at `$.gates`"),
        ({"profiles": {"strict": {"extends": "strict"}}}, "profile 'strict' is built in"),
        ({"profiles": {"mine": {}}}, "missing required field `extends`"),
        ({"profiles": {"mine": {"extends": "lax"}}}, "Invalid value 'lax'"),
        ({"profiles": {"mine": {"extends": "default", "format": "("}}}, "is no regular expression"),
        ({"profiles": {"mine": {"extends": "default", "require_format": True}}}, "require_format needs a format"),
        ({"profiles": {"mine": {"extends": "default", "weights": {"charm": 1}}}}, "Invalid enum value 'charm'"),
        ({"profiles": {"mine": {"extends": "default", "weights": {"words": -1}}}}, "Expected `float` >= 0"),
        ({"profiles": {"mine": {"extends": "default", "threshold": 2}}}, "Expected `float` <= 1"),
        ({"profiles": {"mine": {"extends": "default", "fit_words": [9, 3]}}}, "fit_words must be from, to"),
        ({"profiles": {"mine": {"extends": "default", "min_words": 9, "max_words": 3}}}, "min_words is more than"),
        ({"profiles": {"mine": {"extends": "default", "refusal_markers": [" "]}}}, "a marker is empty"),
        ({"profiles": {"mine": {"extends": "default", "languages": ["English"]}}}, "matching regex"),
        ({"policy": {"classifier": None, "threshold": 0.5}}, "threshold needs a classifier"),
        ({"policy": {"scope": "all"}}, "Invalid enum value 'all'"),
        ({"models": []}, "unknown field `models`"),
    ],
)
def test_what_is_wrong_in_the_curation_file_is_said(said: dict[str, object], problem: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=re.escape(problem)):
        msgspec.convert({"gates": said}, Curation)


def test_a_profile_extends_a_built_in_one() -> None:
    said = {"gates": {"profile": "mine", "profiles": {"mine": {"extends": "strict", "format": "^Subject:"}}}}
    profile = msgspec.convert(said, Curation).gates.chosen
    assert (profile.threshold, profile.format) == (0.75, "^Subject:")


def test_the_hash_of_the_curation_tells_two_profiles_apart() -> None:
    hashes = {Curation(gates=gates).rules() for gates in (Gating(), Gating("strict"), mine(), mine(min_words=1))}
    assert len(hashes) == 4


# --- why, in words ---


def test_why_is_told_in_words_for_what_passed_and_what_did_not() -> None:
    lines = STRICT.explain(STRICT(normalised("As an AI, I guess.", system="Be kind.")))
    assert lines[-1] == "dropped: low_quality"
    assert "quality words: passed; 5 words of the answer; wanted: 50 to 1000, at least 0, at most any; grade 0 of 1 " \
        "counts 0.3 of 1" in lines  # fmt: skip
    assert "quality quality: not passed (low_quality); 0.4; wanted: at least 0.75" in lines
    lines = DEFAULT.explain(DEFAULT(normalised("Because it rains.")))
    assert len(lines) == 14
    assert lines[-1].startswith("kept: quality 0.6")


def test_why_is_told_of_a_stage_before_the_gates_too() -> None:
    assert DEFAULT.explain(Drop(Reason.CONSENT_WITHDRAWN)) == ["dropped: consent_withdrawn"]


@given(st.text(max_size=60))
def test_no_outcome_and_no_explanation_quotes_the_text(secret: str) -> None:
    marked = f"qzxj{secret}qzxj 4111 1111 1111 1111 qzxj@example.com"
    gates = Gates(Gating(policy=Policing(terms={"marks": ("qzxj",)})))
    verdict = gates(normalised(marked, marked))
    assert "qzxj" not in msgspec.json.encode(dropped(verdict).gates).decode()
    assert "qzxj" not in "".join(gates.explain(verdict))


def test_a_list_whose_file_was_not_read_is_an_error() -> None:
    with pytest.raises(SettingError, match="was not read"):
        Gates(Gating(policy=Policing(terms={"weapons": "weapons.txt"})))
