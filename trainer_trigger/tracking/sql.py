"""What is to be told and what was, in the ledger's database."""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import and_, exists, select, update

from trainer_trigger.database import Database, add, now_ms
from trainer_trigger.ledger import TERMINAL
from trainer_trigger.ledger import tables as ledger_tables
from trainer_trigger.tracking import tables


class Report(Struct, frozen=True, kw_only=True):
    """A launch and a tracker: whether it knows, where to look there, and after how many attempts; or why not yet."""

    key: str
    tracker: str
    done: bool
    attempts: int
    not_before_ms: int
    place: str
    note: str


class Reports:
    """In a `Database`. Makes its table, and the ledger's, where they are missing. All raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(ledger_tables.metadata)
        database.create(tables.metadata)

    def due(self, target: str, tracker: str) -> list[str]:
        """Keys of the target's launches that have ended, of which the tracker is to be told now; the oldest first."""
        launches, table = ledger_tables.launches, tables.reports
        with self._database.transaction() as connection:
            settled = table.c.done | (table.c.not_before_ms > now_ms(connection))
            told = exists().where(and_(table.c.key == launches.c.key, table.c.tracker == tracker, settled))
            ended = launches.c.state.in_([str(state) for state in TERMINAL])
            query = select(launches.c.key).where(launches.c.target == target, ended, ~told)
            return list(connection.execute(query.order_by(launches.c.changed_ms, launches.c.key)).scalars())

    def claim(self, key: str, tracker: str, for_ms: int) -> int | None:
        """The number of this attempt, from 1, which nobody else makes for so long; None where somebody does."""
        table = tables.reports
        with self._database.transaction() as connection:
            new = {"done": False, "attempts": 0, "not_before_ms": 0, "place": "", "note": ""}
            add(connection, table, [{"key": key, "tracker": tracker, **new}])
            now = now_ms(connection)
            mine = table.c.key == key, table.c.tracker == tracker
            free = ~table.c.done, table.c.not_before_ms <= now
            taken = {"attempts": table.c.attempts + 1, "not_before_ms": now + for_ms}
            if connection.execute(update(table).where(*mine, *free).values(taken)).rowcount != 1:
                return None
            return int(connection.execute(select(table.c.attempts).where(*mine)).scalar_one())

    def done(self, key: str, tracker: str, place: str) -> None:
        """It knows; `place` says where to look."""
        self._settle(key, tracker, {"done": True, "place": place, "note": ""}, 0)

    def failed(self, key: str, tracker: str, note: str, wait_ms: int) -> None:
        """It does not, and why; again after so long."""
        self._settle(key, tracker, {"note": note}, wait_ms)

    def all(self, key: str) -> list[Report]:
        """What became of a launch's reports."""
        table = tables.reports
        rows = self._database.rows(select(table).where(table.c.key == key).order_by(table.c.tracker))
        return [Report(**row) for row in rows]

    def _settle(self, key: str, tracker: str, values: dict[str, object], wait_ms: int) -> None:
        table = tables.reports
        mine = table.c.key == key, table.c.tracker == tracker
        with self._database.transaction() as connection:
            values = {**values, "not_before_ms": now_ms(connection) + wait_ms}
            connection.execute(update(table).where(*mine, ~table.c.done).values(values))
