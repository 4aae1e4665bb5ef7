"""`millrace lake win-rates`: who wins the battles in the lake, how surely, and how strong each is."""

from __future__ import annotations

import json as jsonlib
from enum import StrEnum
from typing import Annotated, Any, Final

import duckdb
import typer
from msgspec import Struct

from millrace.output import JsonOption, LakeOption, existing_lake, print_table
from streams.lake import query as lakes
from streams.rankings import Strength, Tally, strengths, win_rate


class By(StrEnum):
    """What is compared."""

    MODEL = "model"
    MODEL_VERSION = "model_version"
    VARIANT = "variant"


FIELD: Final = "\x00"
"""Whoever a counted win rate was won against: one competitor for all. No model has a control character as its name."""

_NAMES: Final = {
    By.MODEL: "model",
    By.MODEL_VERSION: "nullif(concat_ws(' ', model, model_version), '')",
    By.VARIANT: "variant",
}

_JUDGED: Final = """
WITH named AS (
    SELECT * FROM (
        SELECT tenant, interaction_id, arg_max_null({name}, row(occurred_at, event_id)) AS name,
            arg_max_null("user", row(occurred_at, event_id)) AS "user"
        FROM interactions WHERE $tenant IN ('', tenant) GROUP BY tenant, interaction_id
    )
    ANTI JOIN withdrawn_persons USING (tenant, "user")
    ANTI JOIN (SELECT tenant, interaction_id FROM latest_outcomes WHERE reason = 'consent_withdrawn')
        USING (tenant, interaction_id)
), judged AS (
    SELECT * FROM (
        SELECT tenant, interaction_id, name, coalesce(s."by", n."user") AS "user", rater, method, s."over" AS against,
            value, wins, losses, coalesce(ties, 0) AS ties, row(occurred_at, event_id) AS moment
        FROM scores s JOIN named n USING (tenant, interaction_id)
        ANTI JOIN (SELECT tenant, interaction_id, retracted AS event_id FROM retractions)
            USING (tenant, interaction_id, event_id)
        ANTI JOIN held USING (tenant, event_id)
        ANTI JOIN (SELECT * FROM rejected WHERE reason = 'id_conflict')
            USING (entry_topic_id, entry_partition, entry_offset)
        WHERE method IN ('pairwise', 'win_rate')
    ) ANTI JOIN withdrawn_persons USING (tenant, "user")
)
"""
"""`judged`: every score that stands, of interactions and judges ("user") that may be used."""

_BATTLES: Final = """
SELECT a.name, b.name, count(*) FILTER (outcome = 1), count(*) FILTER (outcome = -1), count(*) FILTER (outcome = 0)
FROM (
    SELECT tenant, least(interaction_id, against) AS one, greatest(interaction_id, against) AS other,
        arg_max(CASE WHEN value = 0.5 THEN 0 WHEN interaction_id < against THEN 1 ELSE -1 END, moment) AS outcome
    FROM judged WHERE method = 'pairwise' AND interaction_id <> against GROUP BY tenant, one, other, "user", rater
) battles
LEFT JOIN named a ON a.tenant = battles.tenant AND a.interaction_id = one
LEFT JOIN named b ON b.tenant = battles.tenant AND b.interaction_id = other
GROUP BY a.name, b.name
"""
"""A judge has one word on two interactions, the last one, whichever of them it was said of."""

_COUNTS: Final = """
SELECT name, sum(counted.wins)::BIGINT, sum(counted.losses)::BIGINT, sum(counted.ties)::BIGINT
FROM (
    SELECT name, arg_max({wins: wins, losses: losses, ties: ties}, moment) AS counted
    FROM judged WHERE method = 'win_rate' GROUP BY tenant, interaction_id, name, "user", rater
) GROUP BY name
"""


class WinRate(Struct, frozen=True):
    """One line: battles won, lost and tied against others, the share won (ties count half) and the strength, if any."""

    name: str
    tally: Tally
    share: float
    share_low: float
    share_high: float
    strength: Strength | None


class Compared(Struct, frozen=True):
    """All lines, the strongest of the largest group first; `left_out` battles were between nameless or one name."""

    win_rates: tuple[WinRate, ...]
    left_out: int


def compare(connection: duckdb.DuckDBPyConnection, by: By, tenant: str = "") -> Compared:
    """The win rates in a lake. Raises `ValueError` for too many names to rank."""
    judged = _JUDGED.format(name=_NAMES[by])
    tallies: dict[tuple[str, str], Tally] = {}
    left_out = 0
    for one, other, *counts in connection.execute(judged + _BATTLES, {"tenant": tenant}).fetchall():
        if one is None or other is None or one == other:
            left_out += sum(counts)
        else:
            pair, tally = ((one, other), Tally(*counts)) if one < other else ((other, one), Tally(*counts).mirrored())
            tallies[pair] = tallies.get(pair, Tally(0, 0, 0)).plus(tally)
    for name, *counts in connection.execute(judged + _COUNTS, {"tenant": tenant}).fetchall():
        if name is None:
            left_out += sum(counts)
        else:
            tallies[name, FIELD] = Tally(*counts)
    each: dict[str, Tally] = {}
    for (one, other), tally in tallies.items():
        each[one] = each.get(one, Tally(0, 0, 0)).plus(tally)
        each[other] = each.get(other, Tally(0, 0, 0)).plus(tally.mirrored())
    each.pop(FIELD, None)
    strong = strengths(tallies)
    lines = [WinRate(name, tally, *win_rate(tally), strong.get(name)) for name, tally in each.items() if tally.battles]
    return Compared(tuple(sorted(lines, key=_order)), left_out)


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


def _order(line: WinRate) -> tuple[int, float, str]:
    strength = line.strength
    return (0, -line.share, line.name) if strength is None else (strength.group, -strength.strength, line.name)


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
