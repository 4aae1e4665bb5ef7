"""normalise: one form for all interactions, placeholders numbered."""

from __future__ import annotations

import unicodedata

import pytest

from schemas.events import ContentPart, Interaction, Message, Review, Score, ToolCall
from schemas.reasons import Reason
from streams.stages import Drop, Keep
from streams.stages.join import Joined, Scored
from streams.stages.normalise import Normalised, normalise, tidy
from tests.events import interaction

UP = Scored(Score("thumbs", value=1.0), 1, "thumb")


def _joined(body: Interaction, *scores: Scored, review: Review | None = None) -> Joined:
    return Joined(body, scores or (UP,), review, None, {})


def _normalised(joined: Joined) -> Normalised:
    verdict = normalise(joined)
    assert isinstance(verdict, Keep)
    return verdict.record


def _reason(joined: Joined) -> Reason:
    verdict = normalise(joined)
    assert isinstance(verdict, Drop)
    return verdict.reason


def test_a_single_turn_is_instruction_and_output() -> None:
    sample = _normalised(_joined(interaction("Why?", "Because.")))
    assert (sample.instruction, sample.input, sample.output, sample.origin) == ("Why?", "", "Because.", "unknown")


def test_earlier_turns_and_the_system_prompt_become_the_input() -> None:
    turns = (
        Message("system", "Be kind."),
        Message("user", "Hi"),
        Message("assistant", "Hello"),
        Message("user", "Why?"),
        Message("assistant", "Because."),
    )
    sample = _normalised(_joined(Interaction(turns)))
    assert sample.instruction == "Why?"
    assert sample.input == "system: Be kind.\nuser: Hi\nassistant: Hello"
    assert sample.messages == turns


def test_a_correction_becomes_the_output_and_the_original_the_rejected_one() -> None:
    correction = Scored(Score("correction", text="Better."), 2, "edit")
    sample = _normalised(_joined(interaction("Why?", "Because."), UP, correction))
    assert (sample.output, sample.rejected_output, sample.origin) == ("Better.", "Because.", "human")
    assert sample.messages[-1] == Message("assistant", "Better.")


def test_the_latest_correction_counts_and_a_review_s_edit_above_all() -> None:
    corrections = [Scored(Score("correction", text=text), at, text) for at, text in enumerate(("one", "two"))]
    assert _normalised(_joined(interaction("a", "b"), *corrections)).output == "two"
    edited = _joined(interaction("a", "b"), *corrections, review=Review("edit", output="three"))
    assert _normalised(edited).output == "three"


def test_a_demonstration_stands_in_for_a_missing_answer() -> None:
    shown = Scored(Score("demonstration", text="Like this."), 2, "show")
    sample = _normalised(_joined(Interaction((Message("user", "How?"),)), shown))
    assert (sample.output, sample.rejected_output) == ("Like this.", None)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (interaction("Why?", "  \n"), Reason.EMPTY_OUTPUT),
        (Interaction((Message("user", "Why?"),)), Reason.EMPTY_OUTPUT),
        (interaction(" ", "Because."), Reason.EMPTY_PROMPT),
        (Interaction((Message("assistant", "Because."),)), Reason.EMPTY_PROMPT),
    ],
)
def test_without_question_or_answer_there_is_no_sample(body: Interaction, reason: Reason) -> None:
    assert _reason(_joined(body)) == reason


def test_an_answer_that_only_calls_a_tool_is_an_answer() -> None:
    call = Message("assistant", None, tool_calls=(ToolCall("look", "{}"),))
    assert _normalised(_joined(Interaction((Message("user", "Look"), call)))).output == ""


def test_the_same_value_has_the_same_number_throughout_and_in_later_feedback() -> None:
    body = interaction("I am <PERSON:aaaaaaaa>, ask <PERSON:bbbbbbbb>.", "Hello <PERSON:aaaaaaaa>!")
    correction = Scored(Score("correction", text="Dear <PERSON:bbbbbbbb>, <PHONE_NUMBER:cccccccc>"), 2, "edit")
    sample = _normalised(_joined(body, correction))
    assert sample.instruction == "I am <PERSON_1>, ask <PERSON_2>."
    assert sample.rejected_output == "Hello <PERSON_1>!"
    assert sample.output == "Dear <PERSON_2>, <PHONE_NUMBER_1>"


def test_parts_and_tool_arguments_are_numbered_too() -> None:
    asked = Message("user", None, parts=(ContentPart("text", "Mail <EMAIL_ADDRESS:aaaaaaaa>"),))
    call = Message("assistant", None, tool_calls=(ToolCall("mail", '{"to": "<EMAIL_ADDRESS:aaaaaaaa>"}'),))
    sample = _normalised(_joined(Interaction((asked, call))))
    assert sample.instruction == "Mail <EMAIL_ADDRESS_1>"
    assert sample.messages[-1].tool_calls[0].arguments == '{"to": "<EMAIL_ADDRESS_1>"}'


def test_white_space_and_unicode_are_made_one() -> None:
    assert tidy("  cafe\u0301  \r\nline \r end\n\n") == "caf\u00e9\nline\n end"


def test_a_hundred_thousand_combining_marks_are_tidied_at_once() -> None:
    text = "e" + "\u0301\u0316" * 50_000
    assert unicodedata.normalize("NFD", tidy(text))[:2] == "e\u0316"  # in one go it would take seconds
