"""Fakes of the ports, which pass the same contract suites as the real adapters (`tests/contracts/`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds

from schemas.events import Position
from schemas.tables import Table
from streams.brokers import Outgoing
from streams.errors import CommitStateUnknown, FencedError, LakeUnavailable
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
        self.commits: list[pa.Table] = []
        self.watermarks: dict[str, int] = {}
        self.late: list[tuple[int, pa.Table, dict[str, int]]] = []

    @property
    def version(self) -> int:
        return len(self.commits)

    @property
    def rows(self) -> pa.Table:
        schema = self.contract.schema
        upgraded = (
            rows if rows.schema == schema else pa.Table.from_pylist(rows.to_pylist(), schema) for rows in self.commits
        )
        return pa.concat_tables([schema.empty_table(), *upgraded])

    def commit(self, rows: pa.Table, watermarks: Mapping[str, int]) -> None:
        self.commits.append(rows)
        self.watermarks |= watermarks


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

    def size(self) -> TableSize:
        shared = self._answering()
        return TableSize(shared.rows.num_rows, shared.version, shared.version, shared.rows.nbytes)

    def purge(self, before: datetime, entries: Collection[Position] = ()) -> int:
        shared = self._answering()
        gone = {msgspec.structs.astuple(entry) for entry in entries}

        def stays(row: dict[str, Any]) -> bool:
            entry = (row["entry_topic_id"], row["entry_partition"], row["entry_offset"])
            return bool(row["received_at"] >= before) and entry not in gone

        had = shared.rows.num_rows
        shared.commits = [rows.filter(pa.array(map(stays, rows.to_pylist()), pa.bool_())) for rows in shared.commits]
        return int(had - shared.rows.num_rows)

    def dataset(self) -> ds.Dataset:
        return ds.dataset(self._answering().rows)

    def _answering(self) -> FakeTable:
        if self._lake.away:
            raise LakeUnavailable("away")
        return self._shared
