"""Asking the lake: its tables and views in an in-memory DuckDB, which can reach nothing else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from schemas.tables import TABLES, Table
from streams.errors import VersionGone
from streams.lake.delta import DeltaLake
from streams.lake.ports import Lake
from streams.lake.views import VIEWS

NO_TABLE: Final = -1
"""The version of a table that is not there."""

_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    # Its own Delta and S3 extensions come from the network; the tables are handed in as Arrow datasets instead.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,  # a name in a query is a table, never a variable of this process
}


def connect(
    root: str, memory_bytes: int | None = None, versions: Mapping[str, int] | None = None
) -> duckdb.DuckDBPyConnection:
    """The lake under a folder or `s3://` path, as it is now: every table and the views of `streams.lake.views`.

    A table to which nothing was written yet is empty. `versions` has the version to read of each table that it names,
    −1 for none: that table is empty. Queries read only the columns and files that they need, and cannot open files or
    addresses themselves. Times are shown in UTC. What needs more than `memory_bytes` (None: four fifths of the
    machine's) goes to disk. Raises `LakeUnavailable`, and `VersionGone` for a version that can no longer be read.
    """
    return connect_to(DeltaLake(root), memory_bytes, versions)


def connect_to(
    lake: Lake, memory_bytes: int | None = None, versions: Mapping[str, int] | None = None
) -> duckdb.DuckDBPyConnection:
    """As `connect`, for a lake that is open."""
    limit: dict[str, str] = {} if memory_bytes is None else {"memory_limit": f"{memory_bytes}B"}
    connection = duckdb.connect(":memory:", config={**_CONFIG, **limit})
    connection.execute("SET TimeZone = 'UTC'")
    spill = Path(tempfile.gettempdir()) / f"millrace-duckdb-{os.getuid()}"
    connection.execute("SET temp_directory = ?", [str(spill)])
    for table in TABLES.values():
        connection.register(table.name, _read(lake, table, (versions or {}).get(table.name)))
    for name, (_, query) in VIEWS.items():
        connection.execute(f"CREATE TEMP VIEW {name} AS {query}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _read(lake: Lake, table: Table, version: int | None) -> pa.Table | ds.Dataset:
    if version == NO_TABLE:
        return table.schema.empty_table()
    store = lake.find(table)
    if store is not None:
        return store.dataset(version)
    if version is not None:
        raise VersionGone(table.name, version, "there is no such table")
    return table.schema.empty_table()


def exists(root: str) -> bool:
    """Whether any of the tables is there. Raises `LakeUnavailable`."""
    lake = DeltaLake(root)
    return any(lake.find(table) is not None for table in TABLES.values())
