"""`millrace lake win-rates`: who wins the battles in the lake, how surely, and how strong each is."""

from __future__ import annotations

import json as jsonlib
from typing import Annotated, Any

import typer

from millrace.output import JsonOption, LakeOption, existing_lake, print_table
from streams.battles import By, WinRate, compare
from streams.lake import query as lakes


def win_rates(
    by: Annotated[By, typer.Option(help="What is compared.")] = By.MODEL,
    tenant: Annotated[str, typer.Option(help="Only this tenant's.", metavar="NAME")] = "",
    lake: LakeOption = "",
    json: JsonOption = False,
) -> None:
    """Who wins how often, out of pairwise scores and counted win rates (win_rate).

    The win rate is the posterior mean with a 95 % interval; a tie is half a win. The strength is Bradley-Terry's,
    with ties after Davidson: who is 1 stronger has e times the odds. It is above the average of its group; groups
    that no battle connects cannot be compared. A judge has one word on two answers, the last; what was retracted or
    is held does not count, nor does whoever withdrew consent. Exit 2 if there is no lake.
    """
    try:
        compared = compare(lakes.connect(existing_lake(lake)), by, tenant)
    except ValueError as exc:
        typer.echo(f"millrace: {exc}", err=True)
        raise typer.Exit(2) from exc
    if json:
        for line in compared.win_rates:
            typer.echo(jsonlib.dumps(_plain(line), ensure_ascii=False))
        return
    names = [by, "battles", "wins", "ties", "win rate", "95 %", "strength", "95 %", "group"]
    print_table(names, [_cells(line) for line in compared.win_rates])
    groups = {line.strength.group for line in compared.win_rates if line.strength is not None}
    if len(groups) > 1:
        typer.echo(f"{len(groups)} groups that no battle connects: strengths compare only within one.")
    if compared.left_out:
        typer.echo(
            f"Battles left out: {compared.left_out:,}, of one name, of none, or with an answer that is not there."
        )


def _plain(line: WinRate) -> dict[str, Any]:
    shown = {
        "name": line.name,
        "battles": line.tally.battles,
        **line.tally._asdict(),
        "win_rate": line.share,
        "win_rate_low": line.share_low,
        "win_rate_high": line.share_high,
    }
    if line.strength is None:
        return shown
    strength, low, high, group = line.strength
    return {**shown, "strength": strength, "strength_low": low, "strength_high": high, "group": group}


def _cells(line: WinRate) -> list[str]:
    counts = [f"{line.tally.battles:,}", f"{line.tally.wins:,}", f"{line.tally.ties:,}"]
    rate = [f"{line.share:.3f}", f"{line.share_low:.3f} – {line.share_high:.3f}"]
    if line.strength is None:
        return [line.name, *counts, *rate, "", "", ""]
    strength, low, high, group = line.strength
    return [line.name, *counts, *rate, f"{strength:+.2f}", f"{low:+.2f} – {high:+.2f}", str(group + 1)]
