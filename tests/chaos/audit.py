"""The audit: every acknowledged event is in the lake exactly once, and every interaction in its one right state.

Pure functions over the lake's tables and views and the ledger of what was sent. Nothing is counted by subtraction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from schemas.events import RedactedEvent
from schemas.tables import event_of
from streams.stages import Drop, Wait
from streams.stages.gate import Gates
from streams.stages.join import InteractionLog, join
from streams.stages.normalise import normalise
from streams.stages.score import combine


class Findings(NamedTuple):
    """What is wrong, a sentence each; the same event may be in several."""

    lost: list[str]
    double: list[str]
    wrong_state: list[str]


class State(NamedTuple):
    """What an interaction has come to: `sample`, `rejected` or `waiting`; a near duplicate is a sample here.

    Whether it is one depends on who came first, which depends on the faults.
    """

    state: str
    reason: str | None = None
    revision: int | None = None
    score: float | None = None
    confidence: float | None = None
    instruction: str | None = None
    output: str | None = None


_GATES = Gates()
"""The built-in gates, as the pipeline under test has them."""

_ENTRY = "entry_topic_id, entry_partition, entry_offset"

_LOST = {
    "acknowledged, and neither in events nor in the dead letters": """
        SELECT tenant || '/' || event_id FROM sent
        ANTI JOIN events USING (tenant, event_id)
        ANTI JOIN dead_letters USING (event_hash)
        WHERE acknowledged
    """,
    "corrupt, acknowledged, and not in the dead letters": """
        SELECT concat_ws('/', p.topic_id, p.partition, p."offset") FROM poison p
        ANTI JOIN dead_letters d
            ON (p.topic_id, p.partition, p."offset") = (d.entry_topic_id, d.entry_partition, d.entry_offset)
    """,
}

_DOUBLE = {
    "more than once in events": """
        SELECT tenant || '/' || event_id FROM events GROUP BY tenant, event_id HAVING count(*) > 1
    """,
    "nobody sent it": """
        SELECT tenant || '/' || event_id FROM events ANTI JOIN sent USING (tenant, event_id)
    """,
    "a position more than once in the dead letters": f"""
        SELECT concat_ws('/', {_ENTRY}) FROM dead_letters GROUP BY {_ENTRY} HAVING count(*) > 1
    """,
    "more dead letters than it was sent": """
        SELECT tenant || '/' || event_id FROM sent
        JOIN (SELECT event_hash, count(*) AS letters FROM dead_letters WHERE stage = 'redact' GROUP BY event_hash)
            USING (event_hash)
        WHERE letters > sends
    """,
    "both in events and in the dead letters of redact": """
        SELECT e.tenant || '/' || e.event_id FROM events e JOIN sent USING (tenant, event_id)
        SEMI JOIN (SELECT * FROM dead_letters WHERE stage = 'redact') USING (event_hash)
    """,
    "a position with more than one outcome": f"""
        SELECT concat_ws('/', {_ENTRY}) FROM (
            SELECT {_ENTRY} FROM samples UNION ALL SELECT {_ENTRY} FROM rejected
        ) GROUP BY {_ENTRY} HAVING count(*) > 1
    """,
    "more than one current sample": """
        SELECT sample_id FROM samples_current GROUP BY sample_id HAVING count(*) > 1
    """,
    "more than one state": """
        SELECT tenant || '/' || interaction_id FROM interaction_states
        GROUP BY tenant, interaction_id HAVING count(*) > 1
    """,
}

_EVENTS = f"""
SELECT * FROM events ANTI JOIN dead_letters USING ({_ENTRY})
WHERE interaction_id <> '' ORDER BY tenant, interaction_id, event_id
"""
"""What each interaction is made of; an event that `curate` could not process is in both tables."""

_STATES = """
SELECT i.tenant, i.interaction_id, i.state, i.reason, i.revision, s.score, s.confidence, s.instruction, s.output,
    s.duplicate_of, s.sample_id
FROM interaction_states i LEFT JOIN samples_latest s USING (sample_id)
"""


def audit(lake: duckdb.DuckDBPyConnection, sent: pa.Table, poison: pa.Table) -> Findings:
    """Compare the lake with what was sent (`ledger.SENT`, `ledger.POISON`)."""
    lake.register("sent", sent)
    lake.register("poison", poison)
    return Findings(list(_told(lake, _LOST)), list(_told(lake, _DOUBLE)), list(_wrong_states(lake)))


def expected(events: Iterable[RedactedEvent]) -> State:
    """What the events of an interaction come to, folded afresh."""
    log = InteractionLog(tuple({event.event_id: event for event in events}.values()))
    revision = len(log.events)
    joined = join(log)
    if isinstance(joined, Wait):
        return State("waiting")
    if isinstance(joined, Drop):
        return State("rejected", joined.reason.value, revision)
    normalised = normalise(joined.record)
    if isinstance(normalised, Drop):
        return State("rejected", normalised.reason.value, revision)
    gated = _GATES(normalised.record)
    if isinstance(gated, Drop):
        return State("rejected", gated.reason.value, revision)
    combined = combine(joined.record.scores, interaction=joined.record.interaction)
    texts = normalised.record.instruction, normalised.record.output
    return State("sample", None, revision, combined.score, combined.confidence, *texts)


def _told(lake: duckdb.DuckDBPyConnection, queries: dict[str, str]) -> Iterator[str]:
    for problem, query in queries.items():
        for (what,) in lake.execute(query).fetchall():
            yield f"{what}: {problem}"


def _wrong_states(lake: duckdb.DuckDBPyConnection) -> Iterator[str]:
    names = ("tenant", "interaction_id", *State._fields, "duplicate_of", "sample_id")
    found = {row[:2]: dict(zip(names, row, strict=True)) for row in lake.execute(_STATES).fetchall()}
    for key, events in groupby(_events(lake), key=lambda event: (event.tenant, event.interaction_id)):
        wanted, there = expected(events), found.pop(key, None)
        if there is None:
            yield f"{'/'.join(key)}: has no state, wanted {_short(wanted)}"
        elif (actual := _actual(there)) != wanted:
            yield f"{'/'.join(key)}: {_short(actual)}, wanted {_short(wanted)}"
        elif there["duplicate_of"] is not None and there["duplicate_of"] == there["sample_id"]:
            yield f"{'/'.join(key)}: a near duplicate of itself"
    for key in found:
        yield f"{'/'.join(map(str, key))}: has a state and no events"


def _events(lake: duckdb.DuckDBPyConnection) -> Iterator[RedactedEvent]:
    for batch in lake.sql(_EVENTS).to_arrow_reader():
        yield from map(event_of, batch.to_pylist())


def _actual(row: dict[str, Any]) -> State:
    if row["state"] == "waiting":
        return State("waiting")
    if row["state"] == "rejected":
        return State("rejected", row["reason"], row["revision"])
    return State("sample", None, *(row[name] for name in State._fields[2:]))


def _short(state: State) -> str:
    """Without its texts."""
    return str(tuple(state[:5]))
