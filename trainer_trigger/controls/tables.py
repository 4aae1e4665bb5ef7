"""The tables of the controls, for SQLite and PostgreSQL alike. Decisions themselves are the ledger's."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Float, Index, Integer, MetaData, Table, Text

from trainer_trigger.controls.records import OPEN, Stage

metadata: Final = MetaData()

_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")


def _number() -> Column[int]:
    return Column("number", _NUMBER, primary_key=True, autoincrement=True)


targets: Final = Table(
    "trigger_targets",
    metadata,
    Column("target", Text, primary_key=True),
    Column("first_seen_ms", BigInteger, nullable=False),
    Column("holds_hash", Text, nullable=False),
    Column("holds_since_ms", BigInteger),
    Column("problem", Text, nullable=False),
    Column("problem_ms", BigInteger),
    Column("seen_ms", BigInteger),
)

pauses: Final = Table(
    "trigger_pauses",
    metadata,
    _number(),
    Column("target", Text, nullable=False, index=True),
    Column("paused", Boolean, nullable=False),
    Column("who", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("why", Text, nullable=False),
)

signals: Final = Table(
    "trigger_signals",
    metadata,
    Column("signal_id", Text, primary_key=True),
    Column("target", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("examples", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("decision_id", Text),
    Column("withdrawn_by", Text),
    CheckConstraint("decision_id IS NULL OR withdrawn_by IS NULL"),
)

measurements: Final = Table(
    "trigger_measurements",
    metadata,
    _number(),
    Column("target", Text, nullable=False, index=True),
    Column("metric", Text, nullable=False),
    Column("value", Float, nullable=False),
    Column("who", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

outcomes: Final = Table(
    "trigger_outcomes",
    metadata,
    _number(),
    Column("decision_id", Text, nullable=False, unique=True),
    Column("target", Text, nullable=False, index=True),
    Column("stage", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("times", BigInteger, nullable=False),
    Column("launch_key", Text),
    Column("training_set", Text),
    Column("told", Boolean, nullable=False),
    Column("pinned", Text),
    Column("last_ms", BigInteger, nullable=False),
    CheckConstraint(f"stage IN ({', '.join(repr(str(each)) for each in Stage)})"),
    CheckConstraint("stage <> 'launched' OR launch_key IS NOT NULL"),
)

_open = outcomes.c.stage.in_([str(each) for each in sorted(OPEN)])
Index("trigger_one_open", outcomes.c.target, unique=True, sqlite_where=_open, postgresql_where=_open)

turns: Final = Table(
    "trigger_turns",
    metadata,
    _number(),
    Column("decision_id", Text, nullable=False, index=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("before", Text),
    Column("after", Text, nullable=False),
    Column("note", Text, nullable=False),
)

evaluations: Final = Table(
    "trigger_evaluations",
    metadata,
    Column("evaluation_id", Text, primary_key=True),
    Column("model_id", Text, nullable=False, index=True),
    Column("suite", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
)
