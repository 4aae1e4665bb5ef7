"""Battles in the lake: who wins out of pairwise scores and counted win rates, how surely, and how strong each is."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import duckdb
from msgspec import Struct

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


def _order(line: WinRate) -> tuple[int, float, str]:
    strength = line.strength
    return (0, -line.share, line.name) if strength is None else (strength.group, -strength.strength, line.name)
