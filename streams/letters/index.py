"""What the lake tells of the dead letters without opening one: their index, and what became of them.

Nothing here reads the column `original`, so that a list of a million letters stays small.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, get_args

import duckdb
import msgspec
import pyarrow as pa

from schemas.events import Position
from schemas.reasons import DEAD_LETTER_REASONS
from schemas.tables import DEAD_LETTERS, REPLAYS
from streams.errors import LakeUnavailable, SettingError
from streams.lake.ports import Lake
from streams.lake.query import connect_to

State = Literal["waiting", "sent", "replayed", "failed"]
STATES: Final[tuple[State, ...]] = get_args(State)
STAGES: Final = ("redact", "curate")

By = Literal["reason", "stage", "tenant", "source", "state", "key"]
_FETCH: Final = 1_000


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter as far as it can be told without opening it.

    `id` is made of `entry`, where its stage read the record; `source` is the topic that it first came in by, `first`
    the id of the letter that it was before it was sent again for the first time. `attempts` counts this one. `state`:

        waiting    nothing was done yet
        sent       sent again at `sent_at`, and nothing in the lake tells yet what came of it
        replayed   sent again, and in the lake by now
        failed     sent again, and a dead letter again: that is the one to look at

    `again` is the position at which it came in again; None while it is `sent` and that is not known.
    """

    id: str
    entry: Position
    received_at: datetime
    stage: str
    reason: str
    tenant: str | None
    source: str
    schema_id: str | None
    event_hash: str | None
    attempts: int
    first: str
    size_bytes: int
    key_ids: tuple[str, ...]
    state: State
    sent_at: datetime | None = None
    again_topic: str | None = None
    again: Position | None = None


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which letters are meant. What is empty is no condition. `ids` may be beginnings of ids; times are by receipt."""

    ids: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        for option, given, known in (
            ("--reason", self.reasons, sorted(DEAD_LETTER_REASONS)),
            ("--stage", self.stages, STAGES),
            ("--state", self.states, STATES),
        ):
            for value in given:
                if value not in known:
                    raise SettingError(option, value, f"must be one of {', '.join(known)}")


class Group(msgspec.Struct, frozen=True):
    """How many letters have one value of what they are grouped by, and the bytes of their originals."""

    value: str | None
    letters: int
    size_bytes: int


_ENTRY: Final = "entry_topic_id, entry_partition, entry_offset"
_ID: Final = "left(sha256({0}topic_id || '/' || {0}partition || '/' || {0}offset), 16)"

_JOURNAL: Final = f"""
CREATE TEMP VIEW journal AS
SELECT {_ID.format("entry_")} AS id, sent_at, again_topic, again_topic_id, again_partition, again_offset,
    {_ID.format("again_")} AS again_id
FROM {REPLAYS.name}
QUALIFY row_number() OVER (PARTITION BY {_ENTRY} ORDER BY sent_at DESC, again_offset IS NULL) = 1
"""
"""The last word on each letter that was sent again."""

_ORIGINS: Final = """
CREATE TEMP TABLE origins AS
WITH RECURSIVE walk AS (
    SELECT again_id AS id, id AS first, 1 AS times FROM journal WHERE again_id IS NOT NULL
    UNION ALL
    SELECT w.id, j.id, w.times + 1 FROM walk w JOIN journal j ON j.again_id = w.first AND j.id <> w.id
)
SELECT id, arg_max(first, times) AS first, max(times) AS times FROM walk GROUP BY id
"""
"""Where a record came in again → the first letter that it was, and how often it was one before."""

_LANDED: Final = f"""
CREATE TEMP TABLE landed AS
WITH again AS (
    SELECT again_topic_id AS entry_topic_id, again_partition AS entry_partition, again_offset AS entry_offset, again_id
    FROM journal WHERE again_id IS NOT NULL
)
SELECT DISTINCT again_id FROM again
SEMI JOIN (
    SELECT {_ENTRY} FROM events UNION ALL SELECT {_ENTRY} FROM samples UNION ALL SELECT {_ENTRY} FROM rejected
) USING ({_ENTRY})
"""
"""The positions of replays at which the lake has an event or its outcome."""

_LETTERS: Final = f"""
CREATE TEMP VIEW letters AS
SELECT l.id, l.entry_topic_id, l.entry_partition, l.entry_offset, l.received_at, l.stage, l.reason, l.tenant,
    l.topic AS source, l.schema_id, l.event_hash, greatest(l.attempts, 1 + coalesce(o.times, 0)) AS attempts,
    coalesce(o.first, l.id) AS first, coalesce(l.size_bytes, 0) AS size_bytes,
    [copy.key_id for copy in l.sealed] AS key_ids,
    CASE
        WHEN j.id IS NULL THEN 'waiting'
        WHEN j.again_id IN (SELECT {_ID.format("entry_")} FROM {DEAD_LETTERS.name}) THEN 'failed'
        WHEN j.again_id IN (SELECT again_id FROM landed) THEN 'replayed'
        ELSE 'sent'
    END AS state,
    j.sent_at, j.again_topic, j.again_topic_id, j.again_partition, j.again_offset
FROM (SELECT {_ID.format("entry_")} AS id, * FROM {DEAD_LETTERS.name}) l
LEFT JOIN journal j USING (id)
LEFT JOIN origins o USING (id)
"""

_FOUND: Final = """
SELECT tenant, event_id, entry_topic_id, entry_partition, entry_offset
FROM events SEMI JOIN wanted USING (tenant, event_id)
"""


def letter_id(entry: Position) -> str:
    """16 hex digits that stand for a letter: as many letters as there will ever be differ in them."""
    return hashlib.sha256(f"{entry.topic_id}/{entry.partition}/{entry.offset}".encode()).hexdigest()[:16]


class Index:
    """The dead letters of a lake as they are at the moment of opening it. Raises `LakeUnavailable`."""

    def __init__(self, lake: Lake) -> None:
        self._lake = connect_to(lake)
        store = lake.find(REPLAYS)
        self._lake.register(REPLAYS.name, REPLAYS.schema.empty_table() if store is None else store.dataset())
        for statement in (_JOURNAL, _ORIGINS, _LANDED, _LETTERS):
            self._ask(statement)

    def letters(self, selection: Selection, limit: int = 0) -> Iterator[Letter]:
        """The selected letters, newest first, at most `limit` unless that is 0."""
        where, values = _where(selection)
        result = self._ask(
            f"SELECT * FROM letters WHERE {where} ORDER BY received_at DESC, id" + (f" LIMIT {limit}" if limit else ""),
            values,
        )
        names = [column[0] for column in result.description or ()]
        while rows := result.fetchmany(_FETCH):
            for row in rows:
                yield _letter(dict(zip(names, row, strict=True)))

    def count(self, selection: Selection) -> int:
        """How many are selected."""
        where, values = _where(selection)
        return int(self._ask(f"SELECT count(*) FROM letters WHERE {where}", values).fetchall()[0][0])

    def groups(self, by: By, selection: Selection) -> list[Group]:
        """The selected letters counted by something, most first. By key, a letter counts for each of its recipients."""
        where, values = _where(selection)
        value = "unnest(key_ids)" if by == "key" else by
        rows = self._ask(
            f"SELECT value, count(*), sum(size_bytes)::BIGINT FROM "
            f"(SELECT {value} AS value, size_bytes FROM letters WHERE {where}) GROUP BY value ORDER BY 2 DESC, 1",
            values,
        )
        return [Group(*row) for row in rows.fetchall()]

    def events(self, wanted: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], Position]:
        """Those of the given events, each a tenant and an event id, that are in the lake, and where each came in."""
        if not wanted:
            return {}
        tenants, ids = zip(*wanted, strict=True)
        self._lake.register("wanted", pa.table({"tenant": list(tenants), "event_id": list(ids)}))
        rows = self._ask(_FOUND).fetchall()
        return {(tenant, event_id): Position(*entry) for tenant, event_id, *entry in rows}

    def _ask(self, query: str, values: Mapping[str, Any] | None = None) -> duckdb.DuckDBPyConnection:
        try:
            return self._lake.execute(query, values or {})
        except (duckdb.IOException, OSError) as exc:
            raise LakeUnavailable(f"{DEAD_LETTERS.name}: {type(exc).__name__}") from exc


def _where(selection: Selection) -> tuple[str, dict[str, Any]]:
    """A condition, and the values of its parameters."""
    conditions, values = ["true"], dict[str, Any]()
    for column, wanted in (
        ("reason", selection.reasons),
        ("stage", selection.stages),
        ("tenant", selection.tenants),
        ("source", selection.sources),
        ("state", selection.states),
    ):
        if wanted:
            conditions.append(f"{column} IN (SELECT unnest(${column}))")
            values[column] = list(wanted)
    if selection.ids:
        conditions.append(_or([f"starts_with(id, $id_{number})" for number in range(len(selection.ids))]))
        values |= {f"id_{number}": given.lower() for number, given in enumerate(selection.ids)}
    if selection.since is not None:
        conditions.append("received_at >= $since")
        values["since"] = selection.since
    if selection.until is not None:
        conditions.append("received_at < $until")
        values["until"] = selection.until
    return " AND ".join(conditions), values


def _or(conditions: Sequence[str]) -> str:
    return f"({' OR '.join(conditions)})"


def _letter(row: dict[str, Any]) -> Letter:
    for name in ("entry_topic_id", "stage", "reason", "source", "state"):
        row[name] = sys.intern(row[name])  # the same few in a million letters
    entry = Position(row.pop("entry_topic_id"), row.pop("entry_partition"), row.pop("entry_offset"))
    again = (row.pop("again_topic_id"), row.pop("again_partition"), row.pop("again_offset"))
    row["key_ids"] = tuple(row["key_ids"])
    return Letter(**row, entry=entry, again=None if again[0] is None else Position(*again))
