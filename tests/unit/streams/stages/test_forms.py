"""A conversation comes back from each form as far as the form has room for it."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidEvent
from schemas.events import ContentPart, Message, ToolCall
from streams.stages.forms import Flat, asked, chat, flat, from_openai, system_of, to_openai, transcript, turns

# Texts that look like turns, escapes and calls are as likely as any others.
LINE = st.sampled_from(["user: ", "\\user: x", "\\\\call f: {}", "call f: ", "system:", "tool: y"]) | st.text(
    max_size=8
)
TEXT = st.lists(LINE, max_size=4).map("\n".join)
NAME = st.text("abcXYZ_-09", min_size=1, max_size=8)
TURN = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])
CALL = st.builds(ToolCall, NAME, TEXT)
SPOKEN = st.builds(Message, TURN, TEXT) | st.builds(
    Message, TURN, TEXT.map(lambda text: text or None), tool_calls=st.lists(CALL, min_size=1, max_size=3).map(tuple)
)


@given(st.lists(SPOKEN, max_size=5))
def test_turns_come_back_from_their_transcript_whatever_their_texts_hold(messages: list[Message]) -> None:
    assert turns(transcript(messages)) == tuple(messages)


@given(
    st.none() | TEXT,
    st.lists(st.builds(Message, st.sampled_from(["user", "assistant", "tool"]), TEXT), max_size=4),
    TEXT.filter(str.strip),
    TEXT,
)
def test_a_text_conversation_comes_back_from_its_flat_form(
    system: str | None, earlier: list[Message], question: str, answer: str
) -> None:
    messages = (Message("user", question), Message("assistant", answer))
    before = () if system is None else (Message("system", system),)
    conversation = (*before, *earlier, *messages)
    assert chat(flat(conversation)) == conversation
    assert flat(chat(flat(conversation))) == flat(conversation)


def test_an_input_that_is_no_transcript_is_part_of_the_question() -> None:
    sample = Flat(None, "Translate.", "Guten Tag", "Good day")
    assert chat(sample) == (Message("user", "Translate.\n\nGuten Tag"), Message("assistant", "Good day"))


def test_what_the_flat_form_has_no_room_for_is_lost_and_nothing_else() -> None:
    parts = (
        ContentPart("text", "look"),
        ContentPart("image_url", data='{"image_url":{}}'),
        ContentPart("text", "here"),
    )
    call = ToolCall("see", '{"at": 1}', "call_9")
    messages = (
        Message("user", parts=parts, name="ada"),
        Message("assistant", tool_calls=(call,)),
        Message("tool", "a cat", tool_call_id="call_9"),
        Message("user", "And?"),
        Message("assistant", "A cat."),
    )
    assert chat(flat(messages)) == (
        Message("user", "look\nhere"),
        Message("assistant", tool_calls=(ToolCall("see", '{"at": 1}'),)),
        Message("tool", "a cat"),
        *messages[3:],
    )


def test_the_last_user_turn_with_a_text_is_what_was_asked() -> None:
    image = Message("user", parts=(ContentPart("image_url", data="{}"),))
    assert asked((Message("user", "one"), Message("user", "two"), image, Message("tool", "x"))) == 1
    assert asked((image,)) is None


def test_the_system_prompt_is_what_stands_before_all_turns() -> None:
    system, developer, late = Message("system", "a"), Message("developer", "b"), Message("system", "c")
    assert system_of((system, developer, Message("user", "q"), late)) == ("a\n\nb", 2)
    assert system_of((Message("user", "q"), late)) == (None, 0)


DATA = st.dictionaries(
    NAME.filter(lambda name: name not in ("type", "text", "data")), st.integers(0, 9) | st.text(max_size=5), max_size=3
)
PART = st.builds(ContentPart, st.just("text"), TEXT) | st.builds(
    lambda kind, data: ContentPart(kind, data=msgspec.json.encode(data).decode()),
    st.sampled_from(["image_url", "input_audio"]),
    DATA,
)
ANY = st.builds(
    Message,
    TURN,
    content=st.none() | TEXT,
    name=st.none() | NAME,
    tool_calls=st.lists(st.builds(ToolCall, NAME, TEXT, st.none() | NAME), max_size=2).map(tuple),
    tool_call_id=st.none() | NAME,
) | st.builds(Message, TURN, parts=st.lists(PART, min_size=1, max_size=3).map(tuple))


@given(st.lists(ANY, min_size=1, max_size=5))
def test_messages_come_back_from_openai_s_form(messages: list[Message]) -> None:
    shaped = to_openai(messages)
    assert from_openai(json.loads(json.dumps(shaped))) == tuple(messages)


def test_a_part_that_is_no_json_object_comes_back_too() -> None:
    for data in ("[1", '"x"', '{"data":"x"}', '{"type":"x"}', "[" * 2_000):
        messages = (Message("user", parts=(ContentPart("odd", data=data),)),)
        assert from_openai(to_openai(messages)) == messages


def test_openai_nests_a_call_and_leaves_the_content_of_a_mere_call_out() -> None:
    call = Message("assistant", tool_calls=(ToolCall("look", '{"q":1}', "c1"),))
    assert to_openai((call,)) == [
        {
            "role": "assistant",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"q":1}'}}],
        }
    ]


@pytest.mark.parametrize("broken", [[], [{"role": "nobody", "content": "x"}], [5]])
def test_what_are_no_messages_is_told(broken: list[object]) -> None:
    with pytest.raises(InvalidEvent):
        from_openai(broken)  # type: ignore[arg-type]
