"""A lake to watch, and what a full query of it says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from schemas.events import Consent, Erasure, RedactedEvent
from schemas.outcomes import Outcome
from schemas.tables import EVENTS, REJECTED, SAMPLES, arrow_table, event_row, outcome_row
from schemas.targets import Target
from streams.lake.ports import Lake
from streams.lake.query import connect_to
from tests.events import redacted
from trainer_trigger import drift
from trainer_trigger.database import Database
from trainer_trigger.datasets.population import Population, gone, newest
from trainer_trigger.watch.snapshots import Snapshot
from trainer_trigger.watch.watching import Watch

Record = Outcome | RedactedEvent


def target(**fields: Any) -> Target:
    """A target of any shape, checked like one from the file."""
    said = {
        "training": {"base_model": "m"},
        "launcher": {"openai": {"base_url": "http://localhost:1/v1"}},
        "dataset": {"min_score": 0.5},
    }
    return msgspec.convert({**said, **fields}, Target)


def consent(user: str, granted: bool, at: int, tenant: str = "t") -> RedactedEvent:
    return redacted(f"consent-{at}", at, interaction_id="", tenant=tenant, consent=Consent(granted, user))


def erasure(user: str, at: int, tenant: str = "t") -> RedactedEvent:
    return redacted(f"erasure-{at}", at, interaction_id="", tenant=tenant, erasure=Erasure(user))


def commit(lake: Lake, records: Iterable[Record]) -> None:
    """One commit a table, of what belongs there."""
    tables: dict[str, list[Any]] = {EVENTS.name: [], SAMPLES.name: [], REJECTED.name: []}
    for record in records:
        if isinstance(record, RedactedEvent):
            tables[EVENTS.name].append(event_row(record))
        else:
            table, row = outcome_row(record)
            tables[table.name].append(row)
    for table in (EVENTS, SAMPLES, REJECTED):
        if tables[table.name]:
            lake.create(table).append(arrow_table(table, tables[table.name]), {}, {})


def watch(database: Database, lake: Lake | str, folder: Path, snapshot: Sequence[drift.Row] | None = None) -> Watch:
    made = None if snapshot is None else Snapshot("snapshot", True, lambda _known: snapshot)
    return Watch(database, lake, str(folder / "reports"), lambda *_asked: made)


def trainable(root: str, wanted: Target) -> int:
    """How many lines the builder of training sets has to choose from: one a cluster, unless they are pairs."""
    population = Population(root, newest(root), b"key", gone(root), frozenset())
    try:
        population.select(wanted)
        population.candidates(of_pairs=False)
        return population.count("SELECT count(*) FROM candidates")
    finally:
        population.close()


def asked(lake: Lake, wanted: Target) -> int:
    """How many clusters have a sample that qualifies, by a query of all that there is."""
    conditions = ["awaits_review IS NOT TRUE"]
    good = f"score >= {wanted.dataset.min_score}"
    if wanted.format == "kto":
        good = f"({good} OR score < 0.5)"
    conditions.append(f"CASE WHEN origin = 'human' OR rejected_output IS NOT NULL THEN true ELSE {good} END")
    columns = {"tenants": "tenant", "roles": "role", "task_types": "task_type", "intents": "intent"}
    for name, column in {**columns, "languages": "language", "models": "model"}.items():
        if values := getattr(wanted.filter, name):
            conditions.append(f"{column} IN ({', '.join(repr(value) for value in values)})")
    chosen = f"samples_latest JOIN clusters USING (sample_id) WHERE {' AND '.join(conditions)}"
    query = f"SELECT count(DISTINCT cluster_id) FROM {chosen}"
    with connect_to(lake) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])
