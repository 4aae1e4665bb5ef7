"""One conversation in each of its forms: our `Message`s, OpenAI's chat messages, and instruction, input, output.

OpenAI's form comes back as it was, but for the spelling of a content part's JSON. The flat form has no room for names,
ids, parts that are no text, and what lies between the last user turn and the answer; the rest of a text conversation
comes back, whatever its texts hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from schemas.errors import InvalidEvent
from schemas.events import ContentPart, Message, ToolCall
from schemas.intake import event_from_json

SYSTEM_ROLES: Final = frozenset({"system", "developer"})

_HEAD: Final = r"(system|developer|user|assistant|tool|function|call [^\s:]+): "
_TURN: Final = re.compile(rf"^{_HEAD}", re.MULTILINE)
_LIKE_A_TURN: Final = re.compile(rf"^(?=\\*{_HEAD})", re.MULTILINE)
_ESCAPED: Final = re.compile(rf"^\\(?=\\*{_HEAD})", re.MULTILINE)
_BACKSLASH: Final = r"\\"

ChatMessage = dict[str, Any]
"""A message as OpenAI's API takes it."""


class Flat(Struct, frozen=True):
    """A conversation as one instruction: `instruction` is the last user turn, `input` the turns before it."""

    system: str | None
    instruction: str
    input: str
    output: str


def text_of(message: Message) -> str:
    """The text of a message: its content, or its text parts by line."""
    if message.content is not None:
        return message.content
    return "\n".join(part.text for part in message.parts if part.text)


def system_of(messages: Sequence[Message]) -> tuple[str | None, int]:
    """The system prompt, None if there is none, and how many messages it takes at the beginning."""
    count = 0
    while count < len(messages) and messages[count].role in SYSTEM_ROLES:
        count += 1
    return ("\n\n".join(map(text_of, messages[:count])) if count else None), count


def asked(prompt: Sequence[Message]) -> int | None:
    """The place of the last user turn that has a text."""
    turns = [place for place, message in enumerate(prompt) if message.role == "user" and text_of(message).strip()]
    return turns[-1] if turns else None


def transcript(messages: Iterable[Message]) -> str:
    r"""Turns as `role: text`, a tool call as `call NAME: ARGUMENTS` below its turn; `turns` is the way back.

    A line of a text that begins like a turn gets a `\` before it.
    """
    lines = []
    for message in messages:
        lines.append(f"{message.role}: {_LIKE_A_TURN.sub(_BACKSLASH, text_of(message))}")
        lines += [f"call {call.name}: {_LIKE_A_TURN.sub(_BACKSLASH, call.arguments)}" for call in message.tool_calls]
    return "\n".join(lines)


def turns(transcribed: str) -> tuple[Message, ...] | None:
    """The messages of a transcript; None for a text that is none."""
    if not transcribed:
        return ()
    before, *split = _TURN.split(transcribed)
    if before:
        return None
    messages: list[Message] = []
    for place, (head, text) in enumerate(zip(split[::2], split[1::2], strict=True)):
        said = _ESCAPED.sub("", text if place == len(split) // 2 - 1 else text.removesuffix("\n"))
        if not head.startswith("call "):
            messages.append(msgspec.convert({"role": head, "content": said}, Message))
        elif not messages:
            return None
        else:
            caller = messages[-1]
            calls = (*caller.tool_calls, ToolCall(head.removeprefix("call "), said))
            messages[-1] = msgspec.structs.replace(caller, content=caller.content or None, tool_calls=calls)
    return tuple(messages)


def flat(messages: Sequence[Message]) -> Flat:
    """A conversation that ends with the answer, as one instruction."""
    *prompt, answer = messages
    system, start = system_of(prompt)
    last = asked(prompt)
    return Flat(
        system=system,
        instruction="" if last is None else text_of(prompt[last]),
        input=transcript(prompt[start:last]),
        output=text_of(answer),
    )


def chat(sample: Flat) -> tuple[Message, ...]:
    """The conversation that a flat sample stands for. An `input` that is no transcript is part of the question."""
    system = () if sample.system is None else (Message("system", sample.system),)
    earlier = turns(sample.input)
    question = sample.instruction if earlier is not None else f"{sample.instruction}\n\n{sample.input}"
    return (*system, *(earlier or ()), Message("user", question), Message("assistant", sample.output))


def to_openai(messages: Iterable[Message]) -> list[ChatMessage]:
    """Messages as OpenAI's API takes them."""
    return [_to_openai(message) for message in messages]


def from_openai(messages: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """The messages that OpenAI's API takes, as ours. Raises `InvalidEvent`."""
    event = event_from_json({"event_id": "-", "interaction_id": "-", "interaction": {"messages": list(messages)}})
    if event.interaction is None:
        raise InvalidEvent("messages", "are required")
    return event.interaction.messages


def _to_openai(message: Message) -> ChatMessage:
    shaped: ChatMessage = {"role": message.role}
    if message.parts:
        shaped["content"] = [_part(part) for part in message.parts]
    elif message.content is not None or not message.tool_calls:
        shaped["content"] = message.content
    if message.name is not None:
        shaped["name"] = message.name
    if message.tool_calls:
        shaped["tool_calls"] = [
            {"id": call.id, "type": call.type, "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        shaped["tool_call_id"] = message.tool_call_id
    return shaped


def _part(part: ContentPart) -> dict[str, Any]:
    if part.type == "text":
        return {"type": "text", "text": part.text}
    try:
        data = msgspec.json.decode(part.data or "{}")
    except (msgspec.MsgspecError, RecursionError):
        data = None
    if isinstance(data, dict) and "type" not in data and not isinstance(data.get("data"), str):
        return {"type": part.type, **data}
    return {"type": part.type, "data": part.data}
