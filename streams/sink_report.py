"""What a sink has done, to be written as one line of JSON and merged with other sinks'."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import msgspec

_GROWTH: Final = 1.02
"""Each bucket is 2 % wider than the one before, so a quantile is at most 1 % off."""
_LOG_GROWTH: Final = math.log(_GROWTH)
_SMALLEST_S: Final = 0.001


class Latencies(msgspec.Struct):
    """A histogram of seconds: bucket i counts from 1 ms × 1.02^i on; bucket 0 also what is shorter."""

    buckets: dict[int, int] = {}

    @property
    def count(self) -> int:
        """How many were recorded."""
        return sum(self.buckets.values())

    def record(self, seconds: Iterable[float]) -> None:
        """Count these."""
        for value in seconds:
            bucket = bucket_of(value)
            self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def merged(self, other: Latencies) -> Latencies:
        """Both together."""
        keys = self.buckets.keys() | other.buckets.keys()
        return Latencies({key: self.buckets.get(key, 0) + other.buckets.get(key, 0) for key in keys})

    def quantile(self, fraction: float) -> float:
        """The seconds that a fraction in [0, 1] of all stayed within, by nearest rank; NaN if there are none."""
        rank = max(1, math.ceil(fraction * self.count))
        for bucket in sorted(self.buckets):
            rank -= self.buckets[bucket]
            if rank <= 0:
                return float(_SMALLEST_S * _GROWTH ** (bucket + 0.5))
        return math.nan


class SinkReport(msgspec.Struct):
    """Rows that this sink committed, records that it recognised as seen before, and commits, by table.

    `event_to_lake` by table: from Kafka taking the event to the commit of its row, in seconds.
    """

    rows: dict[str, int] = {}
    replayed: dict[str, int] = {}
    commits: dict[str, int] = {}
    event_to_lake: dict[str, Latencies] = {}

    def latency_of(self, *tables: str) -> Latencies:
        """The latencies of several tables together."""
        together = Latencies()
        for table in tables:
            together = together.merged(self.event_to_lake.get(table, Latencies()))
        return together

    def merged(self, other: SinkReport) -> SinkReport:
        """Two sinks' reports as one."""
        tables = self.event_to_lake.keys() | other.event_to_lake.keys()
        return SinkReport(
            _sum(self.rows, other.rows),
            _sum(self.replayed, other.replayed),
            _sum(self.commits, other.commits),
            {table: self.latency_of(table).merged(other.latency_of(table)) for table in tables},
        )


def bucket_of(seconds: float) -> int:
    """The bucket that a time is counted in; a clock that runs behind makes it 0."""
    return max(0, int(math.log(max(seconds, _SMALLEST_S) / _SMALLEST_S) / _LOG_GROWTH))


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in one.keys() | other.keys()}
