"""Feeding: events from files into the raw topics, paced by what has come through, with a ledger of what was sent."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

import pyarrow as pa

from schemas.codec import Codec
from schemas.events import FeedbackEvent
from streams.brokers import GaplessProducer, Outgoing
from streams.importers import BadLine
from streams.pipeline import wait_until

WINDOW_BYTES: Final = 2_000_000
"""Raw bytes that may be on their way. The embedded broker keeps 5 MB a partition, and a sample is at most about twice
its event: even if all came to lie in one partition of one topic, nothing falls out."""

_CHUNK_EVENTS: Final = 100
_CHUNK_BYTES: Final = 500_000
_STALL_S: Final = 300.0

_Encoded = tuple[FeedbackEvent | BadLine, bytes]

LEDGER: Final = pa.schema(
    [
        ("event_id", pa.string()),
        ("kind", pa.string()),
        ("interaction_id", pa.string()),
        ("tenant", pa.string()),
        ("topic_id", pa.string()),
        ("partition", pa.int64()),
        ("offset", pa.int64()),
    ]
)
"""One row an event that was sent, with the position at which it entered."""


class Source(NamedTuple):
    """One input: what it is called, its raw topic, the id that its positions go by, and what is in it."""

    name: str
    topic: str
    topic_id: str
    events: Iterable[FeedbackEvent | BadLine]


class Fed(NamedTuple):
    """What was sent, shape `LEDGER`, and what could not be read, by source name."""

    ledger: pa.Table
    unreadable: list[tuple[str, BadLine]]


def feed(
    source: Source,
    producer: GaplessProducer,
    codec: Codec,
    partitions: int,
    landed: Callable[[], int],
    window_bytes: int = WINDOW_BYTES,
) -> Fed:
    """Send a source's events, an interaction's always to the same partition, and wait while too much is on its way.

    The partition and offset of each event follow from the source alone, if its topic was empty: so a file that is run
    again has the same entry positions. `landed` counts this source's events that came through.
    """
    next_offset = [0] * partitions
    rows: list[tuple[str, str, str, str, str, int, int]] = []
    unreadable: list[tuple[str, BadLine]] = []
    sent_bytes = [0]  # after so many events, cumulated
    for chunk in _chunks(source.events, codec):
        wait_until(
            lambda: sent_bytes[-1] - sent_bytes[min(landed(), len(sent_bytes) - 1)] <= window_bytes,
            _STALL_S,
            "the stream to take more events",
        )
        outgoing = []
        for event, value in chunk:
            if isinstance(event, BadLine):
                unreadable.append((source.name, event))
                continue
            key = f"{event.tenant}/{event.interaction_id or event.event_id}".encode()
            partition = zlib.crc32(key) % partitions
            outgoing.append(Outgoing(source.topic, key, value, partition))
            sent_bytes.append(sent_bytes[-1] + len(value))
            rows.append(
                (
                    event.event_id,
                    event.kind,
                    event.interaction_id,
                    event.tenant,
                    source.topic_id,
                    partition,
                    next_offset[partition],
                )
            )
            next_offset[partition] += 1
        producer.deliver(outgoing)
    columns = list(zip(*rows, strict=True)) or [()] * len(LEDGER)
    return Fed(pa.table(dict(zip(LEDGER.names, map(list, columns), strict=True)), schema=LEDGER), unreadable)


def _chunks(events: Iterable[FeedbackEvent | BadLine], codec: Codec) -> Iterator[list[_Encoded]]:
    """Events with their bytes, in chunks that end at so many events or bytes, whichever comes first."""
    chunk: list[_Encoded] = []
    size = 0
    for event in events:
        value = b"" if isinstance(event, BadLine) else codec.encode(event)
        if chunk and (len(chunk) == _CHUNK_EVENTS or size + len(value) > _CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append((event, value))
        size += len(value)
    if chunk:
        yield chunk
