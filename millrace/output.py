"""How commands find their lake and print what they found: tables for people, or a JSON object a line."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import duckdb
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streams.errors import LakeUnavailable
from streams.lake import query as lakes
from streams.settings import load

LakeOption = Annotated[
    str, typer.Option("--lake", help="Folder or s3://bucket/path; default: the setting.", metavar="DIR")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]

_FETCH: Final = 1_000
_LONGEST_CELL: Final = 200
"""A longer value is cut off in a table for people; --json shows all of it."""


def existing_lake(lake: str) -> str:
    """The lake that is meant: `lake`, or that of the settings. Exits 2 if it is not there."""
    root = lake or load().lake
    try:
        found = ("://" in root or Path(root).is_dir()) and lakes.exists(root)
    except LakeUnavailable as exc:
        typer.echo(f"millrace: {exc}", err=True)
        raise typer.Exit(2) from exc
    if not found:
        typer.echo(f"millrace: there is no lake at {root}; set --lake or MILLRACE_LAKE", err=True)
        raise typer.Exit(2)
    return root


def show(result: duckdb.DuckDBPyConnection, as_json: bool) -> None:
    """Print the rows of a query."""
    names = [column[0] for column in result.description or ()]
    if as_json:
        for row in _rows(result):
            typer.echo(json.dumps(dict(zip(names, map(plain, row), strict=True)), ensure_ascii=False))
    else:
        print_table(names, [[cell(value) for value in row] for row in _rows(result)])


def print_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text under their columns' names."""
    shown = Table(*names, row_styles=["", "dim"])
    for row in rows:
        shown.add_row(*map(Text, row))
    Console().print(shown)


def plain(value: Any) -> Any:
    """A value of DuckDB as JSON can say it: times in ISO 8601, bytes in base64, decimals and not-a-number as text."""
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes():
            return base64.b64encode(value).decode()
        case Decimal() | UUID():
            return str(value)
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {str(plain(key)): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return value


def cell(value: Any) -> str:
    """A value of DuckDB for a table, cut off where it is long."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int):
        shown = plain(value)
        text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
        return text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…"
    return str(value)


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[Sequence[Any]]:
    while rows := result.fetchmany(_FETCH):
        yield from rows
