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
    return Watch(database, lake, str(folder / "reports"), lambda _name: snapshot)


def asked(lake: Lake, wanted: Target) -> int:
    """How many clusters qualify, by a query of all that there is."""
    conditions = ["awaits_review IS NOT TRUE"]
    good = f"score >= {wanted.dataset.min_score}"
    if wanted.format == "kto":
        good = f"({good} OR score < 0.5)"
    conditions.append(f"CASE WHEN origin = 'human' OR rejected_output IS NOT NULL THEN true ELSE {good} END")
    columns = {"tenants": "tenant", "roles": "role", "task_types": "task_type", "intents": "intent"}
    for name, column in {**columns, "languages": "language", "models": "model"}.items():
        if values := getattr(wanted.filter, name):
            conditions.append(f"{column} IN ({', '.join(repr(value) for value in values)})")
    query = f"SELECT count(*) FROM samples_current WHERE {' AND '.join(conditions)}"
    with connect_to(lake) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])
