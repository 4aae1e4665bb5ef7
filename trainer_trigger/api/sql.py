"""The audit log in SQL, in the ledger's database."""

from __future__ import annotations

import msgspec
from sqlalchemy import insert, select

from trainer_trigger.api import tables
from trainer_trigger.api.audit import Entry
from trainer_trigger.database import Database, now_ms


class SqlAudit:
    """An `AuditLog` in a `Database`. Makes its table where it is missing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(tables.metadata)

    def write(self, entry: Entry) -> None:
        row = msgspec.structs.asdict(entry)
        del row["number"]
        with self._database.transaction() as connection:
            connection.execute(insert(tables.audit).values({**row, "at_ms": now_ms(connection)}))

    def entries(self, limit: int = 100, before: int | None = None, target: str | None = None) -> list[Entry]:
        table = tables.audit
        query = select(table).order_by(table.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(table.c.number < before)
        if target is not None:
            query = query.where(table.c.target == target)
        return [Entry(**row) for row in self._database.rows(query)]
