"""The Delta adapter of `streams.lake.ports`; the only module that knows deltalake.

A table's watermarks are its app transactions. What delta-rs does with them, and why it is not enough (tests hold it):

- a *concurrent* use of the same app id is refused, whatever the retries: `CommitFailedError`, also when the commit
  that it ran into was its own, sent twice by the HTTP client after a lost answer. So that is an unknown outcome.
- a later commit may set a lower version: whoever comes late must look himself before he writes.
- commits of different app ids are retried on top of each other, which plain appends are meant for.
- without `last_updated` a transaction never expires in delta-rs; Spark drops it once
  `delta.setTransactionRetentionDuration` is set, so a table with that property is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.fs import DeltaStorageHandler
from pyarrow import fs as pafs

from schemas.events import Position
from schemas.tables import Table
from streams.errors import CommitStateUnknown, FencedError, LakeUnavailable, SettingError, VersionGone
from streams.lake import changes
from streams.lake.changes import AddedFile, FileChanges
from streams.lake.delta_log import LOG, AppTransactions
from streams.lake.ports import TableSize

COMMIT_RETRIES: Final = 15
"""How often an append is tried on top of other writers' appends; with four writers one or two are needed."""

KEY_FILES: Final = 512
"""At most so many of the newest files are read for their keys: about a second on S3."""

PURGE_TRIES: Final = 10
"""How often a purge is tried against appends that come in between."""

PURGE_ENTRIES: Final = 5_000
"""Positions in one predicate: each is a commit of its own."""

STORAGE_BOUNDS: Final[Mapping[str, str]] = {
    "timeout": "20s",
    "connect_timeout": "5s",
    "max_retries": "3",
    "retry_timeout": "20s",
}
"""A request ends within these, so that the sink notices and goes on polling Kafka."""

# Only these columns get statistics in the log: enough to prune files, and no text of a person stays in the log after
# the row was erased.
_WITH_STATISTICS: Final = (
    "kind",
    "entry_topic_id",
    "entry_partition",
    "entry_offset",
    "occurred_at",
    "received_at",
    "revision",
    "reason",
)
_RETENTION: Final = "delta.setTransactionRetentionDuration"
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")


class DeltaLake:
    """Tables under `root`: a folder, or `s3://bucket/path` with credentials and endpoint from `AWS_*`."""

    def __init__(self, root: str, environ: Mapping[str, str] | None = None) -> None:
        self._root = root.rstrip("/")
        self._options = storage_options(root, os.environ if environ is None else environ)

    def create(self, table: Table) -> DeltaTableStore:
        """See `ports.Lake`."""
        uri = self._uri(table)
        with _reading(table):
            if not DeltaTable.is_deltatable(uri, self._options):
                try:
                    self._make(table)
                except DeltaError:
                    if not DeltaTable.is_deltatable(uri, self._options):
                        raise  # else another process made it in the same moment
            self._upgrade(table)
        return DeltaTableStore(table, uri, self._options)

    def find(self, table: Table) -> DeltaTableStore | None:
        """See `ports.Lake`."""
        with _reading(table):
            if not DeltaTable.is_deltatable(self._uri(table), self._options):
                return None
        return DeltaTableStore(table, self._uri(table), self._options)

    def _make(self, table: Table) -> None:
        columns = [name for name in _WITH_STATISTICS if name in table.schema.names]
        DeltaTable.create(
            self._uri(table),
            table.schema,
            partition_by=["day"],
            name=table.name,
            description=table.doc,
            configuration={"delta.dataSkippingStatsColumns": ",".join(columns)},
            storage_options=self._options,
        )

    def _upgrade(self, table: Table) -> None:
        """Give a table that an earlier version made the columns that came since; in the old rows they are null."""
        handle = DeltaTable(self._uri(table), storage_options=self._options)
        if _paths(table.schema) - _paths(pa.schema(handle.schema().to_arrow())):
            write_deltalake(handle, table.schema.empty_table(), mode="append", schema_mode="merge")

    def _uri(self, table: Table) -> str:
        return f"{self._root}/{table.name}"


class DeltaTableStore:
    """One Delta table; see `ports.TableStore`."""

    def __init__(self, table: Table, uri: str, options: dict[str, str]) -> None:
        self._table = table
        self._uri = uri
        self._options = options
        self._files = pafs.PyFileSystem(DeltaStorageHandler(uri, options))
        self._handle: DeltaTable | None = None
        self._first: pafs.FileInfo | None = None
        self._transactions: AppTransactions | None = None

    @property
    def table(self) -> Table:
        """See `ports.TableStore`."""
        return self._table

    def watermarks(self) -> Mapping[str, int]:
        """See `ports.TableStore`."""
        return dict(self._newest()[1])

    def append(self, rows: pa.Table, expected: Mapping[str, int | None], watermarks: Mapping[str, int]) -> int:
        """See `ports.TableStore`.

        1 look at the newest version → 2 its watermarks must be those expected → 3 rows and watermarks in one commit
        onto that version: a commit in between that sets one of the same watermarks makes it fail.
        """
        # 1
        handle, found = self._newest()
        # 2
        moved = sum(found.get(name) != offset for name, offset in expected.items())
        if moved:
            raise FencedError(f"{self._table.name}: {moved} of {len(expected)} watermarks were set by another writer")
        # 3
        try:
            write_deltalake(
                handle,
                rows,
                mode="append",
                schema_mode="merge",
                writer_properties=WriterProperties(compression="ZSTD"),
                commit_properties=CommitProperties(
                    app_transactions=[Transaction(name, offset) for name, offset in watermarks.items()],
                    max_commit_retries=COMMIT_RETRIES,
                ),
            )
        except Exception as exc:
            self._handle = None
            raise CommitStateUnknown(f"{self._table.name}: {type(exc).__name__}") from exc
        return handle.version()

    def recent_keys(self, limit: int) -> list[tuple[str | int | None, ...]]:
        """See `ports.TableStore`. Also bounded by `KEY_FILES`, so fewer where commits are small."""
        paths: list[str] = []
        held = 0
        for file in sorted(self._added(), key=lambda file: -int(file["modification_time"])):
            if held >= limit or len(paths) == KEY_FILES:
                break
            paths.append(file["path"])
            held += file["num_records"] or 0
        if not paths:
            return []
        with _reading(self._table):
            schema = pa.schema([self._table.schema.field(name) for name in self._table.key])
            dataset = ds.dataset(paths[::-1], schema=schema, format="parquet", filesystem=self._files)
            keys = dataset.to_table()
        columns = [column.to_pylist() for column in keys.slice(max(0, keys.num_rows - limit)).columns]
        return list(zip(*columns, strict=True))

    def table_id(self) -> str:
        """See `ports.TableStore`. A handle follows the log of another table in the same place without noticing it."""
        with _reading(self._table):
            first = self._files.get_file_info(f"{LOG}/{0:020d}.json")
        if self._first not in (None, first):
            self._handle = None
        self._first = first
        return str(self._newest()[0].metadata().id)

    def version(self) -> int:
        """See `ports.TableStore`."""
        return self._newest()[0].version()

    def size(self) -> TableSize:
        """See `ports.TableStore`."""
        files = self._added()
        rows = sum(file["num_records"] or 0 for file in files)
        return TableSize(rows, self._newest()[0].version(), len(files), sum(file["size_bytes"] for file in files))

    def purge(self, before: datetime, entries: Collection[Position] = ()) -> int:
        """See `ports.TableStore`.

        1 rows go, in commits → 2 files that the log says were removed go at once → 3 files that no log ever named go
        when they are a week old: a younger one may belong to an append that is not committed yet.
        """
        # 1
        removed = self._delete(f"received_at < '{before.isoformat()}'")
        ordered = sorted(entries, key=msgspec.structs.astuple)
        for start in range(0, len(ordered), PURGE_ENTRIES):
            removed += self._delete(_any_of(ordered[start : start + PURGE_ENTRIES]))
        with _reading(self._table):
            handle = DeltaTable(self._uri, storage_options=self._options)
            # 2
            handle.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
            # 3
            handle.vacuum(dry_run=False, full=True)
        return removed

    def _delete(self, predicate: str) -> int:
        failed = 0
        while True:
            with _reading(self._table):
                handle = DeltaTable(self._uri, storage_options=self._options)
                try:
                    done = handle.delete(predicate, writer_properties=WriterProperties(compression="ZSTD"))
                    return int(done["num_deleted_rows"] or 0)
                except CommitFailedError:
                    failed += 1
                    if failed == PURGE_TRIES:
                        raise

    def dataset(self, version: int | None = None) -> ds.Dataset:
        """See `ports.TableStore`."""
        handle = self._newest()[0] if version is None else self._at(version)
        with _reading(self._table):
            found: ds.Dataset = handle.to_pyarrow_dataset()
        missing = _paths(self._table.schema) - _paths(found.schema)
        if missing:
            raise LakeUnavailable(
                f"{self._table.name} was made by an earlier version and lacks {', '.join(sorted(missing))}: a sink of "
                "this version, or `millrace run` on this lake, adds them when it starts"
            )
        return found

    def changes(self, after: int, until: int) -> FileChanges:
        """See `ports.TableStore`."""
        with _reading(self._table):
            added = changes.read(self._files, after, until)
            if after >= 0 and (added is None or added.deleted):
                why = "the log was cleaned up" if added is None else f"version {added.deleted} deleted rows"
                return FileChanges(self._table, self._files, self._all(until), why)
            files = self._all(until) if added is None else added.files
            return FileChanges(self._table, self._files, files, "")

    def _all(self, until: int) -> list[AddedFile]:
        """All files of a version, with what is known of when their rows came."""
        if (added := changes.read(self._files, -1, until)) is not None:
            return added.files
        present = _files(DeltaTable(self._uri, version=until, storage_options=self._options))
        return changes.what_is_left(self._files, present, until)

    def _at(self, version: int) -> DeltaTable:
        newest, _ = self._newest()
        if version > newest.version():
            raise VersionGone(self._table.name, version, f"the newest is {newest.version()}")
        with _reading(self._table):
            if version < changes.first_readable(self._files):
                raise VersionGone(self._table.name, version, "its log was cleaned up")
            handle = DeltaTable(self._uri, version=version, storage_options=self._options)
            # Only what is no part of the newest version can be gone.
            replaced = sorted(set(_files(handle)) - set(_files(newest)))
            found = self._files.get_file_info(replaced)
        gone = sum(info.type == pafs.FileType.NotFound for info in found)
        if gone:
            raise VersionGone(self._table.name, version, f"a purge has since removed {gone} of its files")
        return handle

    def _added(self) -> list[dict[str, Any]]:
        handle, _ = self._newest()
        with _reading(self._table):
            actions = pa.table(handle.get_add_actions(flatten=True))
        return list(actions.select(["path", "size_bytes", "modification_time", "num_records"]).to_pylist())

    def _newest(self) -> tuple[DeltaTable, Mapping[str, int]]:
        try:
            with _reading(self._table):
                if self._handle is None or self._transactions is None:
                    # The log first: a checkpoint that is newer than the handle only makes the fence stricter.
                    self._transactions = AppTransactions(self._files)
                    self._handle = DeltaTable(self._uri, storage_options=self._options)
                    _check(self._table, self._handle)
                else:
                    self._handle.update_incremental()
                self._transactions.follow(self._handle.version())
                return self._handle, self._transactions.latest
        except LakeUnavailable:
            self._handle = None
            raise


def _files(handle: DeltaTable) -> list[str]:
    """Paths below the table's root, as the storage has them."""
    return [unquote(path) for path in pa.table(handle.get_add_actions()).column("path").to_pylist()]


def _paths(schema: pa.Schema | pa.DataType, path: str = "") -> set[str]:
    """The names of all columns, and of all fields in them, by dotted path."""
    if isinstance(schema, (pa.ListType, pa.LargeListType)):
        return _paths(schema.value_type, path)
    fields = list(schema) if isinstance(schema, (pa.Schema, pa.StructType)) else []
    return {path}.union(*(_paths(field.type, f"{path}.{field.name}".lstrip(".")) for field in fields)) - {""}


def storage_options(root: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Options of delta-rs for a root: none for a folder; for S3 the `AWS_*` variables and conditional writes."""
    if not root.startswith("s3://"):
        return {}
    options = {name: value for name, value in environ.items() if name.startswith("AWS_")}
    endpoint = options.get("AWS_ENDPOINT_URL", "")
    if endpoint:
        options.setdefault("AWS_REGION", options.get("AWS_DEFAULT_REGION", "us-east-1"))
    if endpoint.startswith("http://"):
        options.setdefault("AWS_ALLOW_HTTP", "true")
    return {**options, **STORAGE_BOUNDS, "aws_conditional_put": "etag"}


def _any_of(entries: Collection[Position]) -> str:
    """A predicate that is true for the rows of these positions."""
    by_partition: dict[tuple[str, int], list[int]] = {}
    for entry in entries:
        by_partition.setdefault((entry.topic_id, entry.partition), []).append(entry.offset)
    return " OR ".join(
        f"(entry_topic_id = '{topic_id.replace(chr(39), chr(39) * 2)}' AND entry_partition = {partition} "
        f"AND entry_offset IN ({', '.join(map(str, offsets))}))"
        for (topic_id, partition), offsets in by_partition.items()
    )


def _check(table: Table, handle: DeltaTable) -> None:
    if _RETENTION in handle.metadata().configuration:
        mend = "unset it: without its old watermarks the table would take rows twice"
        raise SettingError(f"{table.name}: {_RETENTION}", handle.metadata().configuration[_RETENTION], mend)


@contextmanager
def _reading(table: Table) -> Iterator[None]:
    """Nothing is written inside, so whatever fails can be tried again. No row is in sight, so the text may be shown."""
    try:
        yield
    except (OSError, DeltaError) as exc:
        problem = " ".join(_ANSI.sub("", str(exc)).split())
        raise LakeUnavailable(f"{table.name}: {type(exc).__name__}: {problem[:300]}") from exc
