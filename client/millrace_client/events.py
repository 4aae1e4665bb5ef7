"""From a call's arguments to one event's JSON text, as the collector takes it.

The collector checks what an event says; here only what can never be sent is refused, so that the two cannot
disagree about a rule.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final, Literal, Protocol

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""The longest request body that the collector reads, before compression."""

MAX_EVENT_BYTES: Final = MAX_BODY_BYTES - 2
"""An event must fit into a body of its own, between the brackets of the array."""

Part = Literal["interaction", "score", "retraction", "review", "consent", "erasure"]

_VITAL: Final = frozenset({"retraction", "consent", "erasure"})
"""Small and rare, and a person's own word: they get the last room in a queue or spool that is full."""

_FIRST_KEY: Final = b'{"event_id":'


class Model(Protocol):
    """A message object of an SDK (OpenAI, Anthropic and whatever else is built on pydantic)."""

    def model_dump(self, *, mode: str) -> Mapping[str, object]:
        """The object as JSON types, for `mode="json"`."""


class InvalidCall(Exception):
    """The arguments of a call cannot become an event.

    `kind` is what the mistake is logged and counted under; the text never quotes a value.
    """

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(problem)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Record:
    """One event ready to go. `payload` is its JSON object in UTF-8, on one line, `event_id` its first key."""

    payload: bytes
    vital: bool = False


def new_id(now_ms: int, entropy: bytes) -> str:
    """A UUID of version 7 (RFC 9562, 5.7) from epoch milliseconds and 10 random bytes.

    It grows with time, so that the lake's file statistics can skip most files in a search for one id.
    """
    noise = int.from_bytes(entropy, "big")
    number = (now_ms & (1 << 48) - 1) << 80 | 7 << 76 | (noise >> 68) << 64 | 2 << 62 | noise & (1 << 62) - 1
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def interaction_body(
    messages: Sequence[Mapping[str, object] | Model] | None,
    instruction: str | None,
    input: str | None,
    output: str | None,
    fields: Mapping[str, object],
) -> Mapping[str, object]:
    """The interaction's JSON: chat `messages`, with `output` as the answer after them, or the flat form."""
    told = {name: value for name, value in fields.items() if value is not None}
    if messages is None:
        if output is None:
            raise InvalidCall("interaction", "an interaction needs messages or an output")
        return {"instruction": instruction, "input": input, "output": output, **told}
    if instruction is not None or input is not None:
        raise InvalidCall("interaction", "an interaction takes messages or instruction and input, not both")
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise InvalidCall("messages", "messages must be a list")
    answer = [] if output is None else [{"role": "assistant", "content": output}]
    return {"messages": [*messages, *answer], **told}


def record_of(
    part: Part,
    body: Mapping[str, object],
    *,
    event_id: str,
    source: str,
    occurred_at: datetime,
    interaction_id: str | None,
) -> Record:
    """The event that carries `body` as its `part`.

    Raises `InvalidCall` for what JSON has no form for, and whatever `json` or an object of the app's raises.
    """
    event: dict[str, object] = {
        "event_id": event_id,
        "source": source,
        "occurred_at": rfc3339(occurred_at),
        "interaction_id": interaction_id or "",
        part: body,
    }
    try:
        text = json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
        payload = text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidCall(
            "surrogate", "a text holds half of a surrogate pair, which UTF-8 has no form for"
        ) from exc
    return Record(payload, vital=part in _VITAL)


def rfc3339(when: datetime) -> str:
    """`when` in UTC with microseconds; a naive time is read as UTC, as the collector does."""
    if not isinstance(when, datetime):
        raise InvalidCall("occurred_at", "occurred_at must be a datetime")
    aware = when if when.tzinfo is not None else when.replace(tzinfo=timezone.utc)
    try:
        return aware.astimezone(timezone.utc).isoformat(timespec="microseconds")
    except OverflowError as exc:
        raise InvalidCall("occurred_at", "occurred_at is no time between the years 1 and 9999") from exc


def has_id(payload: bytes, event_id: str) -> bool:
    """Whether `payload` is the event with this id, without parsing all of it."""
    return payload.startswith(_FIRST_KEY + json.dumps(event_id, ensure_ascii=False).encode(errors="replace"))


def id_of(payload: bytes) -> str:
    """The event id of a payload that `record_of` made."""
    return str(json.loads(payload)["event_id"])


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise InvalidCall(f"json:{type(value).__name__}", f"a {type(value).__name__} is not JSON")
    return dump(mode="json")
