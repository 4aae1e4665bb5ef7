"""One SQL database for all that the trigger remembers: SQLite for one machine, PostgreSQL for several.

What only one process may do at a time, the database decides: its clock, its locks, its unique keys.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Final

from sqlalchemy import DDL, Connection, Engine, MetaData, RowMapping, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from streams.errors import SettingError
from trainer_trigger.errors import DatabaseRefusedError, DatabaseUnavailable

DIALECTS: Final = ("sqlite://", "postgresql+psycopg://")
BUSY_TIMEOUT_MS: Final = 30_000
CREATE_LOCK: Final = 0x6D696C6C
"""Two processes that make the tables at once would trip over each other; any number, the same for all."""

NOW: Final = {
    "sqlite": "SELECT CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)",
    "postgresql": "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
}


class Database:
    """At an SQLAlchemy URL: `sqlite:///FILE`, `sqlite://` (in memory) or `postgresql+psycopg://…`.

    Any number of threads and processes may use one database. Raises `SettingError` for a URL that is none.
    """

    def __init__(self, url: str) -> None:
        memory = url in {"sqlite://", "sqlite:///:memory:"}
        if not url.startswith(DIALECTS):
            raise SettingError("MILLRACE_DATABASE_URL", "…", "must be sqlite:///FILE or postgresql+psycopg://…")
        try:
            self._engine = _engine(url, memory=memory)
        except (ArgumentError, ValueError):
            raise SettingError(
                "MILLRACE_DATABASE_URL", "…", "is no URL that can be read"
            ) from None  # it holds a password
        # In memory there is one connection only, which one transaction has at a time.
        self._alone = threading.Lock() if memory else nullcontext()

    def create(self, metadata: MetaData) -> None:
        """Make the tables that are missing. Raises DatabaseUnavailable."""
        with self.transaction() as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({CREATE_LOCK})"))
            metadata.create_all(connection)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Committed at the end, rolled back by an exception. On SQLite it holds the write lock from its beginning.

        Raises DatabaseRefusedError for what a constraint does not take, DatabaseUnavailable where the database does
        not answer: then a commit may have landed.
        """
        try:
            with self._alone, self._engine.begin() as connection:
                yield connection
        except IntegrityError as exc:
            raise DatabaseRefusedError(str(exc.orig)) from exc
        except DBAPIError as exc:
            raise DatabaseUnavailable(str(exc.orig)) from exc
        except SQLAlchemyError as exc:
            raise DatabaseUnavailable(str(exc)) from exc

    def rows(self, query: Any) -> list[RowMapping]:
        """All rows of a query, in a transaction of its own."""
        with self.transaction() as connection:
            return list(connection.execute(query).mappings())

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def now_ms(connection: Connection) -> int:
    """The database's time in epoch milliseconds."""
    return int(connection.execute(text(NOW[connection.dialect.name])).scalar_one())


def add(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Add rows; those whose key is there already are left as they are."""
    if rows:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def only_added_to(table: Table) -> None:
    """See to it that the database refuses to change or delete rows of this table, whoever has the connection."""
    name = table.name
    refused = f"{name} is only added to"
    for operation in ("UPDATE", "DELETE"):
        _after_create(
            table,
            "sqlite",
            f"CREATE TRIGGER {name}_no_{operation.lower()} BEFORE {operation} ON {name} "
            f"BEGIN SELECT RAISE(ABORT, '{refused}'); END",
        )
    _after_create(
        table,
        "postgresql",
        f"CREATE OR REPLACE FUNCTION {name}_kept() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{refused}'; END $$",
    )
    _after_create(
        table,
        "postgresql",
        f"CREATE TRIGGER {name}_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON {name} EXECUTE FUNCTION {name}_kept()",
    )


def _after_create(table: Table, dialect: str, statement: str) -> None:
    ddl = DDL(statement)  # type: ignore[no-untyped-call]
    event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


def _engine(url: str, *, memory: bool) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    if memory:
        engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    else:
        engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver must not begin by itself: it would begin too late
        for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # A transaction that reads first and writes later cannot wait for another writer; one that has the lock can.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
