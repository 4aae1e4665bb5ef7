"""Fakes of the ports, which pass the same contract suites as the real adapters (`tests/contracts/`)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds

from schemas.events import Position
from schemas.tables import Table
from streams.brokers import Outgoing
from streams.errors import CommitStateUnknown, FencedError, LakeUnavailable, VersionGone
from streams.lake.ports import TableSize
from streams.redaction import Finding


class FakePublisher:
    """A `streams.collector.publisher.Publisher` in memory.

    `takes` says for each record whether it is acknowledged; those that were are in `records`, in order.
    """

    def __init__(self, takes: Callable[[Outgoing], bool] = lambda _record: True) -> None:
        self.takes = takes
        self.records: list[Outgoing] = []

    async def publish(self, records: Sequence[Outgoing]) -> list[bool]:
        acknowledged = [self.takes(record) for record in records]
        self.records += [record for record, taken in zip(records, acknowledged, strict=True) if taken]
        return acknowledged


class AtAnalyzer:
    """A `streams.redaction.Analyzer` that finds every `@word`."""

    version = "at"
    types = frozenset({"AT"})

    def analyze(self, text: str) -> list[Finding]:
        return [Finding("AT", match.start(), match.end(), 1.0) for match in re.finditer(r"@\w+", text)]


class FakeLake:
    """A `streams.lake.ports.Lake` in memory, with failures to order.

    `failures` are taken one an append, by table: "away" nothing was written, "before" an unknown outcome that did not
    land, "after" one that did, "late" one that lands at `land`, unless another commit came first. With `away` set
    nothing answers.
    """

    def __init__(self) -> None:
        self.tables: dict[str, FakeTable] = {}
        self.failures: dict[str, list[str]] = {}
        self.away = False

    def create(self, table: Table) -> FakeTableStore:
        if self.away:
            raise LakeUnavailable("away")
        shared = self.tables.setdefault(table.name, FakeTable(table))
        shared.contract = table
        return FakeTableStore(self, shared)

    def find(self, table: Table) -> FakeTableStore | None:
        if self.away:
            raise LakeUnavailable("away")
        return FakeTableStore(self, self.tables[table.name]) if table.name in self.tables else None

    def land(self) -> None:
        """Let the late commits arrive."""
        for table in self.tables.values():
            for version, rows, watermarks in table.late:
                if version == table.version:
                    table.commit(rows, watermarks)
            table.late.clear()


class FakeTable:
    """What all stores of one table share."""

    def __init__(self, contract: Table) -> None:
        self.contract = contract
        self.table_id = str(uuid.uuid4())
        self.commits: list[pa.Table] = []
        self.watermarks: dict[str, int] = {}
        self.late: list[tuple[int, pa.Table, dict[str, int]]] = []
        self.purges: list[tuple[int, int]] = []  # the first version that lost a row, and that of the purge

    @property
    def version(self) -> int:
        return len(self.commits)

    @property
    def rows(self) -> pa.Table:
        return self.rows_at(self.version)

    def rows_at(self, version: int) -> pa.Table:
        return pa.concat_tables([self.contract.schema.empty_table(), *self.upgraded()[:version]])

    def upgraded(self) -> list[pa.Table]:
        schema = self.contract.schema
        return [
            rows if rows.schema == schema else pa.Table.from_pylist(rows.to_pylist(), schema) for rows in self.commits
        ]

    def commit(self, rows: pa.Table, watermarks: Mapping[str, int]) -> None:
        self.commits.append(rows)
        self.watermarks |= watermarks


class FakeChanges(NamedTuple):
    """A `streams.lake.ports.Changes` of a `FakeTable`."""

    lake: FakeLake
    commits: Sequence[tuple[int, pa.Table]]
    why: str

    @property
    def complete(self) -> bool:
        return not self.why

    def batches(self, columns: Sequence[str], batch_rows: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        for version, rows in self.commits:
            for batch in rows.select(list(columns)).to_batches(max_chunksize=batch_rows):
                if self.lake.away:
                    raise LakeUnavailable("away")
                yield version, batch


class FakeTableStore:
    """A `streams.lake.ports.TableStore` of a `FakeLake`."""

    def __init__(self, lake: FakeLake, shared: FakeTable) -> None:
        self._lake = lake
        self._shared = shared

    @property
    def table(self) -> Table:
        return self._shared.contract

    def watermarks(self) -> Mapping[str, int]:
        return dict(self._answering().watermarks)

    def append(self, rows: pa.Table, expected: Mapping[str, int | None], watermarks: Mapping[str, int]) -> int:
        shared = self._answering()
        failures = self._lake.failures.get(self.table.name, [])
        failure = failures.pop(0) if failures else ""
        if failure == "away":
            raise LakeUnavailable("away")
        if any(shared.watermarks.get(name) != offset for name, offset in expected.items()):
            raise FencedError("another writer")
        if failure == "late":
            shared.late.append((shared.version, rows, dict(watermarks)))
        if failure not in ("before", "late"):
            shared.commit(rows, watermarks)
        if failure:
            raise CommitStateUnknown(failure)
        return shared.version

    def recent_keys(self, limit: int) -> list[tuple[str | int | None, ...]]:
        rows = self._answering().rows.select(self.table.key)
        columns = [column.to_pylist() for column in rows.slice(max(0, rows.num_rows - limit)).columns]
        return list(zip(*columns, strict=True))

    def table_id(self) -> str:
        return self._answering().table_id

    def version(self) -> int:
        return self._answering().version

    def size(self) -> TableSize:
        shared = self._answering()
        return TableSize(shared.rows.num_rows, shared.version, shared.version, shared.rows.nbytes)

    def purge(self, before: datetime, entries: Collection[Position] = ()) -> int:
        shared = self._answering()
        gone = {msgspec.structs.astuple(entry) for entry in entries}

        def stays(row: dict[str, Any]) -> bool:
            entry = (row["entry_topic_id"], row["entry_partition"], row["entry_offset"])
            return bool(row["received_at"] >= before) and entry not in gone

        had = [rows.num_rows for rows in shared.commits]
        shared.commits = [rows.filter(pa.array(map(stays, rows.to_pylist()), pa.bool_())) for rows in shared.commits]
        lost = [before - rows.num_rows for before, rows in zip(had, shared.commits, strict=True)]
        if any(lost):
            shared.commits.append(self.table.schema.empty_table())
            shared.purges.append((next(at for at, rows in enumerate(lost, 1) if rows), shared.version))
        return sum(lost)

    def dataset(self, version: int | None = None) -> ds.Dataset:
        shared = self._answering()
        version = shared.version if version is None else version
        if version > shared.version or any(first <= version < purge for first, purge in shared.purges):
            raise VersionGone(self.table.name, version, "purged")
        return ds.dataset(shared.rows_at(version))

    def changes(self, after: int, until: int) -> FakeChanges:
        shared = self._answering()
        purged = any(first <= after < purge <= until for first, purge in shared.purges)
        commits = list(enumerate(shared.upgraded()[:until], 1))[0 if purged else max(after, 0) :]
        return FakeChanges(self._lake, commits, "purged" if purged else "")

    def _answering(self) -> FakeTable:
        if self._lake.away:
            raise LakeUnavailable("away")
        return self._shared
