"""The table of what trackers were told, for SQLite and PostgreSQL alike."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Integer, MetaData, Table, Text

metadata: Final = MetaData()

reports: Final = Table(
    "trigger_reports",
    metadata,
    Column("key", Text, primary_key=True),
    Column("tracker", Text, primary_key=True),
    Column("done", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before_ms", BigInteger, nullable=False),
    Column("place", Text, nullable=False),
    Column("note", Text, nullable=False),
)
