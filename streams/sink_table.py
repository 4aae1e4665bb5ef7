"""One table's way from records to commits: filter, buffer, commit, and what to do when a commit fails.

It knows nothing of Kafka but offsets. Whatever it drops (`close`) is still in Kafka above the table's watermark.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from schemas.tables import Row, arrow_table
from streams import metrics
from streams.errors import CommitStateUnknown, FencedError
from streams.lake.ports import Lane, ReadPartition, TableStore, read_id
from streams.replays import KeyWindow, Progress, key_hash
from streams.sink_report import Latencies

KEY_WINDOW: Final = 200_000
"""Keys in which a repeat is looked for: a client's retries come within minutes, this is an hour at 50 events/s."""

LOGGER: Final = logging.getLogger("millrace.sink")


class Waiting(NamedTuple):
    """A row that waits for its commit, with the hash of its unique key and about how many bytes it takes."""

    row: Row
    key: bytes
    bytes: int


class Attempt(NamedTuple):
    """What one commit is to bring about: by partition the watermarks it sets and how many waiting rows it takes."""

    watermarks: dict[ReadPartition, dict[str, int]]
    rows: dict[ReadPartition, int]


class SinkTable:
    """Takes every record of its stream, keeps the rows that are new and its own, and commits them exactly once."""

    def __init__(self, store: TableStore, window: int = KEY_WINDOW, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since 1970, for the age of rows.

        `oldest_received_at`: when Kafka took the oldest event that waits for a commit, in epoch microseconds.
        """
        self.store = store
        self.name = store.table.name
        self.rows = 0
        self.commits = 0
        self.replayed = 0
        self.event_to_lake = Latencies()
        self.waiting_bytes = 0
        self.oldest_received_at: int | None = None
        self._window_limit = window
        self._clock = clock
        self._progress: dict[ReadPartition, Progress] = {}
        self._waiting: dict[ReadPartition, list[Waiting]] = {}
        self._waiting_keys: set[bytes] = set()
        self._window = KeyWindow(window)
        self._in_doubt: Attempt | None = None
        self._fenced: set[ReadPartition] = set()

    def load_keys(self) -> None:
        """Fill the window from the table; before a partition is opened, because another sink may have had it."""
        window = KeyWindow(self._window_limit)
        window.add(key_hash(key) for key in self.store.recent_keys(self._window_limit))
        self._window = window

    def open(self, progress: Progress) -> None:
        """Follow a partition from now on."""
        self._progress[progress.partition] = progress
        self._waiting[progress.partition] = []

    def close(self, partition: ReadPartition) -> None:
        """Forget a partition with the rows that wait for it."""
        self._progress.pop(partition, None)
        for waiting in self._waiting.pop(partition, ()):
            self._waiting_keys.discard(waiting.key)
            self.waiting_bytes -= waiting.bytes
        if self._in_doubt is not None:
            # Opened again, it has other rows waiting; what landed meanwhile is then somebody else's.
            self._in_doubt.watermarks.pop(partition, None)
            self._in_doubt.rows.pop(partition, None)
        self._age()

    def offer(
        self,
        partition: ReadPartition,
        offset: int,
        lane: Lane,
        entry_offset: int,
        row: Row | None,
        size_bytes: int,
    ) -> None:
        """Take the next record of a partition; `row` is None where it belongs to another table.

        Records that the table has already passed are ignored: they are read again for the sake of another table.
        """
        progress = self._progress[partition]
        if offset < progress.next:
            return
        is_new = progress.is_new(offset, lane, entry_offset)
        if row is None:
            return
        key = key_hash(tuple(row[name] for name in self.store.table.key))
        if not is_new or key in self._window or key in self._waiting_keys:
            self.replayed += 1
            metrics.REPLAYED.labels("sink").inc()
            return
        self._waiting[partition].append(Waiting(row, key, size_bytes))
        self.oldest_received_at = min(row["received_at"], self.oldest_received_at or row["received_at"])
        self._waiting_keys.add(key)
        self.waiting_bytes += size_bytes

    @property
    def waiting_rows(self) -> int:
        """Rows that wait for a commit."""
        return len(self._waiting_keys)

    @property
    def in_doubt(self) -> bool:
        """Whether a commit was tried of which nobody knows yet if it landed."""
        return self._in_doubt is not None

    def ahead(self) -> int:
        """The most records that a partition was read beyond the table's watermark."""
        return max((abs(progress.ahead) for progress in self._progress.values()), default=0)

    def durable(self, partition: ReadPartition) -> int:
        """The offset below which all rows of a partition are in the table."""
        progress = self._progress[partition]
        return progress.committed_or_start if self._waiting[partition] or self.in_doubt else progress.next

    def take_fenced(self) -> Collection[ReadPartition]:
        """The partitions of which it turned out that another writer has them; they are closed already."""
        fenced, self._fenced = self._fenced, set()
        return fenced

    def commit(self) -> None:
        """Commit all waiting rows with the watermarks of everything seen.

        1 an earlier attempt is in doubt: look whether it landed → 2 write rows and watermarks in one commit, onto the
        watermarks that we left → 3 they are not: look which partitions another writer has, drop those, do 2 with the
        others.

        Raises `LakeUnavailable`, `CommitStateUnknown`, and `FencedError` if 3 finds nobody: the same call again goes on
        where this one stopped.
        """
        # 1
        if self._in_doubt is not None:
            self._look(self._in_doubt)
            self._in_doubt = None
        while (attempt := self._attempt()).watermarks:
            # 2
            start = time.perf_counter()
            try:
                self._append(attempt)
            except FencedError:
                # 3
                followed = len(self._progress)
                self._look(None)
                if len(self._progress) == followed:
                    raise
                continue
            except CommitStateUnknown:
                self._in_doubt = attempt
                raise
            self._landed(attempt)
            metrics.COMMIT_SECONDS.labels(self.name).observe(time.perf_counter() - start)

    def _attempt(self) -> Attempt:
        moved = {partition: progress for partition, progress in self._progress.items() if progress.ahead}
        return Attempt(
            {partition: progress.watermarks() for partition, progress in moved.items()},
            {partition: len(self._waiting[partition]) for partition in moved},
        )

    def _append(self, attempt: Attempt) -> None:
        rows = [waiting.row for partition in attempt.rows for waiting in self._waiting[partition]]
        expected = {read_id(partition): self._progress[partition].committed for partition in attempt.rows}
        watermarks = {name: offset for marks in attempt.watermarks.values() for name, offset in marks.items()}
        self.store.append(arrow_table(self.store.table, rows), expected, watermarks)

    def _look(self, attempt: Attempt | None) -> None:
        """Compare the table with what was left and, of an attempt in doubt, with what was wanted.

        An attempt landed for a partition when its watermark is there. Another sink may have set it: one that read the
        same records from the same watermark, so its rows are the same.
        """
        found = self.store.watermarks()
        landed: Attempt = Attempt({}, {})
        for partition, progress in list(self._progress.items()):
            there = found.get(read_id(partition))
            if there == progress.committed:
                continue
            wanted = attempt.watermarks.get(partition) if attempt is not None else None
            if attempt is not None and wanted is not None and there == wanted[read_id(partition)]:
                landed.watermarks[partition] = wanted
                landed.rows[partition] = attempt.rows[partition]
                continue
            fields = {"table": self.name, "partition": partition.partition, "stream": partition.stream}
            LOGGER.warning(
                "another sink has the partition: dropping what waits",
                extra={"fields": {**fields, "expected": progress.committed, "found": there}},
            )
            self._fenced.add(partition)
            self.close(partition)
        if landed.watermarks:
            self._landed(landed)

    def _landed(self, attempt: Attempt) -> None:
        now = self._clock()
        seconds = []
        for partition, count in attempt.rows.items():
            self._progress[partition].landed(attempt.watermarks[partition])
            done = self._waiting[partition][:count]
            del self._waiting[partition][:count]
            self._window.add(waiting.key for waiting in done)
            self._waiting_keys.difference_update(waiting.key for waiting in done)
            self.waiting_bytes -= sum(waiting.bytes for waiting in done)
            seconds += [now - waiting.row["received_at"] / 1e6 for waiting in done]
        self._age()
        self.commits += 1
        self.rows += len(seconds)
        self.event_to_lake.record(seconds)
        metrics.ROWS.labels(self.name).inc(len(seconds))
        observe = metrics.EVENT_TO_LAKE_SECONDS.labels(self.name).observe
        for value in seconds:
            observe(value)

    def _age(self) -> None:
        self.oldest_received_at = min(
            (waiting.row["received_at"] for rows in self._waiting.values() for waiting in rows), default=None
        )
