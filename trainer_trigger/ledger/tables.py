"""The ledger's tables, for SQLite and PostgreSQL alike."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from trainer_trigger.database import only_added_to
from trainer_trigger.ledger.records import TERMINAL, State

metadata: Final = MetaData()

decisions: Final = Table(
    "trigger_decisions",
    metadata,
    Column("decision_id", Text, primary_key=True),
    Column("target", Text, nullable=False, index=True),
    Column("fires", Boolean, nullable=False),
    Column("words", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

leases: Final = Table(
    "trigger_leases",
    metadata,
    Column("target", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)

launches: Final = Table(
    "trigger_launches",
    metadata,
    Column("key", Text, primary_key=True),
    Column("decision_id", Text, nullable=False, unique=True),
    Column("target", Text, nullable=False),
    Column("table_version", BigInteger, nullable=False),
    Column("dataset_hash", Text, nullable=False),
    Column("configuration_hash", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("cost_cents", BigInteger, nullable=False),
    Column("request", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("month", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("files", Text, nullable=False),
    Column("looks", Integer, nullable=False),
    Column("job_id", Text, unique=True),
    Column("model", Text),
    Column("note", Text, nullable=False),
    Column("settled_cents", BigInteger),
    Column("not_before_ms", BigInteger, nullable=False),
    Column("deadline_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    UniqueConstraint("target", "table_version", "dataset_hash", "configuration_hash", "generation"),
    CheckConstraint(f"state IN ({', '.join(repr(str(each)) for each in State)})"),
    CheckConstraint("cost_cents >= 0"),
    CheckConstraint("state NOT IN ('launched', 'running', 'succeeded') OR job_id IS NOT NULL"),
)

_active = launches.c.state.not_in([str(each) for each in sorted(TERMINAL)])
Index("trigger_one_active", launches.c.target, unique=True, sqlite_where=_active, postgresql_where=_active)

history: Final = Table(
    "trigger_history",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("key", Text, ForeignKey(launches.c.key), nullable=False, index=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("before", Text),
    Column("after", Text, nullable=False),
    Column("note", Text, nullable=False),
)

only_added_to(history)

events: Final = Table(
    "trigger_events",
    metadata,
    Column("key", Text, ForeignKey(launches.c.key), primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("level", Text, nullable=False),
    Column("message", Text, nullable=False),
)

points: Final = Table(
    "trigger_points",
    metadata,
    Column("key", Text, ForeignKey(launches.c.key), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("value", Float, nullable=False),
)
