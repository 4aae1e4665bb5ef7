"""The runners: from a batch of Kafka records to what must be produced and remembered. They count and route.

A runner never acknowledges: the agent does, once what it returns is durable. A record that cannot be processed comes
back as a sealed dead letter; a `TransientError` means that the whole batch must be tried again, which is harmless.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

from msgspec import Struct
from prometheus_client import Counter

from schemas.errors import InvalidEvent, UndecodableRecord, UnknownSchemaError
from schemas.reasons import Reason
from streams import metrics
from streams.brokers import Outgoing
from streams.errors import OversizeError, RedactionError


class RawRecord(NamedTuple):
    """A Kafka record as it came. `timestamp_ms` is Kafka's, epoch milliseconds.

    `source` is the raw topic that it first came in by: another than `topic` only for what was held back and comes in
    again. `attempts` is how often it became a dead letter before.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    value: bytes | None
    source: str
    attempts: int = 0


BRIEF_S: Final = 7_200
"""Two hours: counted is by the hour, and a replay comes soon."""


class Batch(Struct, frozen=True):
    """What a batch comes to: records to produce, in order, and changes to merge into the state after that.

    `brief` are changes that need to be remembered for `BRIEF_S` only.
    """

    outgoing: tuple[Outgoing, ...]
    changes: Mapping[str, Mapping[str, bytes]]
    brief: Mapping[str, Mapping[str, bytes]] = {}


class timed:  # used as a statement
    """Counts the time spent in a stage: `with timed("decode"): …`."""

    __slots__ = ("_seconds", "_start")

    def __init__(self, stage: str) -> None:
        self._seconds = _child(metrics.STAGE_SECONDS, stage)

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds.inc(time.perf_counter() - self._start)


def counted(counter: Counter, *labels: str) -> None:
    """Count one; `Counter.labels` alone would take longer than some stages."""
    _child(counter, *labels).inc()


@cache
def _child(counter: Counter, *labels: str) -> Counter:
    return counter.labels(*labels)


def reason_for(exc: Exception) -> Reason:
    """The reason under which a record that raised `exc` becomes a dead letter."""
    match exc:
        case OversizeError():
            return Reason.OVERSIZE
        case UnknownSchemaError():
            return Reason.UNKNOWN_SCHEMA
        case UndecodableRecord():
            return Reason.UNDECODABLE
        case InvalidEvent():
            return Reason.INVALID_EVENT
        case RedactionError():
            return Reason.REDACTION_FAILED
        case _:
            return Reason.STAGE_FAILED
