"""The sink: from Kafka into the lake's tables, exactly once.

    redacted → events        curated → samples, rejected        deadletter → dead_letters

1 on assignment read the watermarks *from the tables* and seek each partition to the lowest of its tables → 2 buffer,
decode, drop replays, each table for itself → 3 on size or time write rows and new watermarks in one commit, if the
table's watermark is still the one that we left → 4 on an unknown outcome look: landed, or try the same rows again →
5 only then commit Kafka offsets, which are advisory: they show the lag. `SinkTable` has 2 to 4 for one table, `Intake`
the Kafka side.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

import msgspec
from prometheus_client import Counter, Gauge

from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.events import Position, RedactedEvent
from schemas.outcomes import DeadLetter, Outcome
from schemas.tables import (
    DEAD_LETTERS,
    EVENTS,
    REJECTED,
    SAMPLES,
    TABLES,
    Row,
    Table,
    dead_letter_row,
    event_row,
    outcome_row,
)
from streams import metrics
from streams.brokers import await_topics, topic_ids
from streams.codecs import codec_of
from streams.errors import CommitStateUnknown, FencedError, LakeUnavailable, StreamError, TransientError
from streams.lake.ports import Lake, Lane, ReadPartition
from streams.metrics import Health
from streams.replays import Progress
from streams.settings import Settings
from streams.sink_intake import Bounds, Intake, Partition, Record
from streams.sink_report import SinkReport
from streams.sink_table import SinkTable
from streams.waiting import Backoff, await_answer
from streams.watchdog import Watchdog, on_signals

STREAMS: Final[Mapping[str, tuple[Table, ...]]] = {
    "redacted": (EVENTS,),
    "curated": (SAMPLES, REJECTED),
    "deadletter": (DEAD_LETTERS,),
}
"""Logical topic name → the tables that it fills."""

BUFFER_BYTES: Final = 32 * 1024 * 1024
"""Waiting rows of about so many bytes are committed whatever the time; their Python objects take several times that."""
WATERMARK_S: Final = 60.0
WATERMARK_RECORDS: Final = 50_000
"""A table without rows moves its watermark that often, in an empty commit: bounds what is read again after a crash, and
keeps a table that is seldom written from falling below what Kafka holds."""
OFFSETS_S: Final = 0.5
"""At most that often offsets are committed to Kafka."""
CLOSE_SHARE: Final = 0.8
"""Of `drain_s`: how long a sink that shall stop waits for the lake; then it leaves its rows to the next one."""
_FIRST_WAIT_S: Final = 0.25
MAX_WAIT_S: Final = 10.0
STEP: Final = "a round of the sink does not end"
READING: Final = "records are there, and none is read"

LOGGER: Final = logging.getLogger("millrace.sink")

OLDEST_WAITING: Final = Gauge(
    "millrace_sink_oldest_waiting_seconds", "Age of the oldest event that waits for its commit; 0 if none does."
)
STALLED: Final = Gauge("millrace_sink_stalled_seconds", "For how long nothing could be committed; 0 if all is well.")
FENCED: Final = Counter("millrace_sink_fenced", "Partitions that another sink turned out to have.", ("topic",))
LOST: Final = Counter("millrace_sink_lost_records", "Records that Kafka deleted before the table had them.", ("table",))

_Recoverable = (TransientError, CommitStateUnknown, FencedError)


class UnreadableRecord(StreamError):
    """A record of our own topics cannot be decoded. It is not skipped: names topic, partition and offset."""


class LostRecord(StreamError):
    """A record was read and did not reach the tables' buffers. Ends the process before a watermark moves past it."""


class Target(NamedTuple):
    """Where a record belongs: its table, row, and entry position as a lane and an offset in it."""

    table: Table
    row: Row
    lane: Lane
    entry_offset: int


class Sink:
    """One sink of the group. For one thread; `stop` may be called from any, also from a signal handler."""

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        codec: Codec,
        health: Health,
        intake: Callable[..., Intake] = Intake,
        watchdog: Watchdog | None = None,
    ) -> None:
        """`intake` makes the Kafka side. Raises `LakeUnavailable` if a table cannot be opened."""
        self._watchdog = watchdog or Watchdog(health, settings.stall_s)
        self._settings = settings
        self._codec = codec
        self._health = health
        self._streams = {settings.topic(name): name for name in STREAMS}
        self._tables = {table.name: SinkTable(lake.create(table)) for table in TABLES.values()}
        self._stopping = threading.Event()
        self._parent = os.getppid() if settings.embedded_topic_ids else None
        self._reading: dict[Partition, ReadPartition] = {}
        self._absorbed: dict[Partition, int] = {}
        self._undecoded: deque[Record] = deque()
        self._offsets: dict[Partition, int] = {}
        self._now = time.monotonic()
        self._moved_at = dict.fromkeys(self._tables, self._now)
        self._offsets_at = 0.0
        self._waiting_since: float | None = None
        self._stalled_since: float | None = None
        self._retry_at = 0.0
        self._pauses = Backoff(_FIRST_WAIT_S, MAX_WAIT_S)
        self._intake = intake(settings, list(self._streams), self._giving_up, self._forget)

    def stop(self) -> None:
        """Let `run` commit what waits, leave the group and return."""
        self._stopping.set()

    def run(self) -> SinkReport:
        """Sink until stopped; what was done. Raises `UnreadableRecord`; `LakeUnavailable` if the last commit failed."""
        try:
            while not self._stopping.is_set():
                self.step()
                if self._parent is not None and os.getppid() != self._parent:
                    self.stop()  # the embedded broker died with its process
        finally:
            self.close()
        return self.report()

    def step(self, timeout_s: float = 0.1) -> None:
        """One round, which waits at most `timeout_s` for records. The numbers are the module's."""
        self._watchdog.beat(STEP)
        records = self._intake.poll(timeout_s)  # a callback in here may drop what waits
        self._undecoded.extend(records)
        self._now = time.monotonic()
        if self._now >= self._retry_at:
            try:
                self._admit()  # 1
                self._absorb()  # 2
                self._flush()  # 3, 4
            except _Recoverable as exc:
                self._back_off(exc)
            else:
                self._go_on()
        self._commit_offsets()  # 5
        behind = self._show()
        if records or not behind or self._stalled_since is not None:
            self._watchdog.beat(READING)

    def close(self) -> None:
        """Commit what waits, then the offsets, and leave the group. Raises `LakeUnavailable` if that failed."""
        self._health.not_ready("stopping")
        deadline = time.monotonic() + CLOSE_SHARE * self._settings.drain_s
        try:
            while True:
                try:
                    self._flush(everything=True)
                    break
                except _Recoverable as exc:
                    if time.monotonic() > deadline:
                        raise LakeUnavailable("rows that waited were left to the next sink") from exc
                    time.sleep(0.5)
        finally:
            self._commit_offsets(wait=True)
            self._intake.close()

    def report(self) -> SinkReport:
        """What was done so far."""
        tables = self._tables.values()
        return SinkReport(
            rows={table.name: table.rows for table in tables},
            replayed={table.name: table.replayed for table in tables},
            commits={table.name: table.commits for table in tables},
            event_to_lake={table.name: table.event_to_lake for table in tables},
        )

    def _admit(self) -> None:
        """Step 1, for partitions that were assigned or that another sink was found to have."""
        joining = sorted(self._intake.joining)
        if not joining:
            return
        ids = topic_ids(self._settings, {one.topic for one in joining})
        bounds = self._intake.bounds(joining)
        tables = {table.name: table for one in joining for table in self._tables_of(one)}
        watermarks = {name: table.store.watermarks() for name, table in tables.items()}
        for table in tables.values():
            table.load_keys()
        for one in joining:
            read = ReadPartition(ids[one.topic], self._streams[one.topic], one.number)
            follow = [Progress(read, watermarks[table.name], bounds[one].low) for table in self._tables_of(one)]
            for table, progress in zip(self._tables_of(one), follow, strict=True):
                if progress.committed is not None:
                    progress.next = self._within(bounds[one], one, table.name, progress.committed)
            start = min(progress.next for progress in follow)
            self._intake.begin(one, start)
            for table, progress in zip(self._tables_of(one), follow, strict=True):
                table.open(progress)
            self._reading[one] = read
            self._absorbed[one] = start
            fields = {"topic": one.topic, "partition": one.number, "offset": start, **bounds[one]._asdict()}
            LOGGER.info("reading", extra={"fields": fields})

    def _within(self, bounds: Bounds, one: Partition, table: str, watermark: int) -> int:
        """A watermark, bounded to what Kafka holds; raises the alarm where it was not."""
        fields = {"table": table, "watermark": watermark, "topic": one.topic, "partition": one.number}
        if watermark < bounds.low:
            LOST.labels(table).inc(bounds.low - watermark)
            LOGGER.error("Kafka deleted records before the table had them", extra={"fields": fields | bounds._asdict()})
            return bounds.low
        if watermark > bounds.high:
            # The topic lost its end: what comes takes these offsets again, and entry positions still tell replays.
            LOGGER.error("Kafka holds less than the table has read", extra={"fields": fields | bounds._asdict()})
            return bounds.high
        return watermark

    def _absorb(self) -> None:
        """Step 2. A record that waits for the schema registry stays first in line."""
        while self._undecoded:
            record = self._undecoded[0]
            if record.follows != self._absorbed[record.partition]:
                raise LostRecord(
                    f"{record.partition} offset {self._absorbed[record.partition]} was lost in this process"
                )
            found = self._decode(record)
            self._undecoded.popleft()
            self._absorbed[record.partition] = record.offset + 1
            read = self._reading[record.partition]
            size_bytes = len(record.value or b"")
            for table in self._tables_of(record.partition):
                row = found.row if table.name == found.table.name else None
                table.offer(read, record.offset, found.lane, found.entry_offset, row, size_bytes)

    def _decode(self, record: Record) -> Target:
        topic, number = record.partition
        try:
            if record.value is None:
                raise UnreadableRecord("a tombstone")
            return target(self._codec, self._streams[topic], record.value)
        except (SchemaError, UnreadableRecord) as exc:
            # Its text may quote the record: only the kind of error is told.
            kind = type(exc).__name__
            raise UnreadableRecord(
                f"{topic} partition {number} offset {record.offset} cannot be read ({kind}) and is not skipped; "
                "was it written by a newer version?"
            ) from None

    def _flush(self, everything: bool = False) -> None:
        """Steps 3 and 4 for every table with rows when it is time, for others when their watermark must move."""
        tables = self._tables.values()
        rows = sum(table.waiting_rows for table in tables)
        if rows and self._waiting_since is None:
            self._waiting_since = self._now
        due = (
            (self._waiting_since is not None and self._now - self._waiting_since >= self._settings.lake_commit_s)
            or rows >= self._settings.lake_commit_rows
            or sum(table.waiting_bytes for table in tables) >= BUFFER_BYTES
        )
        try:
            for table in tables:
                if everything or table.in_doubt or (due and table.waiting_rows) or self._must_move(table):
                    table.commit()
                    self._moved_at[table.name] = self._now
        finally:
            for table in tables:
                self._fence(table.take_fenced())
            if not any(table.waiting_rows for table in tables):
                self._waiting_since = None

    def _must_move(self, table: SinkTable) -> bool:
        ahead = table.ahead()
        return ahead >= WATERMARK_RECORDS or (ahead > 0 and self._now - self._moved_at[table.name] >= WATERMARK_S)

    def _fence(self, fenced: Collection[ReadPartition]) -> None:
        """Drop what waits for these and read their watermarks anew, if they are still ours then."""
        if not fenced:
            return
        theirs = [one for one, read in self._reading.items() if read in fenced]
        for one in theirs:
            FENCED.labels(one.topic).inc()
        self._intake.rejoin(theirs)
        self._forget(theirs)

    def _forget(self, partitions: Collection[Partition]) -> None:
        for one in partitions:
            self._offsets.pop(one, None)
            read = self._reading.pop(one, None)
            if read is not None:
                for table in self._tables_of(one):
                    table.close(read)
        kept = [record for record in self._undecoded if record.partition in self._reading]
        self._undecoded.clear()
        self._undecoded.extend(kept)

    def _giving_up(self) -> None:
        """Commit once, without waiting for a lake that is away: the next owner reads again what did not land."""
        try:
            self._flush(everything=True)
        except _Recoverable as exc:
            LOGGER.warning("rows are left to the next owner", extra={"fields": {"error": type(exc).__name__}})
        self._commit_offsets(wait=True)

    def _back_off(self, exc: StreamError) -> None:
        """Wait with everything paused: polling keeps us in the group, and memory stays flat."""
        if self._stalled_since is None:
            self._stalled_since = self._now
            self._intake.pause()
        wait_s = self._pauses.next_s()
        self._retry_at = time.monotonic() + wait_s
        self._health.not_ready(type(exc).__name__)
        fields = {"error": type(exc).__name__, "problem": str(exc), "wait_s": round(wait_s, 1)}
        LOGGER.warning("waiting for a dependency", extra={"fields": fields})

    def _go_on(self) -> None:
        if self._stalled_since is not None:
            LOGGER.info("going on", extra={"fields": {"stalled_s": round(self._now - self._stalled_since, 1)}})
            self._stalled_since = None
            self._pauses.reset()
            self._intake.resume()
        if self._intake.assigned and not self._intake.joining:
            self._health.ready()

    def _commit_offsets(self, wait: bool = False) -> None:
        """Step 5: tell Kafka what is durable, when that has changed."""
        if not wait and time.monotonic() - self._offsets_at < OFFSETS_S:
            return
        self._offsets_at = time.monotonic()
        durable = {
            one: min(table.durable(read) for table in self._tables_of(one)) for one, read in self._reading.items()
        }
        news = {one: offset for one, offset in durable.items() if self._offsets.get(one) != offset}
        if news and self._intake.commit(news, wait):
            self._offsets.update(news)

    def _show(self) -> bool:
        """Set the gauges; whether Kafka has records for us."""
        received = [table.oldest_received_at for table in self._tables.values() if table.oldest_received_at is not None]
        OLDEST_WAITING.set(max(0.0, time.time() - min(received) / 1e6) if received else 0.0)
        STALLED.set(0.0 if self._stalled_since is None else self._now - self._stalled_since)
        lags = self._intake.watch()
        for one, lag in lags.items():
            metrics.LAG.labels(one.topic, str(one.number)).set(lag)
        return any(lags.values())

    def _tables_of(self, partition: Partition) -> list[SinkTable]:
        return [self._tables[table.name] for table in STREAMS[self._streams[partition.topic]]]


def target(codec: Codec, stream: str, value: bytes) -> Target:
    """Where a record of a stream belongs. Raises what `Codec.decode` raises."""
    if stream == "redacted":
        event = codec.decode(value, RedactedEvent)
        return _target(EVENTS, event_row(event), event.entry)
    if stream == "curated":
        outcome = codec.decode(value, Outcome)
        table, row = outcome_row(outcome)
        return _target(table, row, outcome.entry)
    letter = codec.decode(value, DeadLetter)
    return _target(DEAD_LETTERS, dead_letter_row(letter), letter.entry, f"{letter.stage}:")


def _target(table: Table, row: Row, entry: Position, writer: str = "") -> Target:
    return Target(table, row, Lane(writer + entry.topic_id, entry.partition), entry.offset)


def serve(settings: Settings, report: bool = False, intake: Callable[..., Intake] = Intake) -> None:
    """Run a sink until SIGTERM or SIGINT. With `report`, the last line on stdout says what was done, as JSON."""
    health = Health()
    watchdog = Watchdog(health, settings.stall_s)
    stop_serving = metrics.serve(settings.metrics_host, settings.metrics_port, health)
    sinks: list[Sink] = []

    def stop() -> None:
        if not sinks:
            os._exit(0)  # still waiting for a dependency; nothing was begun
        sinks[0].stop()

    try:
        on_signals(stop, watchdog, settings.drain_s)
        watchdog.start()
        await_topics(settings, health)
        sinks.append(_await_lake(settings, health, intake, watchdog))
        gc.freeze()  # what was loaded stays: the collector need not look at it again
        done = sinks[0].run()
    finally:
        stop_serving()
    if report:
        sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
        sys.stdout.flush()


def _await_lake(settings: Settings, health: Health, intake: Callable[..., Intake], watchdog: Watchdog) -> Sink:
    from streams.lake.delta import DeltaLake

    lake, codec = DeltaLake(settings.lake), codec_of(settings, health)
    return await_answer(lambda: Sink(settings, lake, codec, health, intake, watchdog), "the lake", health, LOGGER)
