"""The index in SQL, for SQLite and PostgreSQL alike: about 300 bytes a sample, and no text of one."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, Table, Text

metadata: Final = MetaData()

indexes: Final = Table(
    "watch_indexes",
    metadata,
    Column("index_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("target", Text, nullable=False),
    sqlite_autoincrement=True,
)
"""A target's, each with rows of its own; one that no target has any more is on its way out."""

targets: Final = Table(
    "watch_targets",
    metadata,
    Column("target", Text, primary_key=True),
    Column("index_id", BigInteger, nullable=False),
    Column("previous_id", BigInteger),
    Column("fingerprint", Text, nullable=False),
    Column("lake", Text, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("trained_samples", BigInteger),
    Column("trained_hash", Text),
)
"""The watermarks are Delta versions; `lake` says of which tables, as JSON of `records.Lake`. `previous_id`: an index
whose `seen` and `since` hold while this one fills."""

samples: Final = Table(
    "watch_samples",
    metadata,
    Column("index_id", BigInteger, primary_key=True),
    Column("sample_id", Text, primary_key=True),
    Column("place", Text, nullable=False),
    Column("kept", Boolean, nullable=False),
    Column("current", Boolean, nullable=False),
    Column("person", Text),
    Column("duplicate_of", Text),
    Column("cluster", Text),
    Column("rank", Float, nullable=False),
    Column("score", Float),
    Column("confidence", Float, nullable=False),
    Column("awaits", Boolean, nullable=False),
    Column("meets", Boolean, nullable=False),
    Column("good", Boolean, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("seen", BigInteger),
    Column("since", BigInteger),
    Column("stands", Boolean, nullable=False),
    Column("stands_seen", BigInteger),
    Column("stands_since", BigInteger),
)
"""One row a sample id; see `records.Member`. Most indexes leave most rows out, so that a new one touches few pages."""


def _index(name: str, *columns: str, where: str) -> None:
    chosen = samples.c[where]
    condition = chosen if isinstance(chosen.type, Boolean) else chosen.is_not(None)
    Index(
        name,
        samples.c.index_id,
        *(samples.c[column] for column in columns),
        sqlite_where=condition,
        postgresql_where=condition,
    )


_index("watch_duplicates", "duplicate_of", where="duplicate_of")
_index("watch_clusters", "cluster", where="cluster")
_index("watch_of_person", "person", where="person")
_index("watch_fresh", "stands_since", where="stands_since")
_index("watch_window", "stands_seen", where="stands_seen")
_index("watch_scored", "at_us", where="stands")

persons: Final = Table(
    "watch_persons",
    metadata,
    Column("index_id", BigInteger, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("erased", Boolean, nullable=False),
    Column("last_word", Text),
)
"""`last_word` is JSON: [when in epoch microseconds, whether it was no, event id], compared in this order."""

drift: Final = Table(
    "watch_drift",
    metadata,
    Column("target", Text, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("reference", Text, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("told", Text, nullable=False),
    Column("history", Text),
)
"""A drift rule's place: the last cluster that a window has taken, the last verdict and the window before, as JSON."""
