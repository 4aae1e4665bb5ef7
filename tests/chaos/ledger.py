"""What was sent and what was acknowledged: the one side of the audit. Safe for several threads."""

from __future__ import annotations

import threading
from typing import Any

import pyarrow as pa

from streams.redaction.hashing import KeyedHasher

SENT = pa.schema(
    [
        ("tenant", pa.string()),
        ("event_id", pa.string()),
        ("event_hash", pa.string()),
        ("sends", pa.int64()),
        ("acknowledged", pa.bool_()),
    ]
)
"""One row an event: its keyed hash as a dead letter has it, how often it was sent, whether it was acknowledged."""

POISON = pa.schema([("topic_id", pa.string()), ("partition", pa.int64()), ("offset", pa.int64())])
"""One row a corrupt record that Kafka acknowledged: where it entered."""


class Ledger:
    """Events by tenant and id, corrupt records by position."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sends: dict[tuple[str, str], int] = {}
        self._acknowledged: set[tuple[str, str]] = set()
        self._poison: list[tuple[str, int, int]] = []

    def sending(self, tenant: str, event_id: str) -> None:
        """An event goes out, the first time or again; to be called before it does."""
        with self._lock:
            self._sends[tenant, event_id] = self._sends.get((tenant, event_id), 0) + 1

    def acknowledged(self, tenant: str, event_id: str) -> None:
        """A sender was told that the event is safe."""
        with self._lock:
            self._acknowledged.add((tenant, event_id))

    def poisoned(self, topic_id: str, partition: int, offset: int) -> None:
        """Kafka acknowledged a corrupt record."""
        with self._lock:
            self._poison.append((topic_id, partition, offset))

    @property
    def acknowledged_count(self) -> int:
        """Events and corrupt records that were acknowledged."""
        with self._lock:
            return len(self._acknowledged) + len(self._poison)

    def sent(self, hasher: KeyedHasher) -> pa.Table:
        """Shape `SENT`; `hasher` has the key of the workers."""
        with self._lock:
            rows = [
                (tenant, event_id, hasher.event(tenant, event_id), sends, (tenant, event_id) in self._acknowledged)
                for (tenant, event_id), sends in self._sends.items()
            ]
        return _table(SENT, rows)

    def poison(self) -> pa.Table:
        """Shape `POISON`."""
        with self._lock:
            return _table(POISON, self._poison)


def _table(schema: pa.Schema, rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)
