"""normalise: one form for all interactions, placeholders numbered."""

from __future__ import annotations

import time
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.curation import Normalising
from schemas.events import ContentPart, Interaction, Message, Review, Score, ToolCall
from schemas.reasons import Reason
from streams.stages import Drop, Keep
from streams.stages.join import Joined, Scored
from streams.stages.normalise import Normalised, normalise, prompt_id, tidy
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


def test_earlier_turns_become_the_input_and_the_system_prompt_stands_apart() -> None:
    turns = (
        Message("system", "Be kind."),
        Message("user", "Hi"),
        Message("assistant", "Hello"),
        Message("user", "Why?"),
        Message("assistant", "Because."),
    )
    sample = _normalised(_joined(Interaction(turns)))
    assert sample.instruction == "Why?"
    assert (sample.system, sample.input) == ("Be kind.", "user: Hi\nassistant: Hello")
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
    assert tidy("\n cafe\u0301  \r\nline \r end\n\n") == "caf\u00e9\nline\n end"


def test_a_hundred_thousand_combining_marks_are_tidied_at_once() -> None:
    text = "e" + "\u0301\u0316" * 50_000
    began_s = time.process_time()
    tidied = tidy(text)
    assert time.process_time() - began_s < 1.0  # in one go it would take some five
    assert unicodedata.normalize("NFD", tidied[:100])[:2] == "e\u0316"


@pytest.mark.parametrize(
    ("text", "tidied"),
    [
        ("\n    if x:\n        y()\n\n    z()  \n", "    if x:\n        y()\n\n    z()"),
        ("\tfor:\n\t\tx", "\tfor:\n\t\tx"),
        ("See:\n```python\n  a\n\tb\n```", "See:\n```python\n  a\n\tb\n```"),
        (" a leading space\nis none", "a leading space\nis none"),
        ("    one line", "one line"),
        ("  \n \t\n", ""),
    ],
)
def test_code_and_indentation_survive(text: str, tidied: str) -> None:
    assert tidy(text) == tidied


@given(st.text(st.sampled_from("a \n\t\r\u0301\u00e9"), max_size=40))
def test_what_is_tidy_stays_as_it_is(text: str) -> None:
    assert tidy(tidy(text)) == tidy(text)


def _user(number: int) -> Message:
    return Message("user", f"q{number}")


CALL = Message("assistant", tool_calls=(ToolCall("look", "{}", "c1"),))
RESULT = Message("tool", "found", tool_call_id="c1")
DONE = Message("assistant", "done")
SYSTEM = Message("system", "Be kind.")


@pytest.mark.parametrize(
    ("before", "max_turns", "kept"),
    [
        ([SYSTEM, _user(1), DONE, _user(2), DONE, _user(3), DONE], 2, [0, 3, 4, 5, 6]),
        ([SYSTEM, _user(1), DONE, _user(2), DONE], 2, [0, 1, 2, 3, 4]),
        ([_user(1), CALL, RESULT, DONE, _user(2), DONE], 1, [4, 5]),
        ([SYSTEM, _user(1), DONE, _user(2), CALL, _user(3), RESULT, DONE], 1, [0, 3, 4, 5, 6, 7]),
        ([SYSTEM, CALL, _user(1), DONE, _user(2), RESULT, DONE], 1, [0, 1, 2, 3, 4, 5, 6]),
        # Without an id a result belongs to the call before it.
        ([_user(1), DONE, _user(2), CALL, _user(3), Message("tool", "found"), DONE], 1, [2, 3, 4, 5, 6]),
        ([_user(1), CALL, RESULT, _user(2), CALL, Message("tool", "found"), DONE], 1, [3, 4, 5, 6]),
        # The same id in every turn is each turn's own.
        ([_user(1), CALL, RESULT, DONE, _user(2), CALL, RESULT, DONE], 1, [4, 5, 6, 7]),
    ],
)
def test_a_window_keeps_the_last_turns_the_system_prompt_and_every_result_s_call(
    before: list[Message], max_turns: int, kept: list[int]
) -> None:
    verdict = normalise(_joined(Interaction(tuple(before))), Normalising(max_turns=max_turns))
    assert isinstance(verdict, Keep)
    assert verdict.record.messages == tuple(before[place] for place in kept)


def test_placeholders_are_numbered_within_the_window() -> None:
    names = [f"<PERSON:{name * 8}>" for name in "abcd"]
    turns = tuple(Message("assistant" if place % 2 else "user", name) for place, name in enumerate(names))
    verdict = normalise(_joined(Interaction(turns)), Normalising(max_turns=1))
    assert isinstance(verdict, Keep)
    assert (verdict.record.instruction, verdict.record.output) == ("<PERSON_1>", "<PERSON_2>")


def test_a_tool_trace_and_the_tools_are_kept_and_numbered() -> None:
    tools = '[{"type": "function", "function": {"name": "mail", "description": "for <PERSON:aaaaaaaa>"}}]'
    body = Interaction((Message("user", "I am <PERSON:aaaaaaaa>"), CALL, RESULT, DONE), tools=tools)
    sample = _normalised(_joined(body))
    assert sample.messages[1:] == (CALL, RESULT, DONE)
    assert sample.tools == tools.replace("PERSON:aaaaaaaa", "PERSON_1")


def _prompt_id(*messages: Message, tenant: str = "t", role: str | None = None, tools: str | None = None) -> str:
    sample = _normalised(_joined(Interaction((*messages, DONE), role=role, tools=tools)))
    return prompt_id(tenant, role, sample.messages[:-1], sample.tools)


IMAGE = ContentPart("image_url", data="{}")
ASKED = Message("user", "Where is <PERSON:aaaaaaaa>?")


def test_a_prompt_s_id_is_the_same_in_every_interaction_and_process() -> None:
    assert _prompt_id(Message("user", "Why?")) == "7da28e78880b3a2dd5c62672938f4a64"
    assert _prompt_id(ASKED) == _prompt_id(Message("user", "where  is\n<PERSON:bbbbbbbb>? "))
    assert _prompt_id(SYSTEM, ASKED) == _prompt_id(Message("developer", "be KIND."), ASKED)
    trace = Message("assistant", tool_calls=(ToolCall("look", '{ "b":1, "a":2 }', "other"),))
    spelled = Message("assistant", tool_calls=(ToolCall("look", '{"a":2,"b":1}', "c1"),))
    assert _prompt_id(ASKED, trace, RESULT) == _prompt_id(ASKED, spelled, RESULT)
    in_parts = Message("user", parts=(ContentPart("text", "Where is"), ContentPart("image_url", data='{"u":1}')))
    assert _prompt_id(in_parts) == _prompt_id(in_parts)
    assert _prompt_id(Message("user", "cafe\u0301")) == _prompt_id(Message("user", "caf\u00c9"))
    assert _prompt_id(ASKED, tools='[{"a": 1}]') == _prompt_id(ASKED, tools='[ {"a":1} ]')


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "u"},
        {"role": "helper"},
        {"tools": "[]"},
        {"messages": (SYSTEM, ASKED)},
        {"messages": (ASKED, Message("user", "now"))},
        {"messages": (ASKED, CALL, RESULT)},
        {"messages": (Message("user", "Where is <EMAIL_ADDRESS:aaaaaaaa>?"),)},
        {
            "messages": (
                Message("user", parts=(ContentPart("text", ASKED.content), ContentPart("image_url", data="{}"))),
            )
        },
        {"messages": (Message("assistant", ASKED.content), Message("user", "now"))},
    ],
)
def test_another_prompt_tenant_or_role_has_another_id(other: dict[str, Any]) -> None:
    messages = other.pop("messages", (ASKED,))
    assert _prompt_id(*messages, **other) != _prompt_id(ASKED)


def test_prompts_that_differ_in_a_picture_or_in_a_call_have_different_ids() -> None:
    pictures = [ContentPart("image_url", data=f'{{"url":"{name}"}}') for name in "ab"]
    shown = [Message("user", parts=(ContentPart("text", "Who?"), picture)) for picture in pictures]
    calls = [ToolCall("look", '{"q":1}'), ToolCall("look", '{"q":2}'), ToolCall("find", '{"q":1}')]
    made = [(ASKED, Message("assistant", tool_calls=(call,)), Message("tool", "found")) for call in calls]
    assert len({_prompt_id(message) for message in shown}) == 2
    assert len({_prompt_id(*messages) for messages in made}) == 3


def test_another_answer_to_a_prompt_leaves_its_id() -> None:
    ids = set()
    for answer in ("yes", "no"):
        sample = _normalised(_joined(Interaction((ASKED, Message("assistant", answer)))))
        ids.add(prompt_id("t", None, sample.messages[:-1], None))
    assert len(ids) == 1
