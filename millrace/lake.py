"""`millrace lake`: ask the lake."""

from __future__ import annotations

import json as jsonlib
import time
from typing import Annotated, Any

import duckdb
import msgspec
import typer

from millrace.export import export
from millrace.output import JsonOption, LakeOption, cell, existing_lake, print_table, show
from millrace.win_rates import win_rates
from schemas.tables import TABLES
from streams import reconcile as reconciling
from streams.brokers import GaplessProducer
from streams.errors import TransientError
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


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="DuckDB's SQL, e.g. 'select * from samples_current limit 5'.")],
    lake: LakeOption = "",
    json: JsonOption = False,
) -> None:
    """Run a query over the tables and views (`millrace lake tables` lists them). It can read nothing else.

    Exit 2 if there is no lake or the query is wrong.
    """
    connection = lakes.connect(existing_lake(lake))
    try:
        show(connection.execute(query if query.strip(" ;\n\t") else "SELECT"), json)
    except duckdb.Error as exc:
        typer.echo(f"millrace: {str(exc).strip()}", err=True)
        raise typer.Exit(2) from exc


@app.command()
def tables(lake: LakeOption = "", json: JsonOption = False) -> None:
    """Every table with its size, and the views. Exit 2 if there is no lake."""
    root = existing_lake(lake)
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
        print_table(list(listed[0]), [[cell(value) for value in entry.values()] for entry in listed])


@app.command()
def reconcile(
    lake: LakeOption = "",
    settled_s: Annotated[float, typer.Option(min=0, help="Leave alone what got an event this recently.")] = 600.0,
    every_s: Annotated[float, typer.Option(min=0, help="Do it again and again, with such a pause; 0 is once.")] = 0.0,
    json: JsonOption = False,
) -> None:
    """Publish again what the state (Redis) has forgotten and the lake still has, for `curate` to take up.

    An interaction is published whose latest outcome lacks some of its events, or that nobody has scored in the join
    window (MILLRACE_STATE_DAYS): that is rejected as no_feedback then, until somebody does. Harmless when there is
    nothing to do: let it run with --every-s, and once after Redis was flushed or has evicted. Needs Kafka.
    """
    settings, root = load(), existing_lake(lake)
    producer = GaplessProducer(settings)
    while True:
        try:
            published = reconciling.reconcile(lakes.connect(root), settings, producer, settled_s)
        except TransientError as exc:
            if not every_s:
                raise
            typer.echo(f"millrace: {exc}; tried again in {every_s:g} s", err=True)
        else:
            typer.echo(jsonlib.dumps({"published": published}) if json else f"{published:,} events published again")
        if not every_s:
            return
        time.sleep(every_s)


@app.command()
def audit(
    lake: LakeOption = "",
    share: Annotated[float, typer.Option(min=0, max=1, help="Share of the events that is read.")] = 1.0,
    max_per_million: Annotated[
        float | None, typer.Option(min=0, help="Exit 1 if more is found per million characters.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Look for personal data in the redacted events, with other means than the redactor's.

    Says how much was found per million characters, by kind, and where: the first places, never a value. Plain patterns
    also find what is nobody's, a long number say: compare with an earlier figure. Exit 1 above --max-per-million, 2 if
    there is no lake.
    """
    report = audit_lake(DeltaLake(existing_lake(lake)), share)
    if json:
        typer.echo(jsonlib.dumps(_audited(report, share)))
    else:
        print_table(
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
            print_table(["event_id", "field", "kind", "start", "end"], shown)
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


app.command("win-rates")(win_rates)
app.command()(export)
