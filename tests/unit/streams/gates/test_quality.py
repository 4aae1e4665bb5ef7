"""The quality gates: both sides of each threshold, and what each measures."""

from __future__ import annotations

from typing import Literal

import pytest

from schemas.curation import Default
from schemas.events import Message, Score, ToolCall
from schemas.reasons import Reason
from streams.gates import words_of
from streams.gates.form import Format, SystemPrompt
from streams.gates.grounding import MANY, Grounding
from streams.gates.length import Length, LowSignal, Words
from streams.gates.markers import Hallucination, Refusal
from streams.gates.repetition import Repetition
from streams.gates.truncation import Truncated
from streams.stages.join import Scored
from tests.candidates import THUMB, judged

CALL = Message("assistant", None, tool_calls=(ToolCall("search", "{}"),))
SENTENCE = (
    "The quick brown fox jumps over the lazy dog while seven wizards mix potent brews in a jar, one after another, "
)


@pytest.mark.parametrize(("count", "reason"), [(2, Reason.TOO_SHORT), (3, None), (5, None), (6, Reason.TOO_LONG)])
def test_an_answer_has_at_least_and_at_most_so_many_words(count: int, reason: Reason | None) -> None:
    gate = Words(Default(min_words=3, max_words=5))
    assert gate.judge(judged("w " * count)).reason == reason
    assert gate.judge(judged(CALL)).passed


@pytest.mark.parametrize(("value", "grade"), [(2, 0), (3, 1), (5, 1), (6, 0)])
def test_the_words_that_fit_are_graded(value: int, grade: float) -> None:
    assert Words(Default(fit_words=(3, 5))).grade(value) == grade


def test_words_of_a_script_without_spaces_are_its_characters() -> None:
    assert words_of("你好 world") == ["你", "好", "world"]
    assert words_of("naïve café") == ["naïve", "café"]


def test_length_counts_the_system_prompt_too() -> None:
    gate = Length(Default(max_chars=10))
    assert gate.judge(judged("abc", "def", system="ghi")).passed  # and a line break between the two
    assert gate.judge(judged("abcd", "def", system="ghi")).reason == Reason.TOO_LONG


def test_signal_counts_different_words_and_signs_alone_say_nothing() -> None:
    gate = LowSignal(Default())
    values = [gate.judge(judged(answer)).value for answer in ("yes", "yes yes yes", "yes no", "?! …")]
    assert values == [1.0, 1.0, 2.0, 0.0]
    assert [gate.grade(value) for value in (0, 1, 20, 500)] == [0.0, 0.2, 1.0, 1.0]
    assert gate.judge(judged(CALL)).value is None


def test_a_format_drops_only_where_it_is_required() -> None:
    graded, required = Format(Default(format="^Dear")), Format(Default(format="^Dear", require_format=True))
    assert required.judge(judged("Dear Sir")).passed
    assert required.judge(judged("Oh dear")).reason == Reason.BAD_FORMAT
    missed = graded.judge(judged("Oh dear"))
    assert (missed.passed, missed.value) == (True, 0.0)
    assert Format(Default()).judge(judged()).value is None
    assert required.judge(judged(CALL)).passed


def test_a_system_prompt_is_seen_unless_it_is_empty() -> None:
    values = [SystemPrompt().judge(judged(system=system)).value for system in (None, "  ", "Be kind.")]
    assert values == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ("As an AI, I cannot verify this.", 2),
        ("AS AN AI language model", 1),
        ("I don’t have access to it", 1),
        ("He was an aide and an aim", 0),
        ("I know.", 0),
    ],
)
def test_hallucination_markers_are_whole_words_in_any_case_with_any_apostrophe(answer: str, count: int) -> None:
    assert Hallucination(Default()).judge(judged(answer)).value == count


def test_a_refusal_refuses_at_its_beginning() -> None:
    gate = Refusal(Default())
    assert gate.judge(judged("I’m sorry, but I can’t help with that.")).value == 1.0
    assert gate.judge(judged(f"{'He said no. ' * 30} I can't help it.")).value == 0.0
    assert (gate.grade(0), gate.grade(2)) == (1.0, 0.0)


def test_names_and_numbers_count_that_the_prompt_has_not_each_once() -> None:
    gate = Grounding()
    outcome = gate.judge(judged("In 1912 the ship met Smith, and Smith met Jones in 1912.", "Who was Jones?"))
    assert (outcome.value, outcome.detail, outcome.passed) == (2.0, "1 names, 1 numbers", True)
    assert gate.judge(judged("Yes, it was Jones in 1912.", "Jones, 1912?")).value == 0.0
    assert gate.judge(judged("However it was. They said so.")).value == 0.0
    assert [gate.grade(value) for value in (0, MANY / 2, MANY, 5 * MANY)] == [1.0, 0.5, 0.0, 0.0]


def test_ungrounded_names_and_numbers_alone_never_drop() -> None:
    assert Grounding().judge(judged(" ".join(map(str, range(500))))).passed


def test_an_extreme_share_of_repetition_drops() -> None:
    gate = Repetition(Default())
    assert gate.judge(judged(SENTENCE)).value == 0.0
    twice = gate.judge(judged(SENTENCE * 2))
    assert twice.passed
    assert twice.value is not None
    assert 0.4 < twice.value < 0.6
    assert gate.judge(judged(SENTENCE * 10)).reason == Reason.REPETITION
    assert gate.judge(judged("a" * 500)).reason == Reason.REPETITION
    assert gate.judge(judged("哈" * 500)).reason == Reason.REPETITION


def test_repetition_is_dropped_above_the_limit_only() -> None:
    text = " ".join([*map(str, range(23)), *(["x"] * 23)])  # 43 runs of four words, of which 19 came before
    assert Repetition(Default()).judge(judged(text)).value == 0.4419
    assert Repetition(Default(max_repetition=0.4419)).judge(judged(text)).passed
    assert not Repetition(Default(max_repetition=0.4418)).judge(judged(text)).passed


def test_lines_that_come_again_are_repetition_even_if_few_words_are() -> None:
    lines = "\n".join(["one two three", "four five six", "seven eight nine", "ten eleven twelve"] * 4)
    value = Repetition(Default()).judge(judged(lines)).value
    assert value is not None
    assert value > 0.7


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (SENTENCE * 2 + "and th", 0.5),
        (SENTENCE * 2, 0.5),
        (SENTENCE * 2 + "done.", 0.0),
        (SENTENCE * 2 + 'and "so"', 0.0),
        (SENTENCE * 2 + "so:\n- one\n- two", 0.0),
        (SENTENCE * 2 + "so:\n```\ncode\n", 0.5),
        (SENTENCE * 2 + "so:\n```\ncode\n```", 0.0),
        (SENTENCE * 2 + "完了", 0.0),
        ("A title without a stop", 0.0),
    ],
)
def test_a_long_answer_that_stops_within_a_sentence_is_suspected(answer: str, value: float) -> None:
    assert Truncated(Default()).judge(judged(answer)).value == value


@pytest.mark.parametrize(
    ("drops", "cut", "suspected"), [("known", False, True), ("suspected", False, False), ("never", True, True)]
)
def test_what_the_model_says_is_cut_drops_and_what_looks_so_if_asked(
    drops: Literal["known", "suspected", "never"], cut: bool, suspected: bool
) -> None:
    gate = Truncated(Default(drop_truncated=drops))
    assert gate.judge(judged("Because", finish_reason="length")).passed == cut
    assert gate.judge(judged(SENTENCE * 2)).passed == suspected
    assert gate.judge(judged("Because", finish_reason="stop")).passed


def test_what_a_person_wrote_is_not_cut() -> None:
    better = (THUMB, Scored(Score("correction", text="Because it rains."), 2, "better"))
    assert Truncated(Default()).judge(judged("Because", scores=better, finish_reason="length")).passed
