"""What the sink and the queries need of a lake, and the names of the watermarks that a table keeps.

A table keeps its watermarks in the commit that writes the rows, each a name and an integer:

    read:{topic_id}/{partition}                          the next offset to read
    entry:{stream}/{partition}/{topic_id}/{partition}    the highest entry offset seen, by partition read and entry
                                                         partition

`stream` is a topic's logical name without its id: in an embedded run every broker's topics are new, the entry topic
of the same input is not, and running a file again must be recognised.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import pyarrow as pa
import pyarrow.dataset as ds

from schemas.events import Position
from schemas.tables import Table


class Lane(NamedTuple):
    """An entry partition, whose positions only grow within a partition that is read.

    Both agents write dead letters, each in its own order: there the agent's name stands before the topic id.
    """

    topic_id: str
    partition: int


class ReadPartition(NamedTuple):
    """A partition that the sink reads: of the topic with Kafka's id `topic_id`, logical name `stream`."""

    topic_id: str
    stream: str
    partition: int


class TableSize(NamedTuple):
    """How big a table is at a version."""

    rows: int
    version: int
    files: int
    bytes: int


class Changes(Protocol):
    """Rows that were added to a table between two versions."""

    @property
    def complete(self) -> bool:
        """False where this is all of the table instead: rows were deleted, or the log of these commits is gone."""
        ...

    @property
    def why(self) -> str:
        """Why it is all of the table; empty where `complete`."""
        ...

    def batches(self, columns: Sequence[str], batch_rows: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows with the version that first brought them, which never falls; memory stays flat.

        Of rows that a purge or a compaction has rewritten together it is the lowest, and where the log is gone the one
        before what is left of it. A row may come again in a later call, never be left out. Raises `LakeUnavailable`.
        """
        ...


class TableStore(Protocol):
    """One table. Adapters: `streams.lake.delta`, `tests.fakes`. For one thread at a time."""

    @property
    def table(self) -> Table:
        """Its contract."""
        ...

    def watermarks(self) -> Mapping[str, int]:
        """All watermarks of the newest version. Raises `LakeUnavailable`."""
        ...

    def append(self, rows: pa.Table, expected: Mapping[str, int | None], watermarks: Mapping[str, int]) -> int:
        """Add rows (maybe none) and set watermarks in one commit; returns the version that it made.

        `expected`: what the newest version must say of these watermarks, None for nothing yet. Raises `FencedError` if
        it says otherwise, `LakeUnavailable` if nothing was written, `CommitStateUnknown` for every other failure: the
        commit may have landed, or land yet.
        """
        ...

    def recent_keys(self, limit: int) -> list[tuple[str | int | None, ...]]:
        """The `table.key` columns of the newest rows, at most `limit`, newest last. Raises `LakeUnavailable`."""
        ...

    def table_id(self) -> str:
        """What the table was given when it was made: another one where it was made anew. Raises `LakeUnavailable`."""
        ...

    def version(self) -> int:
        """The newest version. Raises `LakeUnavailable`."""
        ...

    def size(self) -> TableSize:
        """How big the newest version is. Raises `LakeUnavailable`."""
        ...

    def purge(self, before: datetime, entries: Collection[Position] = ()) -> int:
        """Remove the rows that Kafka took before a time, and those of entry positions; returns how many.

        From storage too: what was removed before, also by a call that was cut off, is in no file of the table after
        it. A query that began before may fail. Safe beside writers. Raises `LakeUnavailable`: the same call again goes
        on.
        """
        ...

    def dataset(self, version: int | None = None) -> ds.Dataset:
        """A version (None: the newest), to be read with its files and columns pruned.

        Raises `LakeUnavailable`, `VersionGone` for a version that was purged or cleaned up, or is not there yet.
        """
        ...

    def changes(self, after: int, until: int) -> Changes:
        """What the commits after a version, up to one that is there, brought: their files only.

        Raises `LakeUnavailable`, also where a purge takes a file meanwhile: the same call again finds what is there.
        """
        ...


class Lake(Protocol):
    """A folder or bucket path of tables."""

    def create(self, table: Table) -> TableStore:
        """Open a table, making it if need be. Raises `LakeUnavailable`."""
        ...

    def find(self, table: Table) -> TableStore | None:
        """Open a table; None if nothing was written to it yet. Raises `LakeUnavailable`."""
        ...


def read_id(partition: ReadPartition) -> str:
    """The name of the watermark of the topic read."""
    return f"read:{partition.topic_id}/{partition.partition}"


def entry_id(partition: ReadPartition, lane: Lane) -> str:
    """The name of the watermark of an entry partition within a partition read."""
    return f"{_entry_prefix(partition)}{lane.topic_id}/{lane.partition}"


def lanes(partition: ReadPartition, watermarks: Mapping[str, int]) -> dict[Lane, int]:
    """The highest entry offset seen by entry partition, out of all watermarks of a table."""
    prefix = _entry_prefix(partition)
    found = {}
    for name, offset in watermarks.items():
        if name.startswith(prefix):
            topic_id, _, entry_partition = name.removeprefix(prefix).rpartition("/")
            found[Lane(topic_id, int(entry_partition))] = offset
    return found


def _entry_prefix(partition: ReadPartition) -> str:
    return f"entry:{partition.stream}/{partition.partition}/"
