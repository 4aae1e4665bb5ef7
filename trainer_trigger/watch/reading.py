"""The lake's rows as the index takes them: few columns, no text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from schemas.tables import EVENTS, REJECTED, SAMPLES, Table
from schemas.targets import Target
from streams.lake.ports import Changes
from trainer_trigger.watch.records import Facts, Place, Said, Seen, Word, good, person_key

BATCH_ROWS: Final = 2_000

_PLACE: Final = ("revision", "received_at", "entry_topic_id", "entry_partition", "entry_offset")
_BY_FILTER: Final = {
    "tenants": "tenant",
    "roles": "role",
    "task_types": "task_type",
    "intents": "intent",
    "languages": "language",
    "models": "model",
}
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    SAMPLES.name: (
        "sample_id",
        *_PLACE,
        "occurred_at",
        "user",
        "duplicate_of",
        "score",
        "confidence",
        "origin",
        "rejected_output",
        "awaits_review",
        *_BY_FILTER.values(),
    ),
    REJECTED.name: ("sample_id", *_PLACE, "tenant", "scope"),
    EVENTS.name: ("tenant", "event_id", "occurred_at", "consent", "erasure"),
}


class Came(NamedTuple):
    """What a batch of one table brought."""

    seen: list[Seen]
    said: list[Said]


def rows(table: Table, changes: Changes, target: Target) -> Iterator[Came]:
    """What came, a batch at a time. Clusters never cross tenants, so other tenants' rows are left out.

    Raises `LakeUnavailable`.
    """
    for version, batch in changes.batches(COLUMNS[table.name], BATCH_ROWS):
        found = _of(batch, target.filter.tenants)
        match table.name:
            case SAMPLES.name:
                yield Came([_sample(row, version, target) for row in _plain(found, "rejected_output")], [])
            case REJECTED.name:
                interactions = found.filter(pc.equal(found.column("scope"), "interaction"))
                away = [Seen(row["sample_id"], _place(row, kept=False), version, None) for row in _plain(interactions)]
                yield Came(away, [])
            case _:
                yield Came([], list(_said(found)))


def _of(batch: pa.RecordBatch, tenants: tuple[str, ...]) -> pa.RecordBatch:
    return batch.filter(pc.is_in(batch.column("tenant"), pa.array(tenants))) if tenants else batch


def _plain(batch: pa.RecordBatch, whether: str | None = None) -> list[dict[str, Any]]:
    """Rows with times as epoch microseconds, and of one text only whether it is there."""
    columns = {}
    for name in batch.schema.names:
        column = batch.column(name)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        columns[name] = column.is_valid() if name == whether else column
    return list(pa.RecordBatch.from_pydict(columns).to_pylist())


def _sample(row: Mapping[str, Any], version: int, target: Target) -> Seen:
    human = row["origin"] == "human"
    awaits = bool(row["awaits_review"])
    meets = all(
        not (wanted := getattr(target.filter, name)) or row[column] in wanted for name, column in _BY_FILTER.items()
    )
    facts = Facts(
        person=None if row["user"] is None else person_key(row["tenant"], row["user"]),
        duplicate_of=row["duplicate_of"],
        rank=float(human) if row["score"] is None else row["score"],
        score=row["score"],
        confidence=row["confidence"],
        awaits=awaits,
        meets=meets,
        good=meets and not awaits and good(target, row, written=human or row["rejected_output"]),
        at_us=row["occurred_at"],
    )
    return Seen(row["sample_id"], _place(row, kept=True), version, facts)


def _place(row: Mapping[str, Any], *, kept: bool) -> Place:
    revision, received_us, topic_id, partition, offset = (row[name] for name in _PLACE)
    return Place(revision, received_us, topic_id, partition, offset, kept)


def _said(events: pa.RecordBatch) -> Iterator[Said]:
    told = events.filter(pc.or_(events.column("consent").is_valid(), events.column("erasure").is_valid()))
    for row in _plain(told):
        consent, erasure = row["consent"], row["erasure"]
        if erasure is not None:
            yield Said(person_key(row["tenant"], erasure["user"]), None)
        if consent is not None and consent["user"] is not None:
            word = Word(row["occurred_at"], not consent["granted"], row["event_id"])
            yield Said(person_key(row["tenant"], consent["user"]), word)
