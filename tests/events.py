"""Events for tests, with everything that does not matter filled in."""

from __future__ import annotations

from typing import Any

from schemas.codec import Codec
from schemas.events import FeedbackEvent, Interaction, Message, Position, RedactedEvent
from streams.runners import RawRecord

NOW_US = 1_760_000_000_000_000
NOW_MS = NOW_US // 1_000


def interaction(prompt: str, answer: str, **fields: Any) -> Interaction:
    """One question and its answer."""
    return Interaction((Message("user", prompt), Message("assistant", answer)), **fields)


def redacted(event_id: str, at: int = 0, interaction_id: str = "i", tenant: str = "t", **parts: Any) -> RedactedEvent:
    """A redacted event that occurred `at` seconds after NOW_US and entered at the offset of the same number."""
    fields: dict[str, Any] = {
        "event_id": event_id,
        "source": "test",
        "occurred_at": NOW_US + at * 1_000_000,
        "received_at": NOW_US + at * 1_000_000,
        "clock": "ok",
        "tenant": tenant,
        "interaction_id": interaction_id,
        "entry": Position("raw", 0, at),
        "digest": f"digest-{event_id}",
        "redactor": "test",
    }
    return RedactedEvent(**{**fields, **parts})


def record(
    event: FeedbackEvent | RedactedEvent | bytes | None,
    offset: int = 0,
    topic: str = "feedback.events",
    partition: int = 0,
    timestamp_ms: int = NOW_MS,
) -> RawRecord:
    """A Kafka record with this value."""
    value = Codec().encode(event) if isinstance(event, (FeedbackEvent, RedactedEvent)) else event
    return RawRecord(topic, partition, offset, timestamp_ms, value, topic)
