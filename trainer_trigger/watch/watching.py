"""The watch itself: from the lake's commits to the index, and from the index to counts, scores and windows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from schemas import targets
from schemas.tables import EVENTS, REJECTED, SAMPLES, Table
from schemas.targets import Target
from streams.lake.delta import DeltaLake
from streams.lake.ports import Lake, TableStore
from trainer_trigger import drift
from trainer_trigger.database import Database
from trainer_trigger.watch import Count, DriftState, Production, Versions
from trainer_trigger.watch.errors import MovedOnError
from trainer_trigger.watch.reading import Came, rows
from trainer_trigger.watch.records import Said, Seen, State, fingerprint
from trainer_trigger.watch.sql import SqlIndex
from trainer_trigger.watch.windows import Windows

STEP_ROWS: Final = 10_000
"""Rows in memory and in one transaction: some tens of MB, and a second or two of the database's write lock."""

# What takes samples away comes first: a step that is not the last never counts too many.
_ORDER: Final = (EVENTS, REJECTED, SAMPLES)

_LOG: Final = logging.getLogger(__name__)


class Watch:
    """See `Watching`. Any number of processes may watch the same targets; each step of one is seen whole by the others.

    `lake`: its root, or one that is open. `reports`: the folder for what drift checks say. `snapshots`: the rows of a
    target's last training set, by its name; None where there is none.
    """

    def __init__(
        self,
        database: Database,
        lake: str | Lake,
        reports: str,
        snapshots: Callable[[str], Sequence[drift.Row] | None],
    ) -> None:
        self._index = SqlIndex(database)
        self._lake = DeltaLake(lake) if isinstance(lake, str) else lake
        self._root = lake if isinstance(lake, str) else ""
        self._stores: dict[str, TableStore] = {}
        self._windows = Windows(self._index, self._read_by, reports, snapshots)
        self._one_at_a_time = threading.RLock()  # the stores are for one thread

    def catch_up(self, name: str, target: Target) -> Versions:
        """See `Watching`.

        1 the newest versions → 2 the index of this target, anew where the target changed → 3 what was committed since
        its watermarks, in steps of one transaction; a table's watermark moves when it was read up to its version. What
        a step read and then failed is read again, which changes nothing. Another process' step makes this one begin
        again from there.
        """
        with self._one_at_a_time:
            while True:
                # 1
                versions = self._newest()
                try:
                    # 2
                    state = self._begun(name, target)
                    # 3
                    if state.versions != versions or state.previous_id is not None:
                        self._read(name, target, state, versions)
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

    def production(self, name: str, target: Target, clusters: int) -> Production:
        """See `Watching`. A cluster's score is that of the sample that stands for it, its best."""
        state = self._index.state(name)
        scores = [] if state is None else self._index.scores(state, clusters)
        return Production(len(scores), sum(scores) / len(scores) if scores else None)

    def drift(self, name: str, target: Target, rule: targets.Drift, *, checks: bool = True) -> DriftState:
        """See `Watching`."""
        with self._one_at_a_time:
            return self._windows.check(name, rule, checks=checks)

    def trained(self, name: str, versions: Versions, dataset_hash: str) -> None:
        """See `Watching`."""
        while self._index.state(name) is None:
            try:
                self._index.begin(name, "", None)
            except MovedOnError:
                continue
        self._index.trained(name, versions.samples, dataset_hash)

    def _newest(self) -> Versions:
        found = {table.name: self._store(table) for table in _ORDER}
        return Versions(**{name: -1 if store is None else store.version() for name, store in found.items()})

    def _store(self, table: Table) -> TableStore | None:
        """A store that stays open follows its table's log instead of reading it from the beginning."""
        if table.name not in self._stores and (found := self._lake.find(table)) is not None:
            self._stores[table.name] = found
        return self._stores.get(table.name)

    def _read_by(self) -> TableStore | None:
        return self._store(SAMPLES)

    def _begun(self, name: str, target: Target) -> State:
        state = self._index.state(name)
        mark = fingerprint(self._root, target)
        if state is not None and state.fingerprint == mark:
            return state
        if state is not None and state.fingerprint:
            _LOG.info("target %s: its filter or score changed; the lake is read from the beginning", name)
        return self._index.begin(name, mark, state)

    def _read(self, name: str, target: Target, state: State, versions: Versions) -> None:
        came: list[Seen] = []
        said: list[Said] = []
        reached = state.versions
        for table in _ORDER:
            for batch in self._since(name, target, table, state, versions):
                came += batch.seen
                said += batch.said
                if len(came) + len(said) >= STEP_ROWS:
                    state = self._index.step(name, state, came, said, reached, last=False)
                    came, said = [], []
            reached = msgspec.structs.replace(reached, **{table.name: getattr(versions, table.name)})
        self._index.step(name, state, came, said, reached, last=True)

    def _since(self, name: str, target: Target, table: Table, state: State, versions: Versions) -> Iterator[Came]:
        after, until = getattr(state.versions, table.name), getattr(versions, table.name)
        store = self._store(table)
        if after == until or store is None:
            return
        why = "the table is another one"
        if until > after:
            changes = store.changes(after, until)
            if changes.complete:
                yield from rows(table, changes, target)
                return
            why = changes.why
        _LOG.info("target %s: the lake is read from the beginning, as of table %s %s", name, table.name, why)
        self._index.begin(name, state.fingerprint, state, keeps_versions=until > after)
        raise MovedOnError(name)
