"""State in a SQLite file: the twin of Redis for the embedded run, with the same answers."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from streams.errors import StateUnavailable
from streams.state import NODE_NAMES, Claim, Document, Placed, paths

_TABLES = """
CREATE TABLE IF NOT EXISTS claims (key TEXT PRIMARY KEY, owner BLOB NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fields (key TEXT, name TEXT, value BLOB NOT NULL, PRIMARY KEY (key, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hashes (key TEXT PRIMARY KEY, expires REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS said (name BLOB PRIMARY KEY, record BLOB NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS said_expires ON said (expires);
CREATE TABLE IF NOT EXISTS nodes (ends REAL, node BLOB, names BLOB NOT NULL, PRIMARY KEY (ends, node)) WITHOUT ROWID;
"""


class SqliteState:
    """`StateStore` in one file, for one process."""

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        with _answering():
            self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_TABLES)

    def claim(self, claims: Sequence[Claim], ttl_s: int) -> list[list[bytes]]:
        """See `StateStore.claim`."""
        now = time.time()

        def holder(key: str, owner: bytes) -> bytes:
            db.execute("DELETE FROM claims WHERE key = ? AND expires <= ?", (key, now))
            db.execute("INSERT OR IGNORE INTO claims VALUES (?, ?, ?)", (key, owner, now + ttl_s))
            return bytes(db.execute("SELECT owner FROM claims WHERE key = ?", (key,)).fetchone()[0])

        with self._transaction() as db:
            return [[holder(key, owner) for key in keys] for keys, owner in claims]

    def load(self, keys: Sequence[str]) -> list[dict[str, bytes]]:
        """See `StateStore.load`."""
        now = time.time()
        query = "SELECT name, value FROM fields JOIN hashes USING (key) WHERE key = ? AND expires > ?"
        with self._transaction() as db:
            return [{name: bytes(value) for name, value in db.execute(query, (key, now))} for key in keys]

    def merge(self, changes: Mapping[str, Mapping[str, bytes]], ttl_s: int) -> None:
        """See `StateStore.merge`."""
        now = time.time()
        with self._transaction() as db:
            for key, fields in changes.items():
                if db.execute("DELETE FROM hashes WHERE key = ? AND expires <= ?", (key, now)).rowcount:
                    db.execute("DELETE FROM fields WHERE key = ?", (key,))
                db.execute("INSERT OR REPLACE INTO hashes VALUES (?, ?)", (key, now + ttl_s))
                db.executemany(
                    "INSERT OR REPLACE INTO fields VALUES (?, ?, ?)",
                    [(key, name, value) for name, value in fields.items()],
                )

    def place(self, documents: Sequence[Document], ttl_s: int) -> list[Placed]:
        """See `StateStore.place`."""
        now = time.time()
        ends = (now // ttl_s + 2) * ttl_s

        def place(name: bytes, record: bytes, bands: bytes) -> Placed:
            db.execute("INSERT OR IGNORE INTO said VALUES (?, ?, ?)", (name, record, ends))
            first = bytes(db.execute("SELECT record FROM said WHERE name = ?", (name,)).fetchone()[0])
            if first != record:
                return Placed(first, [])
            shared: list[bytes] = []
            for path in paths(bands):
                if not (two_windows and known(path, name, shared)):
                    settle(path, name, shared)
            return Placed(None, shared)

        def known(path: list[bytes], name: bytes, shared: list[bytes]) -> bool:
            for node in path:
                held = names(node, ends - ttl_s, len(name))
                if meet(held, name, shared):
                    return True
                if len(held) < NODE_NAMES:
                    return False
            return False

        def settle(path: list[bytes], name: bytes, shared: list[bytes]) -> None:
            for node in path:
                held = names(node, ends, len(name))
                if meet(held, name, shared):
                    return
                if len(held) < NODE_NAMES:
                    db.execute("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)", (ends, node, b"".join([*held, name])))
                    return

        def names(node: bytes, ends: float, width: int) -> list[bytes]:
            row = db.execute("SELECT names FROM nodes WHERE ends = ? AND node = ?", (ends, node)).fetchone()
            return [] if row is None else [bytes(row[0][at : at + width]) for at in range(0, len(row[0]), width)]

        def meet(held: list[bytes], name: bytes, shared: list[bytes]) -> bool:
            shared.extend(held[: held.index(name)] if name in held else held)
            return name in held

        with self._transaction() as db:
            db.execute("DELETE FROM said WHERE expires <= ?", (now,))
            db.execute("DELETE FROM nodes WHERE ends <= ?", (now,))
            two_windows = db.execute("SELECT 1 FROM nodes WHERE ends < ? LIMIT 1", (ends,)).fetchone() is not None
            return [place(*document) for document in documents]

    def records(self, names: Sequence[bytes]) -> list[bytes | None]:
        """See `StateStore.records`."""
        query, now = "SELECT record FROM said WHERE name = ? AND expires > ?", time.time()
        with self._transaction() as db:
            rows = (db.execute(query, (name, now)).fetchone() for name in names)
            return [None if row is None else bytes(row[0]) for row in rows]

    def ping(self) -> None:
        """See `StateStore.ping`."""
        self.records([b"ping"])

    def close(self) -> None:
        """See `StateStore.close`."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _answering():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise StateUnavailable(f"state file: {exc}") from exc
