"""`millrace run`: files through the real agents and sink on the embedded broker."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from streams import embedded, logs
from streams.balance import Balance
from streams.errors import SettingError
from streams.importers import FORMAT_NAMES
from streams.settings import check_tenant, load

_SHOWN_BAD_LINES = 20


def run(
    files: Annotated[list[Path], typer.Argument(help="Files of events, gzip or plain.", exists=True, dir_okay=False)],
    lake: Annotated[str, typer.Option(help="Folder or s3://bucket/path of the tables.")],
    form: Annotated[str, typer.Option("--format", help=f"What a line is: {', '.join(FORMAT_NAMES)}.")] = "events",
    tenant: Annotated[str, typer.Option(help="Whom the events belong to.")] = "local",
    json: Annotated[bool, typer.Option("--json", help="The balance as one JSON object, as the last line.")] = False,
) -> None:
    """Carry files of events into a lake, on this machine alone, until drained; print a balance.

    For trying out and for backfills: the broker is in memory and lives as long as the command. If it is killed, run
    it again on the same file and lake: what landed stays, the rest follows, nothing twice. Exit 1 if a line could not
    be read or the balance does not add up.
    """
    if form not in FORMAT_NAMES:
        raise SettingError("--format", form, f"must be one of {', '.join(FORMAT_NAMES)}")
    check_tenant("--tenant", tenant)
    settings = msgspec.structs.replace(load(), lake=lake)
    logs.configure("ERROR")
    inputs = [embedded.Input(path, form, tenant) for path in files]
    with showing(json) as progress:
        result = embedded.run(inputs, settings, progress)
    report_bad_lines(result)
    if json:
        print_json(result)
    else:
        print_result(result)
    if result.bad_lines or not result.balance.adds_up:
        raise typer.Exit(1)


@contextmanager
def showing(quiet: bool) -> Iterator[embedded.Progress]:
    """A progress display on stderr for `embedded.run`."""
    console = Console(stderr=True, quiet=quiet)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task("starting", total=None)

        def show(what: str, sent: int, landed: int) -> None:
            total = sent if what == "draining" else None
            bar.update(task, description=f"{what}: {landed:,} events in the lake", total=total, completed=landed)

        yield show


def report_bad_lines(result: embedded.Result) -> None:
    """Say on stderr which lines were no events."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for name, number, problem in result.bad_lines[:_SHOWN_BAD_LINES]:
        console.print(f"{name}: line {number}: {problem}", markup=False)
    if len(result.bad_lines) > _SHOWN_BAD_LINES:
        console.print(f"… and {len(result.bad_lines) - _SHOWN_BAD_LINES} more")


def print_json(result: embedded.Result) -> None:
    """The balance and the speed as one line of JSON."""
    typer.echo(jsonlib.dumps({**msgspec.to_builtins(result.balance), **speed(result)}))


def speed(result: embedded.Result) -> dict[str, float | None]:
    """How fast it went, from the first event sent to the last row committed; None where no outcome was written."""
    received = result.balance.received
    latency = result.reports.sink.latency_of("samples", "rejected")
    return {
        "seconds": round(result.seconds, 3),
        "records_per_s": round(sum(received.values()) / result.seconds, 1),
        "interactions_per_s": round(received.get("interaction", 0) / result.seconds, 1),
        "event_to_lake_p50_s": round(latency.quantile(0.50), 3) if latency.count else None,
        "event_to_lake_p99_s": round(latency.quantile(0.99), 3) if latency.count else None,
    }


def print_result(result: embedded.Result) -> None:
    """The balance as a table."""
    console = Console(highlight=False)
    print_balance(result.balance, console)
    figures = speed(result)
    line = f"{figures['seconds']:.1f} s · {figures['interactions_per_s']:.0f} interactions/s"
    if figures["event_to_lake_p50_s"] is not None:
        line += (
            f" · event to lake p50 {figures['event_to_lake_p50_s']:.1f} s, p99 {figures['event_to_lake_p99_s']:.1f} s"
        )
    console.print(line)


def print_balance(balance: Balance, console: Console) -> None:
    """What came in against what became of it, and whether that adds up."""
    table = Table("", "interactions", "feedback", title="Balance", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    feedback = balance.feedback
    interactions = balance.received.get("interaction", 0)
    table.add_row("received", f"{interactions:,}", f"{sum(balance.received.values()) - interactions:,}")
    table.add_section()
    table.add_row("samples", f"{balance.samples:,}", "")
    table.add_row("duplicates", f"{balance.duplicates:,}", "")
    table.add_row("applied", "", f"{feedback.applied:,}")
    for reason in sorted(balance.rejected.keys() | feedback.rejected.keys()):
        table.add_row(
            f"rejected: {reason}", f"{balance.rejected.get(reason, 0):,}", f"{feedback.rejected.get(reason, 0):,}"
        )
    table.add_row("waiting", f"{balance.waiting:,}", f"{feedback.waiting:,}")
    table.add_row("dead letters", f"{balance.dead_lettered:,}", f"{feedback.dead_lettered:,}")
    table.add_row("seen before", f"{balance.replayed_interactions:,}", f"{feedback.replayed:,}")
    if balance.updates:
        table.add_row("updates of the above", f"{balance.updates:,}", "")
    table.add_section()
    if balance.unapplied:
        table.add_row("unapplied", f"{balance.unapplied:,}", "", style="red")
    table.add_row("lost", f"{balance.lost:,}", "", style="red" if balance.lost else "")
    verdict = "adds up" if balance.adds_up else "DOES NOT ADD UP"
    console.print(table)
    console.print(f"{verdict} · {balance.unreadable:,} lines unreadable · {balance.revised:,} earlier samples revised")
