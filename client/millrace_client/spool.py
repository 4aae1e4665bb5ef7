"""Where events wait for the collector: the port (`Spool`), and the spool in memory.

**Full means that the newest is refused, not that the oldest is dropped.** An interaction comes before its
scores: to drop the oldest would take interactions and leave scores, which say nothing alone. And the oldest
segment may be another process's, which nobody else may touch. A sixteenth of the room is left to retractions,
consent changes and erasures, so that a person's "no" is the last thing to be lost.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from millrace_client.events import Record
from millrace_client.segments import Segment

VITAL_SHARE: Final = 16
"""One part in so many of a full spool or queue still takes vital records."""


def has_room(used: int, more: int, limit: int, vital: bool) -> bool:
    """Whether `more` fits into `limit` besides what is used, the vital records' share left free for them."""
    return used + more <= (limit if vital else limit - limit // VITAL_SHARE)


@dataclass(frozen=True)
class Appended:
    """What became of appended records, in their order: `kept`, refused for want of room, or `failed` by the
    disk."""

    kept: int = 0
    refused: int = 0
    failed: tuple[Record, ...] = ()


@dataclass(frozen=True, eq=False)
class Batch:
    """The oldest payloads that wait, to be settled together. `segment` and `end` say where they lie."""

    events: tuple[bytes, ...]
    end: int
    segment: Segment | None = None


@dataclass(frozen=True)
class Waiting:
    """How much waits."""

    events: int
    bytes: int


class Spool(Protocol):
    """A bounded store in arrival order, used by one thread that appends and one that reads and settles."""

    def append(self, records: Sequence[Record]) -> Appended:
        """Keep the records; those that it says are kept are as durable as this spool can make them."""

    def read(self, max_events: int, max_bytes: int) -> Batch | None:
        """The oldest payloads, left where they are; None if nothing waits."""

    def settle(self, batch: Batch, again: Sequence[bytes]) -> bool:
        """Forget the batch; `again`, the part of it without a verdict, goes to the back of the line first.

        False if `again` could not be kept: then the whole batch is still there.
        """

    def waiting(self) -> Waiting:
        """How much waits here."""


class MemorySpool:
    """A spool that ends with its process."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._payloads: deque[bytes] = deque()
        self._bytes = 0
        self._closed = False

    def append(self, records: Sequence[Record]) -> Appended:
        """As in `Spool`."""
        kept = 0
        with self._lock:
            for record in () if self._closed else records:
                if has_room(self._bytes, len(record.payload), self._max_bytes, record.vital):
                    self._push(record.payload)
                    kept += 1
        return Appended(kept, len(records) - kept)

    def read(self, max_events: int, max_bytes: int) -> Batch | None:
        """As in `Spool`."""
        events: list[bytes] = []
        size = 0
        with self._lock:
            for payload in self._payloads:
                size += len(payload) + 1
                if events and (len(events) == max_events or size > max_bytes):
                    break
                events.append(payload)
        return Batch(tuple(events), len(events)) if events else None

    def settle(self, batch: Batch, again: Sequence[bytes]) -> bool:
        """As in `Spool`; there is always room for what was here before."""
        with self._lock:
            if self._closed:
                return False
            for _ in range(batch.end):
                self._bytes -= len(self._payloads.popleft())
            for payload in again:
                self._push(payload)
        return True

    def waiting(self) -> Waiting:
        """As in `Spool`."""
        with self._lock:
            return Waiting(len(self._payloads), self._bytes)

    def close(self) -> tuple[bytes, ...]:
        """Take nothing more; what still waited here."""
        with self._lock:
            self._closed = True
            stranded = tuple(self._payloads)
            self._payloads.clear()
            self._bytes = 0
        return stranded

    def _push(self, payload: bytes) -> None:
        self._payloads.append(payload)
        self._bytes += len(payload)
