"""`millrace lake`: ask the lake."""

from __future__ import annotations

import base64
import json as jsonlib
import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import duckdb
import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.tables import TABLES
from streams import reconcile as reconciling
from streams.brokers import GaplessProducer
from streams.errors import LakeUnavailable
from streams.lake import query as lakes
from streams.lake.audit import audit_lake
from streams.lake.delta import DeltaLake
from streams.lake.ports import TableSize
from streams.lake.views import VIEWS
from streams.redaction.audit import Kind, Report
from streams.settings import load

app = typer.Typer(
    name="lake",
    help="The lake's tables and views: what is there, and SQL over it.",
    no_args_is_help=True,
    add_completion=False,
)

_FETCH: Final = 1_000
_LONGEST_CELL: Final = 200
"""A longer value is cut off in a table for people; --json shows all of it."""

_Lake = Annotated[str, typer.Option("--lake", help="Folder or s3://bucket/path; default: the setting.", metavar="DIR")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="DuckDB's SQL, e.g. 'select * from samples_current limit 5'.")],
    lake: _Lake = "",
    json: _Json = False,
) -> None:
    """Run a query over the tables and views (`millrace lake tables` lists them). It can read nothing else.

    Exit 2 if there is no lake or the query is wrong.
    """
    connection = lakes.connect(_existing(lake))
    try:
        result = connection.execute(query if query.strip(" ;\n\t") else "SELECT")
        names = [column[0] for column in result.description or ()]
        if json:
            for row in _rows(result):
                typer.echo(jsonlib.dumps(dict(zip(names, map(plain, row), strict=True)), ensure_ascii=False))
        else:
            _print(names, [[_cell(value) for value in row] for row in _rows(result)])
    except duckdb.Error as exc:
        typer.echo(f"millrace: {str(exc).strip()}", err=True)
        raise typer.Exit(2) from exc


@app.command()
def tables(lake: _Lake = "", json: _Json = False) -> None:
    """Every table with its size, and the views. Exit 2 if there is no lake."""
    root = _existing(lake)
    entries = []
    for table in TABLES.values():
        store = DeltaLake(root).find(table)
        size = TableSize(0, 0, 0, 0) if store is None else store.size()
        entries.append({"name": table.name, **size._asdict(), "holds": table.doc})
    views = [{"name": name, "holds": holds} for name, (holds, _) in VIEWS.items()]
    if json:
        for entry in [*entries, *views]:
            typer.echo(jsonlib.dumps(entry, ensure_ascii=False))
        return
    for listed in (entries, views):
        _print(list(listed[0]), [[_cell(value) for value in entry.values()] for entry in listed])


@app.command()
def reconcile(
    lake: _Lake = "",
    settled_s: Annotated[float, typer.Option(min=0, help="Leave alone what got an event this recently.")] = 600.0,
    json: _Json = False,
) -> None:
    """Publish again what the state (Redis) has forgotten and the lake still has, for `curate` to take up.

    An interaction is published whose latest outcome lacks some of its events. Harmless when nothing was forgotten: run
    it now and then, and after Redis was flushed or has evicted. Needs Kafka.
    """
    settings = load()
    published = reconciling.reconcile(lakes.connect(_existing(lake)), settings, GaplessProducer(settings), settled_s)
    typer.echo(jsonlib.dumps({"published": published}) if json else f"{published:,} events published again")


@app.command()
def audit(
    lake: _Lake = "",
    share: Annotated[float, typer.Option(min=0, max=1, help="Share of the events that is read.")] = 1.0,
    max_per_million: Annotated[
        float | None, typer.Option(min=0, help="Exit 1 if more is found per million characters.")
    ] = None,
    json: _Json = False,
) -> None:
    """Look for personal data in the redacted events, with other means than the redactor's.

    Says how much was found per million characters, by kind, and where: the first places, never a value. Plain patterns
    also find what is nobody's, a long number say: compare with an earlier figure. Exit 1 above --max-per-million, 2 if
    there is no lake.
    """
    report = audit_lake(DeltaLake(_existing(lake)), share)
    if json:
        typer.echo(jsonlib.dumps(_audited(report, share)))
    else:
        _print(
            ["kind", "findings", "per million characters"],
            [
                [name, f"{found:,}", f"{report.per_million_chars(kind):,.1f}"]
                for name, kind, found in [
                    *((kind.value, kind, report.findings.get(kind, 0)) for kind in Kind),
                    ("all", None, sum(report.findings.values())),
                ]
            ],
        )
        typer.echo(f"{report.events:,} events · {report.texts:,} texts · {report.chars:,} characters")
        if report.places:
            shown = [
                [place.event_id, place.field, place.kind, str(place.start), str(place.end)] for place in report.places
            ]
            _print(["event_id", "field", "kind", "start", "end"], shown)
    if max_per_million is not None and report.per_million_chars() > max_per_million:
        raise typer.Exit(1)


def _audited(report: Report, share: float) -> dict[str, Any]:
    by_kind = {kind.value: report.per_million_chars(kind) for kind in Kind}
    return {
        "share": share,
        "events": report.events,
        "texts": report.texts,
        "chars": report.chars,
        "findings": {kind.value: report.findings.get(kind, 0) for kind in Kind},
        "per_million_chars": {"all": report.per_million_chars(), **by_kind},
        "places": msgspec.to_builtins(report.places),
    }


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


def _existing(lake: str) -> str:
    """The lake that is meant; exits 2 if it is not there."""
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


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[Sequence[Any]]:
    while rows := result.fetchmany(_FETCH):
        yield from rows


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int):
        shown = plain(value)
        text = shown if isinstance(shown, str) else jsonlib.dumps(shown, ensure_ascii=False)
        return text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…"
    return str(value)


def _print(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    shown = Table(*names, row_styles=["", "dim"])
    for row in rows:
        shown.add_row(*map(Text, row))
    Console().print(shown)
