"""The lake's tables: their Arrow schemas, derived from the records, and how a record becomes a row.

All are partitioned by `day`, the UTC day on which Kafka took the event, so that late feedback never rewrites a day
that a query has already read as complete. Times are timestamps in microseconds, UTC.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any, Final

import msgspec
import pyarrow as pa

from schemas.events import Position, RedactedEvent
from schemas.outcomes import DeadLetter, Outcome, Rejection, Sample

TIMESTAMP: Final = pa.timestamp("us", tz="UTC")
_TIMES: Final = frozenset({"occurred_at", "received_at"})
_ENTRY: Final = (("entry_topic_id", pa.string()), ("entry_partition", pa.int64()), ("entry_offset", pa.int64()))


class Table(msgspec.Struct, frozen=True):
    """One table: its Arrow `schema`, the columns that make a row unique, and what it holds."""

    name: str
    schema: pa.Schema
    key: tuple[str, ...]
    doc: str


def _arrow_type(hint: Any, field: str) -> pa.DataType:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _arrow_type(args[0], field)
    if origin in (typing.Union, types.UnionType):
        return _arrow_type(next(arg for arg in args if arg is not type(None)), field)
    if origin is typing.Literal or (isinstance(hint, type) and issubclass(hint, Enum)):
        return pa.string()
    if origin is tuple:
        return pa.list_(_arrow_type(args[0], field))
    if origin is dict:
        return pa.map_(pa.string(), _arrow_type(args[1], field))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return pa.struct(_columns(hint))
    if hint is int and field in _TIMES:
        return TIMESTAMP
    return {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), bytes: pa.binary()}[hint]


def _columns(record: type[msgspec.Struct], leave_out: tuple[str, ...] = ()) -> list[tuple[str, pa.DataType]]:
    hints = typing.get_type_hints(record, include_extras=True)
    return [
        (field.name, _arrow_type(hints[field.name], field.name))
        for field in msgspec.structs.fields(record)
        if field.name not in leave_out
    ]


_OUTCOME: Final = _columns(Outcome, leave_out=("entry", "sample", "rejection"))

EVENTS: Final = Table(
    "events",
    pa.schema([("day", pa.date32()), ("kind", pa.string()), *_ENTRY, *_columns(RedactedEvent, leave_out=("entry",))]),
    ("tenant", "event_id"),
    "Every event, redacted, exactly once.",
)
SAMPLES: Final = Table(
    "samples",
    pa.schema([("day", pa.date32()), *_ENTRY, *_OUTCOME, *_columns(Sample)]),
    ("sample_id", "revision"),
    "Every revision of every sample.",
)
REJECTED: Final = Table(
    "rejected",
    pa.schema([("day", pa.date32()), *_ENTRY, *_OUTCOME, *_columns(Rejection)]),
    ("sample_id", "revision", "scope", "event_id"),
    "Every rejection with its reason.",
)
DEAD_LETTERS: Final = Table(
    "dead_letters",
    pa.schema([("day", pa.date32()), *_ENTRY, *_columns(DeadLetter, leave_out=("entry",))]),
    ("entry_topic_id", "entry_partition", "entry_offset"),
    "Records that could not be processed: an index in clear, the original sealed.",
)
REPLAYS: Final = Table(
    "dead_letter_replays",
    pa.schema(
        [
            ("day", pa.date32()),
            *_ENTRY,
            ("sent_at", TIMESTAMP),
            ("again_topic", pa.string()),
            *((f"again_{name.removeprefix('entry_')}", kind) for name, kind in _ENTRY),
        ]
    ),
    ("entry_topic_id", "entry_partition", "entry_offset", "sent_at"),
    "Dead letters that were sent again: which (its entry), when, to which topic, and where they came in again.",
)
"""Kept by `millrace deadletter`: the sink knows nothing of it. The last three are NULL until the position is known."""

TABLES: Final[Mapping[str, Table]] = {table.name: table for table in (EVENTS, SAMPLES, REJECTED, DEAD_LETTERS)}

Row = dict[str, Any]
"""One row by column name, as `pyarrow.Table.from_pylist` takes it."""


def event_row(event: RedactedEvent) -> Row:
    """The row of `events` for an event."""
    return {"kind": event.kind, **_flat(event, event.entry, event.received_at)}


def event_of(row: Row) -> RedactedEvent:
    """The event that a row of `events` was made from: the inverse of `event_row`."""
    entry = Position(row["entry_topic_id"], row["entry_partition"], row["entry_offset"])
    fields = {name: row[name] for name in RedactedEvent.__struct_fields__ if name != "entry" and row[name] is not None}
    fields |= {name: round(row[name].timestamp() * 1_000_000) for name in _TIMES}
    return msgspec.convert({**fields, "pii": dict(row["pii"]), "entry": entry}, RedactedEvent)


def outcome_row(outcome: Outcome) -> tuple[Table, Row]:
    """The table that an outcome belongs to, and its row there."""
    row = _flat(outcome, outcome.entry, outcome.received_at)
    sample, rejection = row.pop("sample"), row.pop("rejection")
    if outcome.sample is not None:
        return SAMPLES, {**row, **sample}
    return REJECTED, {**row, **rejection}


def dead_letter_row(letter: DeadLetter) -> Row:
    """The row of `dead_letters` for a dead letter."""
    return _flat(letter, letter.entry, letter.received_at)


def arrow_table(table: Table, rows: Iterable[Row]) -> pa.Table:
    """Rows as an Arrow table of the table's schema."""
    return pa.Table.from_pylist(list(rows), schema=table.schema)


def day_of(micros: int) -> date:
    """The UTC day of a time in epoch microseconds."""
    return datetime.fromtimestamp(micros // 1_000_000, UTC).date()


def _flat(record: RedactedEvent | Outcome | DeadLetter, entry: Position, received_at: int) -> Row:
    row: Row = msgspec.to_builtins(record, builtin_types=(bytes,))
    del row["entry"]
    row["day"] = day_of(received_at)
    row["entry_topic_id"], row["entry_partition"], row["entry_offset"] = msgspec.structs.astuple(entry)
    return row
