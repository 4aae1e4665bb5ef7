"""Asking the lake: its tables and views in an in-memory DuckDB, which can reach nothing else."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

import duckdb

from schemas.tables import TABLES
from streams.lake.delta import DeltaLake
from streams.lake.ports import Lake
from streams.lake.views import VIEWS

_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    # Its own Delta and S3 extensions come from the network; the tables are handed in as Arrow datasets instead.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,  # a name in a query is a table, never a variable of this process
}


def connect(root: str, memory_bytes: int | None = None) -> duckdb.DuckDBPyConnection:
    """The lake under a folder or `s3://` path, as it is now: every table and the views of `streams.lake.views`.

    A table to which nothing was written yet is empty. Queries read only the columns and files that they need, and
    cannot open files or addresses themselves. Times are shown in UTC. What needs more than `memory_bytes` (None: four
    fifths of the machine's) goes to disk. Raises `LakeUnavailable`.
    """
    return connect_to(DeltaLake(root), memory_bytes)


def connect_to(lake: Lake, memory_bytes: int | None = None) -> duckdb.DuckDBPyConnection:
    """As `connect`, for a lake that is open."""
    limit: dict[str, str] = {} if memory_bytes is None else {"memory_limit": f"{memory_bytes}B"}
    connection = duckdb.connect(":memory:", config={**_CONFIG, **limit})
    connection.execute("SET TimeZone = 'UTC'")
    spill = Path(tempfile.gettempdir()) / f"millrace-duckdb-{os.getuid()}"
    connection.execute("SET temp_directory = ?", [str(spill)])
    for table in TABLES.values():
        store = lake.find(table)
        connection.register(table.name, table.schema.empty_table() if store is None else store.dataset())
    for name, (_, query) in VIEWS.items():
        connection.execute(f"CREATE TEMP VIEW {name} AS {query}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def exists(root: str) -> bool:
    """Whether any of the tables is there. Raises `LakeUnavailable`."""
    lake = DeltaLake(root)
    return any(lake.find(table) is not None for table in TABLES.values())
