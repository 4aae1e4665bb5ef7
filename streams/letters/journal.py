"""Which letters were sent again: a table of its own in the lake, written before and after each batch is sent.

Before: so that whoever comes after a crash knows which letters may have gone out. After: where they came in again. In
between the topics themselves tell, by the letter's id in a record's headers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.events import Position
from schemas.tables import REPLAYS, Row, arrow_table
from streams.brokers import LOGGER, client_config, topic_ids
from streams.errors import BrokerUnavailable, CommitStateUnknown, FencedError, StreamError
from streams.lake.ports import Lake
from streams.reentry import letter_of
from streams.settings import Settings
from streams.waiting import Backoff

_COMMITS: Final = "journal"
_CLOCKS_MS: Final = 600_000
"""How far the clock of this machine and those of the brokers may be apart."""
_TIMEOUT_S: Final = 30.0
_UNLED: Final = frozenset(
    (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART)
)
"""What a partition answers that was just made or is just moving; librdkafka does not mark these as retriable here."""


class Sending(NamedTuple):
    """A letter on its way: its entry, the topic it goes to, and where it came in again, None if not yet known."""

    entry: Position
    topic: str
    again: Position | None = None


class Sent(Protocol):
    """What tells which letters are in a topic. Adapter: `SentTo`."""

    def since(self, topic: str, time_ms: int) -> Iterator[tuple[str, Position]]:
        """Ids of the letters that came in about `time_ms` (epoch) or later, and where. Raises `BrokerUnavailable`."""
        ...


class Journal:
    """Notes which letters are sent. Of two that write at the same time, the second is told so."""

    def __init__(self, lake: Lake) -> None:
        """Raises `LakeUnavailable`."""
        self._store = lake.create(REPLAYS)
        self._written = self._store.watermarks().get(_COMMITS)

    def note(self, sendings: Iterable[Sending], sent_at: datetime) -> None:
        """Write down that letters are sent, or where they came in. Raises `StreamError`; the same again is harmless."""
        rows = [_row(sending, sent_at) for sending in sendings]
        if not rows:
            return
        following = (self._written or 0) + 1
        try:
            self._store.append(arrow_table(REPLAYS, rows), {_COMMITS: self._written}, {_COMMITS: following})
        except FencedError as exc:
            raise StreamError(
                "somebody else sends letters at the same time: run this again when they are done"
            ) from exc
        except CommitStateUnknown as exc:
            raise StreamError(f"the lake did not say whether it took a note ({exc}): run this again") from exc
        self._written = following


class SentTo:
    """Reads the topics of re-entry for the letters in them; keeps nothing of what it reads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def since(self, topic: str, time_ms: int) -> Iterator[tuple[str, Position]]:
        """See `Sent.since`."""
        topic_id = topic_ids(self._settings, [topic])[topic]
        config = {
            **client_config(self._settings),
            "group.id": "millrace-deadletter",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
        with closing(Consumer(config, logger=LOGGER)) as consumer:
            try:
                yield from _letters(consumer, topic, topic_id, time_ms - _CLOCKS_MS)
            except KafkaException as exc:
                raise BrokerUnavailable(f"topic {topic} cannot be read: {exc.args[0].name()}") from exc


def _letters(consumer: Any, topic: str, topic_id: str, time_ms: int) -> Iterator[tuple[str, Position]]:
    partitions = consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions
    asked = [TopicPartition(topic, number, max(0, time_ms)) for number in partitions]
    for start in _starts(consumer, asked):
        if start.offset < 0:
            continue  # nothing is younger
        consumer.assign([start])
        while (message := consumer.poll(_TIMEOUT_S)) is not None:
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                break
            if error is not None:
                raise KafkaException(error)
            letter = letter_of(message.headers())
            if letter is not None:
                yield letter, Position(topic_id, message.partition(), message.offset())
        else:
            raise BrokerUnavailable(f"topic {topic} cannot be read: no answer within {_TIMEOUT_S:.0f} s")


def _starts(consumer: Any, asked: Sequence[TopicPartition]) -> Sequence[TopicPartition]:
    """Where each partition begins to be that young. While a partition has no leader yet, it is asked again."""
    backoff, end = Backoff(first_s=0.1, most_s=1.0), time.monotonic() + _TIMEOUT_S
    while True:
        try:
            found: Sequence[TopicPartition] = consumer.offsets_for_times(asked, timeout=_TIMEOUT_S)
            return found
        except KafkaException as exc:
            if exc.args[0].code() not in _UNLED or time.monotonic() > end:
                raise
        time.sleep(backoff.next_s())


def _row(sending: Sending, sent_at: datetime) -> Row:
    entry, again = sending.entry, sending.again
    return {
        "day": sent_at.date(),
        "entry_topic_id": entry.topic_id,
        "entry_partition": entry.partition,
        "entry_offset": entry.offset,
        "sent_at": sent_at,
        "again_topic": sending.topic,
        "again_topic_id": None if again is None else again.topic_id,
        "again_partition": None if again is None else again.partition,
        "again_offset": None if again is None else again.offset,
    }
