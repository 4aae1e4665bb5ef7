"""Messages as the consumers of chat data take them. OpenAI's and TRL's differ in what they leave open."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from schemas.events import Message, ToolCall
from streams.exports.format import NotInFormat
from streams.stages.forms import SYSTEM_ROLES, ChatMessage, text_of, to_openai

_RESULTS: Final = frozenset({"tool", "function"})
_NAME: Final = re.compile(r"[^\s<|\\/>]{1,64}")
"""What OpenAI takes as a participant's name: a placeholder is none."""


def for_openai(messages: Sequence[Message]) -> list[ChatMessage]:
    """As OpenAI's fine-tuning takes them: text where all parts are text, every call with an id."""
    return to_openai(
        msgspec.structs.replace(
            message,
            role="system" if message.role in SYSTEM_ROLES else message.role,
            content=message.content if _has_media(message) else _text(message),
            parts=message.parts if _has_media(message) else (),
            name=message.name if message.role not in _RESULTS and _NAME.fullmatch(message.name or "") else None,
        )
        for message in with_ids(messages)
    )


def for_trl(messages: Sequence[Message]) -> list[ChatMessage]:
    """As chat templates take them: content always a text, the arguments of a call an object."""
    shaped = []
    for message in with_ids(messages):
        if _has_media(message):
            raise NotInFormat("a message has content that is no text")
        one: ChatMessage = {
            "role": "system" if message.role in SYSTEM_ROLES else message.role,
            "content": text_of(message),
        }
        if message.tool_calls:
            one["tool_calls"] = [
                {"id": call.id, "type": call.type, "function": {"name": call.name, "arguments": _arguments(call)}}
                for call in message.tool_calls
            ]
        if message.tool_call_id is not None:
            one["tool_call_id"] = message.tool_call_id
        if message.name is not None:
            one["name"] = message.name
        shaped.append(one)
    return shaped


def tools_of(tools: str | None) -> list[Any]:
    """The tool definitions; none for no tools. Raises `NotInFormat`."""
    if not tools:
        return []
    try:
        parsed = msgspec.json.decode(tools)
    except (msgspec.MsgspecError, RecursionError):
        parsed = None
    if not isinstance(parsed, list):
        raise NotInFormat("tools are no JSON list")
    return parsed


def with_ids(messages: Sequence[Message]) -> list[Message]:
    """Every call with an id, and every result with that of its call, in order where it says none."""
    known = {call.id for message in messages for call in message.tool_calls}
    fresh = (name for number in itertools.count(1) if (name := f"call_{number}") not in known)
    paired, unanswered = [], list[str]()
    for message in messages:
        if message.tool_calls:
            calls = tuple(
                msgspec.structs.replace(call, id=next(fresh)) if call.id is None else call
                for call in message.tool_calls
            )
            unanswered = [call.id or "" for call in calls]
            paired.append(msgspec.structs.replace(message, tool_calls=calls))
        elif message.role in _RESULTS:
            answered = message.tool_call_id or (unanswered[0] if unanswered else None)
            if answered in unanswered:
                unanswered.remove(answered)
            role = message.role if answered is None else "tool"
            paired.append(msgspec.structs.replace(message, role=role, tool_call_id=answered))
        else:
            paired.append(message)
    return paired


def _has_media(message: Message) -> bool:
    return any(part.type != "text" for part in message.parts)


def _text(message: Message) -> str | None:
    return text_of(message) or (None if message.tool_calls else "")


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        parsed = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.MsgspecError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise NotInFormat("the arguments of a tool call are no JSON object")
    return parsed
