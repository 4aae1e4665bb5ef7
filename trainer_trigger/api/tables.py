"""The table of the audit log, for SQLite and PostgreSQL alike."""

from __future__ import annotations

from typing import Final, get_args

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, MetaData, Table, Text

from trainer_trigger.api.audit import Outcome
from trainer_trigger.database import only_added_to

metadata: Final = MetaData()

audit: Final = Table(
    "trigger_audit",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("request", Text, nullable=False, index=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("key_name", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False, index=True),
    Column("subject", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    CheckConstraint(f"outcome IN ({', '.join(repr(each) for each in get_args(Outcome))})"),
)
only_added_to(audit)
