"""The ledger in SQL: SQLite for one machine, PostgreSQL for several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, RowMapping, func, insert, select, update

from trainer_trigger.database import Database, add, now_ms
from trainer_trigger.errors import DatabaseRefusedError, DatabaseUnavailable
from trainer_trigger.ledger import tables
from trainer_trigger.ledger.errors import (
    ActiveRunError,
    BudgetSpentError,
    DecisionTakenError,
    FencedError,
    LedgerUnavailable,
    TransitionError,
    UnknownLaunchError,
)
from trainer_trigger.ledger.records import (
    NEXT,
    TERMINAL,
    Change,
    Decision,
    Event,
    Intent,
    Launch,
    Lease,
    Point,
    State,
    Transition,
)

PERSONS: Final = {
    State.BLOCKED: NEXT[State.BLOCKED],
    State.INTENDED: {State.CANCELLED},
    State.LAUNCHING: {State.CANCELLED},
    State.UNKNOWN: {State.CANCELLED},
}
ACTIVE: Final = [str(each) for each in State if each not in TERMINAL]
DUE: Final = [each for each in ACTIVE if each != State.BLOCKED]


class SqlLedger:
    """A `Ledger` in a `Database`, which may be given as its URL. Makes its tables where they are missing."""

    def __init__(self, database: Database | str) -> None:
        self._database = Database(database) if isinstance(database, str) else database
        with _wrapped():
            self._database.create(tables.metadata)

    def acquire(self, target: str, holder: str, ttl_ms: int) -> Lease | None:
        with self._transaction() as connection:
            free = {"target": target, "holder": "", "token": 0, "expires_ms": 0}
            add(connection, tables.leases, [free])
            last = connection.execute(
                select(tables.leases).where(tables.leases.c.target == target).with_for_update()
            ).one()
            now = now_ms(connection)
            if last.expires_ms > now:
                return None
            lease = Lease(target, holder, last.token + 1, now + ttl_ms)
            self._write_lease(connection, lease)
            return lease

    def renew(self, lease: Lease, ttl_ms: int) -> Lease:
        with self._transaction() as connection:
            now = held(connection, lease)
            renewed = msgspec.structs.replace(lease, expires_ms=now + ttl_ms)
            self._write_lease(connection, renewed)
            return renewed

    def release(self, lease: Lease) -> None:
        table = tables.leases
        with self._transaction() as connection:
            connection.execute(
                update(table)
                .where(table.c.target == lease.target, table.c.token == lease.token)
                .values(expires_ms=0, holder="")
            )

    def decide(self, decision: Decision) -> None:
        with self._transaction() as connection:
            row = {**msgspec.structs.asdict(decision), "at_ms": now_ms(connection)}
            add(connection, tables.decisions, [row])

    def decisions(self, target: str, limit: int = 100) -> list[Decision]:
        table = tables.decisions
        query = select(table).where(table.c.target == target).order_by(table.c.at_ms.desc()).limit(limit)
        return [Decision(**row) for row in self._rows(query)]

    def intend(self, lease: Lease, intent: Intent, budget_cents: int | None = None) -> Launch:
        table = tables.launches
        with self._transaction() as connection:
            now = held(connection, lease)
            if lease.target != intent.target:
                raise FencedError(f"the lease is on {lease.target}, not on {intent.target}")
            known = connection.execute(select(table).where(table.c.key == intent.key)).mappings().one_or_none()
            if known is not None:
                return _launch(known)
            taken = connection.execute(select(table.c.key).where(table.c.decision_id == intent.decision_id)).scalar()
            if taken is not None:
                raise DecisionTakenError(f"decision {intent.decision_id} has the launch {taken}")
            running = table.c.target == intent.target, table.c.state.in_(ACTIVE)
            active = connection.execute(select(table.c.key).where(*running)).scalar()
            if active is not None:
                raise ActiveRunError(intent.target, active)
            month = _month(now)
            if budget_cents is not None:
                left = budget_cents - self._spent(connection, intent.target, month)
                if intent.cost_cents > left:
                    raise BudgetSpentError(intent.target, month, intent.cost_cents, left)
            begin: dict[str, object] = {
                **msgspec.structs.asdict(intent),
                **{"key": intent.key, "state": State.INTENDED, "month": month, "attempt": 0, "files": "[]", "looks": 0},
                **{"note": "", "not_before_ms": now, "created_ms": now, "changed_ms": now},
            }
            connection.execute(insert(table).values(begin))
            self._remember(connection, intent.key, now, lease.holder, None, State.INTENDED, "")
            return self._launch(connection, intent.key)

    def move(self, lease: Lease, seen: Launch, after: State, note: str = "", change: Change = Change()) -> Launch:
        with self._transaction() as connection:
            now = held(connection, lease)
            if lease.target != seen.intent.target:
                raise FencedError(f"the lease is on {lease.target}, not on {seen.intent.target}")
            return self._moved(connection, now, lease.holder, seen, after, note, change)

    def resolve(self, key: str, who: str, after: State, note: str, job_id: str | None = None) -> Launch:
        with self._transaction() as connection:
            seen = self._launch(connection, key, lock=True)
            if after not in PERSONS.get(seen.state, ()):
                raise TransitionError(f"launch {key} is {seen.state}, where no person can make it {after}")
            if seen.state == State.LAUNCHING and not seen.uncreated:
                raise TransitionError(f"launch {key}: its job may just be created, wait until that is known")
            if (after == State.LAUNCHED) != (job_id is not None):
                raise TransitionError("a job's id comes with launched, and only with it")
            change = Change(looks=0, deadline_in_ms=None)
            if job_id is not None:
                change = msgspec.structs.replace(change, job_id=job_id)
            elif after == State.CANCELLED and not seen.uncreated:  # there may be a job, and nobody stops it
                change = msgspec.structs.replace(change, cost_cents=seen.intent.cost_cents)
            return self._moved(connection, now_ms(connection), who, seen, after, note, change)

    def progress(self, lease: Lease, key: str, events: Sequence[Event], points: Sequence[Point]) -> None:
        with self._transaction() as connection:
            held(connection, lease)
            for table, told in ((tables.events, events), (tables.points, points)):
                add(connection, table, [{"key": key, **_storable(msgspec.structs.asdict(each))} for each in told])

    def launch(self, key: str) -> Launch:
        with self._transaction() as connection:
            return self._launch(connection, key)

    def launches(self, target: str | None = None, limit: int = 100) -> list[Launch]:
        table = tables.launches
        query = select(table).order_by(table.c.created_ms.desc(), table.c.key).limit(limit)
        return [_launch(row) for row in self._rows(query if target is None else query.where(table.c.target == target))]

    def due(self) -> list[Launch]:
        table = tables.launches
        with self._transaction() as connection:
            now = now_ms(connection)
            ready = table.c.state.in_(DUE), table.c.not_before_ms <= now
            query = select(table).where(*ready).order_by(table.c.not_before_ms, table.c.key)
            return [_launch(row) for row in connection.execute(query).mappings()]

    def history(self, key: str) -> list[Transition]:
        table = tables.history
        rows = self._rows(select(table).where(table.c.key == key).order_by(table.c.number))
        return [
            Transition(
                row["at_ms"],
                row["who"],
                None if row["before"] is None else State(row["before"]),
                State(row["after"]),
                row["note"],
            )
            for row in rows
        ]

    def events(self, key: str) -> list[Event]:
        table = tables.events
        rows = self._rows(select(table).where(table.c.key == key).order_by(table.c.at_ms, table.c.event_id))
        return [Event(row["event_id"], row["at_ms"], row["level"], row["message"]) for row in rows]

    def curve(self, key: str, name: str) -> list[Point]:
        table = tables.points
        rows = self._rows(select(table).where(table.c.key == key, table.c.name == name).order_by(table.c.step))
        return [Point(row["step"], row["name"], row["value"]) for row in rows]

    def spent_cents(self, target: str, month: str | None = None) -> int:
        with self._transaction() as connection:
            return self._spent(connection, target, _month(now_ms(connection)) if month is None else month)

    def now_ms(self) -> int:
        with self._transaction() as connection:
            return now_ms(connection)

    def close(self) -> None:
        self._database.close()

    def _moved(
        self, connection: Connection, now: int, who: str, seen: Launch, after: State, note: str, change: Change
    ) -> Launch:
        table = tables.launches
        if after != seen.state and after not in NEXT[seen.state]:
            raise TransitionError(f"launch {seen.key}: {seen.state} does not go to {after}")
        if seen.state in TERMINAL:
            raise TransitionError(f"launch {seen.key} is over: {seen.state}")
        values: dict[str, object] = {
            name: value
            for name in ("attempt", "looks", "job_id", "model")
            if (value := getattr(change, name)) is not msgspec.UNSET
        }
        values |= {"state": after, "note": note, "not_before_ms": now + change.wait_ms, "changed_ms": now}
        values = _storable(values)
        if change.files is not msgspec.UNSET:
            values["files"] = msgspec.json.encode(change.files).decode()
        if change.deadline_in_ms is not msgspec.UNSET:
            values["deadline_ms"] = None if change.deadline_in_ms is None else now + change.deadline_in_ms
        if after in TERMINAL:
            # What was never created costs nothing; of what was, the reserved cost unless the provider tells better.
            known = seen.job_id is not None or change.job_id is not msgspec.UNSET
            reserved = seen.intent.cost_cents if known else 0
            values["settled_cents"] = reserved if change.cost_cents is msgspec.UNSET else change.cost_cents
        # A launch seen twice with the same content has the same next step, so content is what is compared.
        same = (
            table.c.key == seen.key,
            table.c.state == seen.state,
            table.c.attempt == seen.attempt,
            table.c.looks == seen.looks,
            table.c.files == msgspec.json.encode(seen.files).decode(),
        )
        if connection.execute(update(table).where(*same).values(values)).rowcount != 1:
            there = self._launch(connection, seen.key)
            raise TransitionError(f"launch {seen.key} was seen as {seen.state} and is {there.state}")
        if after != seen.state:
            self._remember(connection, seen.key, now, who, seen.state, after, note)
        return self._launch(connection, seen.key)

    @staticmethod
    def _write_lease(connection: Connection, lease: Lease) -> None:
        table = tables.leases
        values = {"holder": lease.holder, "token": lease.token, "expires_ms": lease.expires_ms}
        connection.execute(update(table).where(table.c.target == lease.target).values(values))

    @staticmethod
    def _spent(connection: Connection, target: str, month: str) -> int:
        table = tables.launches
        total = func.sum(func.coalesce(table.c.settled_cents, table.c.cost_cents))
        return int(
            connection.execute(select(total).where(table.c.target == target, table.c.month == month)).scalar() or 0
        )

    @staticmethod
    def _launch(connection: Connection, key: str, *, lock: bool = False) -> Launch:
        query = select(tables.launches).where(tables.launches.c.key == key)
        row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
        if row is None:
            raise UnknownLaunchError(f"there is no launch {key}")
        return _launch(row)

    @staticmethod
    def _remember(
        connection: Connection, key: str, now: int, who: str, before: State | None, after: State, note: str
    ) -> None:
        row = {"key": key, "at_ms": now, "who": who, "before": before, "after": after, "note": note}
        connection.execute(insert(tables.history).values(_storable(row)))

    def _rows(self, query: Any) -> list[RowMapping]:
        with self._transaction() as connection:
            return list(connection.execute(query).mappings())

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with _wrapped(), self._database.transaction() as connection:
            yield connection


def held(connection: Connection, lease: Lease) -> int:
    """The time, if the lease is still its holder's; nobody takes it over before the transaction ends.

    Raises FencedError.
    """
    table = tables.leases
    row = connection.execute(select(table).where(table.c.target == lease.target).with_for_update()).one_or_none()
    now = now_ms(connection)
    if row is None or row.token != lease.token:
        raise FencedError(f"the lease on {lease.target} with token {lease.token} was taken over")
    if row.expires_ms <= now:
        raise FencedError(f"the lease on {lease.target} with token {lease.token} ran out")
    return now


@contextmanager
def _wrapped() -> Iterator[None]:
    try:
        yield
    except DatabaseRefusedError as exc:
        raise TransitionError(str(exc)) from exc
    except DatabaseUnavailable as exc:
        raise LedgerUnavailable(str(exc)) from exc


def _storable(row: Mapping[str, object]) -> dict[str, object]:
    """A provider's words may have NULs or lone surrogates, which no database takes."""
    return {
        name: value.replace("\0", "").encode(errors="replace").decode() if isinstance(value, str) else value
        for name, value in row.items()
    }


def _launch(row: RowMapping) -> Launch:
    intent = Intent(**{name: row[name] for name in Intent.__struct_fields__})
    rest = {name: row[name] for name in Launch.__struct_fields__ if name not in {"intent", "state", "files"}}
    files = msgspec.json.decode(row["files"], type=tuple[str, ...])
    return Launch(intent=intent, state=State(row["state"]), files=files, **rest)


def _month(now_ms: int) -> str:
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m")
