"""Dead letters in a lake for tests: sealed by the real sealer, sent again to topics in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from schemas.codec import Codec
from schemas.events import FeedbackEvent, Position, RedactedEvent, Score
from schemas.outcomes import DeadLetter
from schemas.tables import DEAD_LETTERS, EVENTS, arrow_table, dead_letter_row, event_row
from streams.brokers import Outgoing
from streams.lake.ports import Lake
from streams.redaction.sealing import Sealer, new_key_pair
from streams.reentry import letter_of
from streams.settings import Settings
from tests.outcomes import letter

PAIR = new_key_pair()
CODEC = Codec()
SETTINGS = Settings(sources=("feedback.events", "feedback.acme=acme"))
TOPIC_IDS = {"feedback.reentry": "reentry-id", "feedback.replay": "replay-id"}


def thumb(event_id: str, **fields: Any) -> FeedbackEvent:
    """A raw event of tenant t."""
    filled: dict[str, Any] = {"interaction_id": "i", "tenant": "t", "scores": (Score("thumbs", value=1.0),)}
    return FeedbackEvent(event_id=event_id, **{**filled, **fields})


def sealed_letter(
    original: bytes | FeedbackEvent | RedactedEvent,
    at: int = 0,
    public_keys: Sequence[str] = (PAIR.public,),
    **fields: Any,
) -> DeadLetter:
    """A dead letter of the record at raw offset `at`, whose original can be opened."""
    value = original if isinstance(original, bytes) else CODEC.encode(original)
    copies, box = Sealer(public_keys).seal(value)
    return letter(at, sealed=copies, original=box, size_bytes=len(value), **fields)


def put(lake: Lake, *letters: DeadLetter) -> None:
    """Letters into the lake, in one commit."""
    lake.create(DEAD_LETTERS).append(arrow_table(DEAD_LETTERS, map(dead_letter_row, letters)), {}, {})


def put_events(lake: Lake, *events: RedactedEvent) -> None:
    """Events into the lake, in one commit."""
    lake.create(EVENTS).append(arrow_table(EVENTS, map(event_row, events)), {}, {})


class Topics:
    """Kafka's topics in memory: what is delivered to them, and which letters are there.

    `crash` is asked before each record, and ends the delivery if it says so.
    """

    def __init__(self, crash: Callable[[], bool] = lambda: False) -> None:
        self.records: list[Outgoing] = []
        self.crash = crash
        self.asked: list[tuple[str, int]] = []

    def deliver(self, records: Iterable[Outgoing], located: Callable[[int, int, int], None] | None = None) -> None:
        for index, record in enumerate(records):
            if self.crash():
                raise ConnectionResetError
            self.records.append(record)
            if located is not None:
                located(index, 0, len(self.records) - 1)

    def since(self, topic: str, time_ms: int) -> Iterator[tuple[str, Position]]:
        self.asked.append((topic, time_ms))
        for offset, record in enumerate(self.records):
            name = letter_of(record.headers)
            if record.topic == topic and name is not None:
                yield name, Position(TOPIC_IDS[topic], 0, offset)
