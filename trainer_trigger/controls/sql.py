"""The controls in SQL, in the ledger's database."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, func, insert, select, update

from trainer_trigger.controls import tables
from trainer_trigger.controls.records import (
    MANUAL,
    MAX_WAITING,
    STEPS,
    Evaluation,
    Measurement,
    Outcome,
    Pause,
    Signal,
    Stage,
    TargetState,
    TrainingSet,
    Turn,
)
from trainer_trigger.database import Database, add, now_ms
from trainer_trigger.errors import NotHeardError, NotWaitingError, UnknownDecisionError
from trainer_trigger.ledger import Decision, Lease
from trainer_trigger.ledger import tables as ledger_tables
from trainer_trigger.ledger.sql import held
from trainer_trigger.watch import Versions


class SqlControls:
    """`Controls` in a `Database`. Makes its tables, and the ledger's, where they are missing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(ledger_tables.metadata)
        database.create(tables.metadata)

    def state(self, target: str) -> TargetState:
        table = tables.targets
        with self._database.transaction() as connection:
            new = {"target": target, "first_seen_ms": now_ms(connection), "holds_hash": "", "problem": ""}
            add(connection, table, [new])
            row = connection.execute(select(table).where(table.c.target == target)).mappings().one()
            return TargetState(**{name: row[name] for name in TargetState.__struct_fields__})

    def looked(self, lease: Lease, problem: str = "") -> None:
        table = tables.targets
        with self._database.transaction() as connection:
            now = held(connection, lease)
            mine = table.c.target == lease.target
            if problem:
                connection.execute(update(table).where(mine).values(problem=problem))
                connection.execute(update(table).where(mine, table.c.problem_ms.is_(None)).values(problem_ms=now))
            else:
                connection.execute(update(table).where(mine).values(problem="", problem_ms=None, seen_ms=now))

    def holding(self, lease: Lease, target_hash: str, holds: bool) -> int | None:
        table = tables.targets
        with self._database.transaction() as connection:
            now = held(connection, lease)
            row = connection.execute(select(table).where(table.c.target == lease.target)).mappings().one()
            known = row["holds_since_ms"] if row["holds_hash"] == target_hash else None
            since = (now if known is None else int(known)) if holds else None
            values = {"holds_hash": target_hash, "holds_since_ms": since}
            connection.execute(update(table).where(table.c.target == lease.target).values(values))
            return since

    def pause(self, target: str, who: str, why: str) -> None:
        self._say_paused(target, True, who, why)

    def resume(self, target: str, who: str) -> None:
        self._say_paused(target, False, who, "")

    def _say_paused(self, target: str, paused: bool, who: str, why: str) -> None:
        with self._database.transaction() as connection:
            row = {"target": target, "paused": paused, "who": who, "at_ms": now_ms(connection), "why": why}
            connection.execute(insert(tables.pauses).values(row))

    def paused(self, target: str) -> Pause | None:
        table = tables.pauses
        query = select(table).where(table.c.target == target).order_by(table.c.number.desc()).limit(1)
        rows = self._database.rows(query)
        return Pause(rows[0]["who"], rows[0]["at_ms"], rows[0]["why"]) if rows and rows[0]["paused"] else None

    def signal(self, signal: Signal) -> Signal:
        table = tables.signals
        with self._database.transaction() as connection:
            examples = msgspec.json.encode(signal.examples).decode()
            row = {**msgspec.structs.asdict(signal), "at_ms": now_ms(connection), "examples": examples}
            known = select(table).where(table.c.signal_id == signal.signal_id)
            if connection.execute(known).first() is None:
                waiting = select(func.count()).where(table.c.target == signal.target, *_waiting())
                if connection.execute(waiting).scalar_one() >= MAX_WAITING:
                    raise NotHeardError(f"{MAX_WAITING:,} signals of {signal.target} wait already: no more are kept")
            add(connection, table, [row])
            return _signal(connection.execute(known).mappings().one())

    def find_signal(self, signal_id: str) -> Signal | None:
        rows = self._database.rows(select(tables.signals).where(tables.signals.c.signal_id == signal_id))
        return _signal(rows[0]) if rows else None

    def signals(self, target: str) -> list[Signal]:
        table = tables.signals
        query = select(table).where(table.c.target == target, *_waiting()).order_by(table.c.at_ms, table.c.signal_id)
        return [_signal(row) for row in self._database.rows(query)]

    def withdraw(self, signal_id: str, who: str) -> None:
        table = tables.signals
        with self._database.transaction() as connection:
            waiting = table.c.signal_id == signal_id, table.c.decision_id.is_(None)
            if connection.execute(update(table).where(*waiting).values(withdrawn_by=who)).rowcount != 1:
                raise NotWaitingError(f"{signal_id} has led to a decision already")

    def measure(self, target: str, metric: str, value: float, who: str) -> None:
        with self._database.transaction() as connection:
            row = {"target": target, "metric": metric, "value": value, "who": who, "at_ms": now_ms(connection)}
            connection.execute(insert(tables.measurements).values(row))

    def measurements(self, target: str) -> dict[str, Measurement]:
        table = tables.measurements
        last = select(func.max(table.c.number)).where(table.c.target == target).group_by(table.c.metric)
        rows = self._database.rows(select(table).where(table.c.number.in_(last)))
        return {row["metric"]: Measurement(row["metric"], row["value"], row["who"], row["at_ms"]) for row in rows}

    def record(
        self, lease: Lease, decision: Decision, stage: Stage, cause: str = "", signals: Sequence[str] = ()
    ) -> Outcome:
        table = tables.outcomes
        with self._database.transaction() as connection:
            now = held(connection, lease)
            known = _find(connection, table.c.decision_id == decision.decision_id)
            if known is not None:
                return known
            last = _find(connection, table.c.target == lease.target) if stage == Stage.NO else None
            if last is not None and last.stage == Stage.NO and last.cause == cause:
                same = table.c.decision_id == last.decision.decision_id
                again = {"times": last.times + 1, "last_ms": now, "note": decision.words}
                connection.execute(update(table).where(same).values(again))
                return _one(connection, last.decision.decision_id)
            add(connection, ledger_tables.decisions, [{**msgspec.structs.asdict(decision), "at_ms": now}])
            row: dict[str, Any] = {
                **{"decision_id": decision.decision_id, "target": decision.target, "stage": stage},
                **{"note": decision.words, "cause": cause, "times": 1, "told": False},
                **{"last_ms": now},
            }
            connection.execute(insert(table).values(row))
            _remember(connection, decision.decision_id, now, lease.holder, None, stage, "")
            for each in signals:
                answered = update(tables.signals).where(tables.signals.c.signal_id == each, *_waiting())
                if connection.execute(answered.values(decision_id=decision.decision_id)).rowcount != 1:
                    raise NotWaitingError(f"{each} was withdrawn meanwhile")
            return _one(connection, decision.decision_id)

    def move(
        self,
        lease: Lease,
        decision_id: str,
        after: Stage,
        note: str,
        launch_key: str | None = None,
        training_set: TrainingSet | None = None,
        *,
        in_vain: bool = False,
    ) -> Outcome:
        with self._database.transaction() as connection:
            now = held(connection, lease)
            values: dict[str, Any] = {"launch_key": launch_key} if launch_key is not None else {}
            if training_set is not None:
                values["training_set"] = msgspec.json.encode(training_set).decode()
            moved = self._moved(connection, now, lease.holder, decision_id, after, note, values)
            if in_vain:
                _give_back(connection, decision_id)
            return moved

    def settle(self, decision_id: str, who: str, after: Stage, note: str) -> Outcome:
        with self._database.transaction() as connection:
            seen = _one(connection, decision_id, lock=True)
            if seen.stage != Stage.WAITING:
                raise NotWaitingError(f"decision {decision_id} is {seen.stage}: it waits for nobody's word")
            words = f"{'refused' if after == Stage.REFUSED else 'approved'} by {who}{f': {note}' if note else ''}"
            return self._moved(connection, now_ms(connection), who, decision_id, after, words, {})

    def _moved(
        self,
        connection: Connection,
        now: int,
        who: str,
        decision_id: str,
        after: Stage,
        note: str,
        values: dict[str, Any],
    ) -> Outcome:
        table = tables.outcomes
        seen = _one(connection, decision_id, lock=True)
        if after != seen.stage and after not in STEPS.get(seen.stage, ()):
            raise NotWaitingError(f"decision {decision_id} is {seen.stage}, which does not go to {after}")
        values |= {"stage": after, "note": note, "last_ms": now}
        connection.execute(update(table).where(table.c.decision_id == decision_id).values(values))
        if after != seen.stage:
            _remember(connection, decision_id, now, who, seen.stage, after, note)
        return _one(connection, decision_id)

    def pin(self, lease: Lease, decision_id: str, versions: Versions) -> Outcome:
        table = tables.outcomes
        with self._database.transaction() as connection:
            held(connection, lease)
            unpinned = table.c.decision_id == decision_id, table.c.pinned.is_(None)
            pinned = msgspec.json.encode(versions).decode()
            connection.execute(update(table).where(*unpinned).values(pinned=pinned))
            return _one(connection, decision_id)

    def told(self, lease: Lease, decision_id: str, *, in_vain: bool = False) -> None:
        table = tables.outcomes
        with self._database.transaction() as connection:
            held(connection, lease)
            connection.execute(update(table).where(table.c.decision_id == decision_id).values(told=True))
            if in_vain:
                _give_back(connection, decision_id)

    def untold(self, target: str) -> list[Outcome]:
        table = tables.outcomes
        query = _query().where(table.c.target == target, table.c.stage == Stage.LAUNCHED, ~table.c.told)
        return [_outcome(row) for row in self._database.rows(query.order_by(table.c.number))]

    def outcome(self, decision_id: str) -> Outcome:
        with self._database.transaction() as connection:
            return _one(connection, decision_id)

    def open(self, target: str) -> Outcome | None:
        table = tables.outcomes
        with self._database.transaction() as connection:
            return _find(connection, table.c.target == target, table.c.stage.in_([str(each) for each in STEPS]))

    def outcomes(self, target: str | None = None, limit: int = 100, noes: bool = True) -> list[Outcome]:
        table = tables.outcomes
        query = _query() if target is None else _query().where(table.c.target == target)
        query = query if noes else query.where(table.c.stage != Stage.NO)
        return [_outcome(row) for row in self._database.rows(query.order_by(table.c.number.desc()).limit(limit))]

    def history(self, decision_id: str) -> list[Turn]:
        table = tables.turns
        rows = self._database.rows(select(table).where(table.c.decision_id == decision_id).order_by(table.c.number))
        return [
            Turn(
                row["at_ms"],
                row["who"],
                None if row["before"] is None else Stage(row["before"]),
                Stage(row["after"]),
                row["note"],
            )
            for row in rows
        ]

    def evaluate(self, evaluation: Evaluation) -> None:
        with self._database.transaction() as connection:
            row = {**msgspec.structs.asdict(evaluation), "at_ms": now_ms(connection)}
            add(connection, tables.evaluations, [row])

    def evaluations(self, model_id: str | None = None, limit: int = 100) -> list[Evaluation]:
        table = tables.evaluations
        query = select(table).order_by(table.c.at_ms.desc(), table.c.evaluation_id).limit(limit)
        rows = self._database.rows(query if model_id is None else query.where(table.c.model_id == model_id))
        return [Evaluation(**row) for row in rows]


def _waiting() -> tuple[ColumnElement[bool], ...]:
    """Of signals."""
    return tables.signals.c.decision_id.is_(None), tables.signals.c.withdrawn_by.is_(None)


def _give_back(connection: Connection, decision_id: str) -> None:
    """The events that a decision has answered in vain."""
    events = tables.signals.c.decision_id == decision_id, tables.signals.c.kind != MANUAL
    answered = connection.execute(select(tables.signals).where(*events)).mappings().all()
    add(connection, tables.signals, [_again(row) for row in answered])


def _again(row: RowMapping) -> dict[str, Any]:
    """It has an id of its own, since it leads to a decision of its own."""
    of = msgspec.json.encode([row["signal_id"], row["decision_id"]])
    return {**row, "signal_id": hashlib.sha256(of).hexdigest()[:32], "decision_id": None}


def _query() -> Any:
    decisions, outcomes = ledger_tables.decisions, tables.outcomes
    fields = [column for column in outcomes.c if column.name not in {"decision_id", "target"}]
    return select(*fields, *decisions.c).join_from(
        outcomes, decisions, decisions.c.decision_id == outcomes.c.decision_id
    )


def _find(connection: Connection, *where: Any, lock: bool = False) -> Outcome | None:
    query = _query().where(*where).order_by(tables.outcomes.c.number.desc()).limit(1)
    query = query.with_for_update(of=tables.outcomes) if lock else query
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _outcome(row)


def _one(connection: Connection, decision_id: str, *, lock: bool = False) -> Outcome:
    found = _find(connection, tables.outcomes.c.decision_id == decision_id, lock=lock)
    if found is None:
        raise UnknownDecisionError(f"there is no decision {decision_id}")
    return found


def _remember(
    connection: Connection, decision_id: str, now: int, who: str, before: Stage | None, after: Stage, note: str
) -> None:
    row = {"decision_id": decision_id, "at_ms": now, "who": who, "before": before, "after": after, "note": note}
    connection.execute(insert(tables.turns).values(row))


def _outcome(row: RowMapping) -> Outcome:
    told, pinned = row["training_set"], row["pinned"]
    return Outcome(
        decision=Decision(**{name: row[name] for name in Decision.__struct_fields__}),
        stage=Stage(row["stage"]),
        training_set=None if told is None else msgspec.json.decode(told, type=TrainingSet),
        pinned=None if pinned is None else msgspec.json.decode(pinned, type=Versions),
        **{name: row[name] for name in ("note", "cause", "times", "launch_key", "told", "last_ms")},
    )


def _signal(row: RowMapping) -> Signal:
    examples = msgspec.json.decode(row["examples"], type=tuple[str, ...])
    return Signal(examples=examples, **{name: value for name, value in row.items() if name != "examples"})
