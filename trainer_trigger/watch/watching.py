"""The watch itself: from the lake's commits to the index, and from the index to counts, scores and windows."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from schemas import targets
from schemas.tables import EVENTS, REJECTED, SAMPLES, Table
from schemas.targets import Target
from streams.errors import LakeUnavailable
from streams.lake import ports
from streams.lake.delta import DeltaLake
from streams.lake.ports import TableStore
from trainer_trigger.database import Database
from trainer_trigger.watch import Count, DriftState, Production, Versions
from trainer_trigger.watch.errors import MovedOnError
from trainer_trigger.watch.reading import Came, rows
from trainer_trigger.watch.records import Lake, Said, Seen, State, fingerprint
from trainer_trigger.watch.snapshots import Snapshots
from trainer_trigger.watch.sql import SqlIndex
from trainer_trigger.watch.windows import Windows

STEP_ROWS: Final = 10_000
"""Rows in memory and in one transaction: some tens of MB, and a second or two of the database's write lock."""

# What takes samples away comes first: a step that is not the last never counts too many.
_ORDER: Final = (EVENTS, REJECTED, SAMPLES)

_LOG: Final = logging.getLogger(__name__)


class Watch:
    """See `Watching`. Any number of processes may watch the same targets; each step of one is seen whole by the others.

    `lake`: its root, or one that is open. `reports`: the folder for what drift checks say.
    """

    def __init__(
        self,
        database: Database,
        lake: str | ports.Lake,
        reports: str,
        snapshots: Snapshots,
    ) -> None:
        self._index = SqlIndex(database)
        self._lake = DeltaLake(lake) if isinstance(lake, str) else lake
        self._root = _root(lake) if isinstance(lake, str) else ""
        self._stores: dict[str, TableStore] = {}
        self._windows = Windows(self._index, self._read_by, reports, snapshots)
        self._one_at_a_time = threading.RLock()  # the stores are for one thread

    def catch_up(self, name: str, target: Target) -> Versions:
        """See `Watching`.

        1 how far the index is, then the newest versions: these are no lower, unless the lake is another one → 2 the
        index of this target, anew where the target or the lake is another one → 3 what was committed since
        its watermarks, in steps of one transaction; a table's watermark moves when it was read up to its version. What
        a step read and then failed is read again, which changes nothing. Another process' step makes this one begin
        again from there.
        """
        with self._one_at_a_time:
            while True:
                # 1
                state = self._index.state(name)
                lake, versions = self._newest()
                try:
                    # 2
                    state = self._begun(name, target, state, lake, versions)
                    # 3
                    if state.versions != versions or state.previous_id is not None:
                        self._read(name, target, state, lake, versions)
                except MovedOnError:
                    continue
                self._index.drop_old(name)
                return versions

    def count(self, name: str, target: Target) -> Count:
        """See `Watching`."""
        state = self._index.state(name)
        if state is None:
            return Count(0, 0)
        if state.trained_samples is None:
            return Count(state.total, state.total)
        return Count(self._index.count_since(state, state.trained_samples), state.total)

    def production(self, name: str, target: Target, clusters: int, after_ms: int | None = None) -> Production:
        """See `Watching`. A cluster's score is that of the sample that stands for it, its best."""
        state = self._index.state(name)
        scores = [] if state is None else self._index.scores(state, clusters, after_ms)
        return Production(len(scores), sum(scores) / len(scores) if scores else None)

    def drift(self, name: str, target: Target, rule: targets.Drift, *, checks: bool = True) -> DriftState:
        """See `Watching`."""
        with self._one_at_a_time:
            return self._windows.check(name, target, rule, checks=checks)

    def trained(self, name: str, versions: Versions, dataset_hash: str) -> None:
        """See `Watching`."""
        while self._index.state(name) is None:
            try:
                self._index.begin(name, "", Lake(), None)
            except MovedOnError:
                continue
        self._index.trained(name, versions.samples, dataset_hash)

    def _newest(self) -> tuple[Lake, Versions]:
        found = {table.name: store for table in _ORDER if (store := self._store(table)) is not None}
        ids = {name: store.table_id() for name, store in found.items()}
        return Lake(self._root, **ids), Versions(**{name: store.version() for name, store in found.items()})

    def _store(self, table: Table) -> TableStore | None:
        """A store that stays open follows its table's log instead of reading it from the beginning."""
        if table.name not in self._stores and (found := self._lake.find(table)) is not None:
            self._stores[table.name] = found
        return self._stores.get(table.name)

    def _read_by(self) -> TableStore | None:
        return self._store(SAMPLES)

    def _begun(self, name: str, target: Target, state: State | None, lake: Lake, versions: Versions) -> State:
        mark = fingerprint(target)
        another = state is not None and self._another(state, lake, versions)
        if state is not None and state.fingerprint == mark and not another:
            return state
        if another:
            _LOG.warning("target %s: the lake is another one; it is read from the beginning and all of it is new", name)
        elif state is not None and state.fingerprint:
            _LOG.info("target %s: its filter or score changed; the lake is read from the beginning", name)
        return self._index.begin(name, mark, lake, state, another=another)

    def _another(self, state: State, lake: Lake, versions: Versions) -> bool:
        """Whether the lake is not that of the index. Raises LakeUnavailable where that cannot be told yet: a folder
        that is not mounted looks like an empty lake."""
        lost = lake.lacks(state.lake)
        another = lake.differs(state.lake) or _fell(state.versions, versions, but=lost)
        if lost and (not another or versions == Versions()):
            raise LakeUnavailable(f"{', '.join(lost)}: no such table any more")
        return another

    def _read(self, name: str, target: Target, state: State, lake: Lake, versions: Versions) -> None:
        came: list[Seen] = []
        said: list[Said] = []
        reached = state.versions
        for table in _ORDER:
            for batch in self._since(name, target, table, state, versions):
                came += batch.seen
                said += batch.said
                if len(came) + len(said) >= STEP_ROWS:
                    state = self._index.step(name, state, came, said, reached, lake, last=False)
                    came, said = [], []
            reached = msgspec.structs.replace(reached, **{table.name: getattr(versions, table.name)})
        self._index.step(name, state, came, said, reached, lake, last=True)

    def _since(self, name: str, target: Target, table: Table, state: State, versions: Versions) -> Iterator[Came]:
        after, until = getattr(state.versions, table.name), getattr(versions, table.name)
        store = self._store(table)
        if after == until or store is None:
            return
        changes = store.changes(after, until)
        if changes.complete:
            yield from rows(table, changes, target)
            return
        _LOG.info("target %s: the lake is read from the beginning, as of table %s %s", name, table.name, changes.why)
        self._index.begin(name, state.fingerprint, state.lake, state, keeps_versions=True)
        raise MovedOnError(name)


def _fell(before: Versions, now: Versions, but: Collection[str]) -> bool:
    """Whether one is lower than it was, as after a backup was put back; versions only grow."""
    names = set(Versions.__struct_fields__) - set(but)
    return any(getattr(now, name) < getattr(before, name) for name in names)


def _root(lake: str) -> str:
    return lake.rstrip("/") if "://" in lake else os.path.abspath(lake)
