"""How much and how fast: the rate a key may send at, and the bytes that all requests together may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from streams.collector.errors import Refused
from streams.settings import Settings

ROOM_FACTOR: Final = 8
"""Decompressed bodies of the largest size that may be in memory at once; what comes on top is asked to come again."""

BUSY_RETRY_S: Final = 2.0
"""When a sender that found no room, or no broker, should come again."""


class Bucket(Struct, frozen=True):
    """A token bucket at the time `at_s` (monotonic seconds): `tokens` events may be sent at once."""

    tokens: float
    at_s: float


def take(bucket: Bucket, now_s: float, events: int, rate: float, burst: float) -> tuple[Bucket, float]:
    """Take `events` from a bucket that gains `rate` a second up to `burst`.

    Returns the bucket afterwards and 0, or the bucket untaken and the seconds after which there are enough. More
    than `burst` at once is never granted.
    """
    elapsed_s = max(0.0, now_s - bucket.at_s)
    tokens = min(burst, bucket.tokens + elapsed_s * rate)
    if events <= tokens:
        return Bucket(tokens - events, now_s), 0.0
    return Bucket(tokens, now_s), (events - tokens) / rate


class RateLimiter:
    """One bucket a key. Each collector process counts for itself. For one thread."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._rate = float(settings.collector_events_per_s)
        self._burst = float(max(settings.collector_events_per_s, settings.collector_max_batch_events))
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def take(self, key_id: str, events: int) -> None:
        """Count events against a known key's rate. Raises `Refused` (429) when it is used up."""
        now_s = self._clock()
        bucket = self._buckets.get(key_id) or Bucket(self._burst, now_s)
        self._buckets[key_id], wait_s = take(bucket, now_s, events, self._rate, self._burst)
        if wait_s > 0:
            problem = f"more than {self._rate:.0f} events a second with this key"
            raise Refused(429, "rate", problem, limit="rate", retry_after_s=wait_s)


class Room:
    """The bytes of bodies that are in memory, all requests together: Kafka may be slow, memory stays bounded."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """What the requests in flight hold now."""
        return self._held_bytes

    @contextmanager
    def lease(self) -> Iterator[Callable[[int], None]]:
        """For the time of one request: a function that reserves so many more bytes, or raises `Refused` (503)."""
        held_bytes = 0

        def hold(size_bytes: int) -> None:
            nonlocal held_bytes
            if self._held_bytes + size_bytes > self._limit_bytes:
                problem = "too much is in flight at the moment"
                raise Refused(503, "busy", problem, retry_after_s=BUSY_RETRY_S)
            self._held_bytes += size_bytes
            held_bytes += size_bytes

        try:
            yield hold
        finally:
            self._held_bytes -= held_bytes
