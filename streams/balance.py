"""The balance of a run: every event that was sent, looked up by id and position in the lake. Nothing is computed by
subtraction: what is found nowhere is lost.
"""

from __future__ import annotations

from typing import Final, get_args

import duckdb
import msgspec
import pyarrow as pa

from schemas.events import EventKind


class FeedbackBalance(msgspec.Struct, frozen=True):
    """What became of the events that are no interactions. `waiting`: their interaction has not come."""

    applied: int
    waiting: int
    rejected: dict[str, int]
    dead_lettered: int
    replayed: int


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What became of everything that was sent.

    Interactions, each by its latest state: `received["interaction"]` = `samples` + `duplicates` + all `rejected` +
    `waiting` + `dead_lettered` + `replayed_interactions` + `updates`. `replayed` are all events that were seen before;
    `updates` later versions of an interaction that is counted already; `revised` interactions of earlier runs that
    got a new outcome; `unapplied` interactions whose latest outcome lacks some of their events; `double` rows of
    `events` beyond one an event id.
    """

    received: dict[str, int]
    unreadable: int
    samples: int
    duplicates: int
    rejected: dict[str, int]
    waiting: int
    dead_lettered: int
    replayed: int
    replayed_interactions: int
    updates: int
    revised: int
    feedback: FeedbackBalance
    unapplied: int
    lost: int
    double: int

    @property
    def adds_up(self) -> bool:
        """Whether every interaction and every other event is accounted for, once."""
        interactions = self.received.get("interaction", 0)
        counted = (
            self.samples
            + self.duplicates
            + sum(self.rejected.values())
            + self.waiting
            + self.dead_lettered
            + self.replayed_interactions
            + self.updates
        )
        other = self.feedback
        others = other.applied + other.waiting + sum(other.rejected.values()) + other.dead_lettered + other.replayed
        sent_others = sum(self.received.values()) - interactions
        missed = self.lost or self.double or self.unapplied
        return counted == interactions and others == sent_others and not missed


_POSITIONS: Final = """
SELECT 1 AS rank, 'rejected' AS place, entry_topic_id, entry_partition, entry_offset, reason
FROM rejected WHERE scope = 'event' AND entry_topic_id IN (SELECT unnest($topic_ids))
UNION ALL
SELECT 2, 'dead_letters', entry_topic_id, entry_partition, entry_offset, reason
FROM dead_letters WHERE entry_topic_id IN (SELECT unnest($topic_ids))
UNION ALL
SELECT 3, 'events', entry_topic_id, entry_partition, entry_offset, NULL
FROM events WHERE entry_topic_id IN (SELECT unnest($topic_ids))
"""
"""Where each position of the given entry topics is to be found; of several places the lowest rank counts."""

_LANDED: Final = """
CREATE TEMP TABLE landed AS
SELECT l.*, p.place, p.reason FROM ledger l
JOIN (
    SELECT * FROM positions ANTI JOIN before USING (place, entry_topic_id, entry_partition, entry_offset)
    QUALIFY row_number() OVER (PARTITION BY entry_topic_id, entry_partition, entry_offset ORDER BY rank) = 1
) p ON (l.topic_id, l.partition, l."offset") = (p.entry_topic_id, p.entry_partition, p.entry_offset)
"""
"""The events that this run brought into the lake, each with where it came to lie."""

_MISSED: Final = """
CREATE TEMP TABLE missed AS
SELECT l.*, e.event_id IS NOT NULL OR b.place IS NOT NULL AS seen
FROM ledger l
ANTI JOIN landed USING (topic_id, partition, "offset")
LEFT JOIN (SELECT DISTINCT tenant, event_id FROM events SEMI JOIN ledger USING (tenant, event_id)) e
    USING (tenant, event_id)
LEFT JOIN (SELECT DISTINCT entry_topic_id, entry_partition, entry_offset, 'before' AS place FROM before) b
    ON (l.topic_id, l.partition, l."offset") = (b.entry_topic_id, b.entry_partition, b.entry_offset)
"""
"""The events that this run did not bring in: `seen` if they were there before, else lost."""

_STATES: Final = """
CREATE TEMP TABLE states AS
SELECT sample_id, CASE state WHEN 'rejected' THEN reason ELSE state END AS state
FROM interaction_states WHERE sample_id IS NOT NULL
"""
"""The state of every interaction that has an outcome: as in the view, or the reason for which it was rejected."""

_INTERACTIONS: Final = """
SELECT CASE
    WHEN place = 'dead_letters' THEN 'dead_lettered'
    WHEN place = 'rejected' THEN reason
    WHEN nth > 1 THEN 'update'
    ELSE coalesce(state, 'waiting') END AS fate, count(*) AS n
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY tenant, interaction_id, place ORDER BY topic_id, partition, "offset"
    ) AS nth
    FROM landed WHERE kind = 'interaction'
) l LEFT JOIN states s ON s.sample_id = l.tenant || '/' || l.interaction_id
GROUP BY fate
"""

_FEEDBACK: Final = """
SELECT CASE
    WHEN place = 'dead_letters' THEN 'dead_lettered'
    WHEN place = 'rejected' THEN reason
    WHEN l.interaction_id = '' OR i.interaction_id IS NOT NULL THEN 'applied'
    ELSE 'waiting' END AS fate, count(*) AS n
FROM landed l
LEFT JOIN (SELECT DISTINCT tenant, interaction_id FROM events WHERE kind = 'interaction') i
    USING (tenant, interaction_id)
WHERE l.kind <> 'interaction' GROUP BY fate
"""

_REVISED: Final = """
SELECT count(DISTINCT o.sample_id) FROM (
    SELECT sample_id, entry_topic_id, entry_partition, entry_offset FROM samples
    UNION ALL SELECT sample_id, entry_topic_id, entry_partition, entry_offset FROM rejected WHERE scope = 'interaction'
) o JOIN landed l ON (l.topic_id, l.partition, l."offset") = (o.entry_topic_id, o.entry_partition, o.entry_offset)
WHERE o.sample_id NOT IN (SELECT tenant || '/' || interaction_id FROM landed WHERE kind = 'interaction')
"""

_UNAPPLIED: Final = """
SELECT count(*) FROM unapplied SEMI JOIN landed USING (tenant, interaction_id)
"""

_DOUBLE: Final = """
SELECT coalesce(sum(n - 1), 0) FROM (
    SELECT count(*) AS n FROM events SEMI JOIN ledger USING (tenant, event_id) GROUP BY tenant, event_id
)
"""


def positions(lake: duckdb.DuckDBPyConnection, topic_ids: list[str]) -> pa.Table:
    """Where the events of these entry topics lie in the lake now; taken before a run, `balance` needs it after."""
    return lake.sql(_POSITIONS, params={"topic_ids": topic_ids}).to_arrow_table()


def balance(lake: duckdb.DuckDBPyConnection, ledger: pa.Table, before: pa.Table, unreadable: int) -> Balance:
    """Look up everything that was sent (`feed.LEDGER`), given what `positions` said before the run."""
    topic_ids = list(ledger.column("topic_id").unique().to_pylist())
    lake.register("ledger", ledger)
    lake.register("before", before)
    lake.register("positions", positions(lake, topic_ids))
    for table in (_LANDED, _MISSED, _STATES):
        lake.execute(table)
    kinds = dict(lake.execute("SELECT kind, count(*) FROM ledger GROUP BY kind ORDER BY kind").fetchall())
    interactions = dict(lake.execute(_INTERACTIONS).fetchall())
    others = dict(lake.execute(_FEEDBACK).fetchall())
    missed = "SELECT count(*) FROM missed WHERE "
    replayed = _number(lake, missed + "seen")
    replayed_interactions = _number(lake, missed + "seen AND kind = 'interaction'")
    return Balance(
        received=_by_kind(kinds),
        unreadable=unreadable,
        samples=interactions.pop("sample", 0),
        duplicates=interactions.pop("duplicate", 0),
        waiting=interactions.pop("waiting", 0),
        dead_lettered=interactions.pop("dead_lettered", 0),
        updates=interactions.pop("update", 0),
        rejected=dict(sorted(interactions.items())),
        replayed=replayed,
        replayed_interactions=replayed_interactions,
        revised=_number(lake, _REVISED),
        feedback=FeedbackBalance(
            applied=others.pop("applied", 0),
            waiting=others.pop("waiting", 0),
            dead_lettered=others.pop("dead_lettered", 0),
            replayed=replayed - replayed_interactions,
            rejected=dict(sorted(others.items())),
        ),
        unapplied=_number(lake, _UNAPPLIED),
        lost=_number(lake, missed + "NOT seen"),
        double=_number(lake, _DOUBLE),
    )


def _by_kind(counts: dict[str, int]) -> dict[str, int]:
    return {kind: counts[kind] for kind in get_args(EventKind) if kind in counts}


def _number(lake: duckdb.DuckDBPyConnection, query: str) -> int:
    row = lake.execute(query).fetchone()
    assert row is not None
    return int(row[0])
