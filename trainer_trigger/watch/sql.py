"""The index in SQL: each step is one transaction that finds the target's state as it was read, or changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from trainer_trigger.database import Database, add, now_ms
from trainer_trigger.watch import Versions, tables
from trainer_trigger.watch.clusters import By, Person, merge
from trainer_trigger.watch.errors import MovedOnError
from trainer_trigger.watch.records import Lake, Member, Place, Said, Seen, State, Word

ASKED_AT_ONCE: Final = 1_000
"""Values in one query: both databases take more."""

DROPPED_AT_ONCE: Final = 20_000
"""Rows of an index that is on its way out, a transaction: others wait for it no longer than for a step."""

BEFORE_ALL: Final = -1
"""The version of `samples` of which nothing was trained on."""

_SAMPLE: Final = tables.samples.c
_MEMBER: Final = [_SAMPLE[name] for name in Member.__struct_fields__]


class Waiting(msgspec.Struct, frozen=True):
    """A cluster that waits for a window, and the version that brought its first."""

    seen: int
    cluster: str


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """Where a drift rule is: against which reference, up to which cluster, and what it said."""

    reference: str
    seen: int
    cluster: str
    told: str
    history: str | None


class SqlIndex:
    """The index of all targets. Everything may raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(tables.metadata)

    def state(self, target: str) -> State | None:
        """How far a target is; None for one that was never looked at."""
        with self._database.transaction() as connection:
            return _state(connection, target)

    def begin(
        self,
        target: str,
        fingerprint: str,
        lake: Lake,
        seen: State | None,
        *,
        keeps_versions: bool = False,
        another: bool = False,
    ) -> State:
        """A new empty index in place of the one seen. Raises MovedOnError where another process did so meanwhile.

        `keeps_versions`: when samples were first seen still holds, though the rows must be read again. `another`: the
        last training set was made of another lake, so all that this one has is fresh.
        """
        with self._database.transaction() as connection:
            _require(connection, target, seen)
            made = connection.execute(insert(tables.indexes).values(target=target)).inserted_primary_key
            assert made is not None
            previous = (seen.previous_id or seen.index_id) if seen is not None and keeps_versions else None
            fresh = {
                "index_id": made[0],
                "previous_id": previous,
                "fingerprint": fingerprint,
                "lake": msgspec.json.encode(lake).decode(),
                "total": 0,
                **msgspec.structs.asdict(Versions()),
            }
            if another and seen is not None and seen.trained_samples is not None:
                fresh["trained_samples"] = BEFORE_ALL
                connection.execute(delete(tables.drift).where(tables.drift.c.target == target))
            if seen is None:
                add(connection, tables.targets, [{"target": target, **fresh}])
            else:
                connection.execute(update(tables.targets).where(tables.targets.c.target == target).values(**fresh))
            begun = _state(connection, target)
            if begun is None or begun.index_id != made[0]:
                raise MovedOnError(target)
            return begun

    def step(
        self,
        target: str,
        seen: State,
        came: Sequence[Seen],
        said: Sequence[Said],
        versions: Versions,
        lake: Lake,
        *,
        last: bool,
    ) -> State:
        """Merge what came and set the watermarks, in one transaction. Raises MovedOnError, then nothing is changed."""
        with self._database.transaction() as connection:
            _require(connection, target, seen)
            known = _Rows(connection, seen)
            members, persons, more = merge(known, came, said)
            known.write(members, persons)
            changed: dict[str, Any] = {"total": seen.total + more, "lake": msgspec.json.encode(lake).decode()}
            changed |= msgspec.structs.asdict(versions)
            if last:
                changed["previous_id"] = None
            connection.execute(update(tables.targets).where(tables.targets.c.target == target).values(**changed))
            after = _state(connection, target)
            assert after is not None
            return after

    def drop_old(self, target: str) -> None:
        """Delete the rows of indexes that the target no longer has."""
        held = tables.targets.c
        old = select(tables.indexes.c.index_id).where(
            tables.indexes.c.target == target,
            ~select(held.target)
            .where((held.index_id == tables.indexes.c.index_id) | (held.previous_id == tables.indexes.c.index_id))
            .exists(),
        )
        for row in self._database.rows(old):
            index_id = row["index_id"]
            for table, key in ((tables.samples, "sample_id"), (tables.persons, "person")):
                some = select(table.c[key]).where(table.c.index_id == index_id).limit(DROPPED_AT_ONCE)
                gone = DROPPED_AT_ONCE
                while gone == DROPPED_AT_ONCE:
                    with self._database.transaction() as connection:
                        done = connection.execute(
                            delete(table).where(table.c.index_id == index_id, table.c[key].in_(some))
                        )
                        gone = done.rowcount
            with self._database.transaction() as connection:
                connection.execute(delete(tables.indexes).where(tables.indexes.c.index_id == index_id))

    def trained(self, target: str, samples: int, dataset_hash: str) -> None:
        """Remember the last training set; the same again changes nothing."""
        table = tables.targets
        with self._database.transaction() as connection:
            connection.execute(
                update(table)
                .where(table.c.target == target, table.c.trained_hash.is_distinct_from(dataset_hash))
                .values(trained_samples=samples, trained_hash=dataset_hash)
            )

    def count_since(self, state: State, version: int) -> int:
        """Clusters that count and first came after a version."""
        query = select(func.count()).where(_SAMPLE.index_id == state.index_id, _SAMPLE.stands_since > version)
        return int(next(iter(self._database.rows(query)))["count_1"])

    def scores(self, state: State, clusters: int, after_ms: int | None = None) -> list[float]:
        """Those of the newest clusters that have one; of those that occurred after a time, if one is said."""
        after = [] if after_ms is None else [_SAMPLE.at_us > after_ms * 1000]
        query = (
            select(_SAMPLE.score)
            .where(_SAMPLE.index_id == state.index_id, _SAMPLE.stands, _SAMPLE.score.is_not(None), *after)
            .order_by(_SAMPLE.at_us.desc(), _SAMPLE.sample_id)
            .limit(clusters)
        )
        return [row["score"] for row in self._database.rows(query)]

    def waiting(self, state: State, seen: int, cluster: str, most: int) -> list[Waiting]:
        """The first clusters after a place, in the order in which they came."""
        root = func.coalesce(_SAMPLE.cluster, _SAMPLE.sample_id)
        query = (
            select(_SAMPLE.stands_seen, root.label("root"))
            .where(*_after(state, seen, cluster))
            .order_by(_SAMPLE.stands_seen, root)
            .limit(most)
        )
        return [Waiting(row["stands_seen"], row["root"]) for row in self._database.rows(query)]

    def population(self, state: State, clusters: Collection[str]) -> list[Member]:
        """The samples of these clusters that meet the filter and await no review."""
        with self._database.transaction() as connection:
            known = _Rows(connection, state)
            found = [*known.members("sample_id", clusters), *known.members("cluster", clusters)]
        wanted = {each.sample_id: each for each in found if each.current and each.meets and not each.awaits}
        return [each for each in wanted.values() if each.root in clusters]

    def known_until(self, state: State, version: int) -> list[str]:
        """Samples of which a version up to this one brought a revision that meets the filter and awaits no review."""
        query = select(_SAMPLE.sample_id).where(_SAMPLE.index_id == state.index_id, _SAMPLE.seen <= version)
        return [row["sample_id"] for row in self._database.rows(query)]

    def count_waiting(self, state: State, seen: int, cluster: str) -> int:
        """How many clusters come after a place."""
        query = select(func.count()).where(*_after(state, seen, cluster))
        return int(next(iter(self._database.rows(query)))["count_1"])

    def checked(self, target: str, rule: str) -> Checked | None:
        """Where a drift rule is."""
        with self._database.transaction() as connection:
            return _checked(connection, target, rule)

    def check(self, target: str, rule: str, seen: Checked | None, after: Checked) -> None:
        """Store a verdict with the window that it took. Raises MovedOnError where another process was first."""
        with self._database.transaction() as connection:
            # The target's row is there and is locked, which a rule's first row is not.
            connection.execute(select(tables.targets).where(tables.targets.c.target == target).with_for_update())
            if _checked(connection, target, rule) != seen:
                raise MovedOnError(target)
            row = {"target": target, "rule": rule, **msgspec.structs.asdict(after)}
            _upsert(connection, tables.drift, [row])

    def now_ms(self) -> int:
        """The database's time in epoch milliseconds."""
        with self._database.transaction() as connection:
            return now_ms(connection)


class _Rows:
    """`clusters.Known` within a transaction."""

    def __init__(self, connection: Connection, state: State) -> None:
        self._connection = connection
        self._state = state

    def members(self, by: By, values: Collection[str]) -> list[Member]:
        return [
            Member(**{**row, "place": _place(row["place"])})
            for row in self._rows(tables.samples, _MEMBER, self._state.index_id, by, values)
        ]

    def persons(self, keys: Collection[str]) -> dict[str, Person]:
        rows = self._rows(tables.persons, list(tables.persons.c), self._state.index_id, "person", keys)
        return {row["person"]: Person(row["erased"], _word(row["last_word"])) for row in rows}

    def earlier(self, sample_ids: Collection[str]) -> dict[str, tuple[int | None, int | None]]:
        if self._state.previous_id is None:
            return {}
        columns = [_SAMPLE.sample_id, _SAMPLE.seen, _SAMPLE.since]
        rows = self._rows(tables.samples, columns, self._state.previous_id, "sample_id", sample_ids)
        return {row["sample_id"]: (row["seen"], row["since"]) for row in rows}

    def write(self, members: Sequence[Member], persons: dict[str, Person]) -> None:
        index_id = self._state.index_id
        rows = []
        for member in members:
            row = {name: getattr(member, name) for name in Member.__struct_fields__}
            rows.append({**row, "index_id": index_id, "place": msgspec.json.encode(member.place).decode()})
        _upsert(self._connection, tables.samples, rows)
        said = [
            {
                "index_id": index_id,
                "person": key,
                "erased": person.erased,
                "last_word": None if person.last_word is None else msgspec.json.encode(person.last_word).decode(),
            }
            for key, person in sorted(persons.items())
        ]
        _upsert(self._connection, tables.persons, said)

    def _rows(
        self, table: Table, columns: Sequence[Any], index_id: int, by: str, values: Collection[str]
    ) -> Iterator[dict[str, Any]]:
        names = [column.name for column in columns]
        for some in _some(values):
            query = select(*columns).where(table.c.index_id == index_id, table.c[by].in_(some))
            for row in self._connection.execute(query):
                yield dict(zip(names, row, strict=True))


def _some(values: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(values)
    for start in range(0, len(ordered), ASKED_AT_ONCE):
        yield ordered[start : start + ASKED_AT_ONCE]


def _upsert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(table)
        others = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
        connection.execute(statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=others), rows)


def _require(connection: Connection, target: str, seen: State | None) -> None:
    if _state(connection, target) != seen:
        raise MovedOnError(target)


def _state(connection: Connection, target: str) -> State | None:
    row = (
        connection.execute(select(tables.targets).where(tables.targets.c.target == target).with_for_update())
        .mappings()
        .one_or_none()
    )
    if row is None:
        return None
    fields = {name: row[name] for name in State.__struct_fields__ if name not in ("versions", "lake")}
    versions = Versions(row["samples"], row["rejected"], row["events"])
    return State(versions=versions, lake=msgspec.json.decode(row["lake"], type=Lake), **fields)


def _checked(connection: Connection, target: str, rule: str) -> Checked | None:
    table = tables.drift
    query = select(table).where(table.c.target == target, table.c.rule == rule)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Checked(**{name: row[name] for name in Checked.__struct_fields__})


def _after(state: State, seen: int, cluster: str) -> tuple[Any, ...]:
    """Up to the watermark: of a version beyond it some clusters may not be there yet, and would be passed over."""
    root = func.coalesce(_SAMPLE.cluster, _SAMPLE.sample_id)
    return (
        _SAMPLE.index_id == state.index_id,
        _SAMPLE.stands_seen.between(seen, state.versions.samples),
        (_SAMPLE.stands_seen > seen) | (root > cluster),
    )


def _place(text: str) -> Place:
    return msgspec.json.decode(text, type=Place)


def _word(text: str | None) -> Word | None:
    return None if text is None else msgspec.json.decode(text, type=Word)
