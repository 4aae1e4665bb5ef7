"""Drift windows: the clusters that came after the training set, in order, each in one window."""

from __future__ import annotations

import importlib
import itertools
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow.dataset as ds
from msgspec import Struct

from schemas import targets
from schemas.tables import SAMPLES
from schemas.targets import Target
from streams.errors import LakeUnavailable, SettingError
from streams.lake.ports import TableStore
from trainer_trigger import drift
from trainer_trigger.drift.rows import MOST_OF_CLUSTER
from trainer_trigger.drift.verdict import Kind
from trainer_trigger.watch import DriftState
from trainer_trigger.watch.errors import MovedOnError
from trainer_trigger.watch.records import Member, Place, State
from trainer_trigger.watch.snapshots import Snapshots
from trainer_trigger.watch.sql import Checked, SqlIndex

PERMUTATIONS: Final = 2_999
"""At least; a smaller alpha takes more to be reached."""

ROW_COLUMNS: Final = ("sample_id", "instruction", "input", "intent", "language", "task_type", "score")
"""What `drift_row` needs of a row of `samples`."""

REPORTS: Final = 20
"""Checks of a target whose reports are kept: they hold excerpts, and are no archive."""

_SECOND: Final = timedelta(seconds=1)
_PLACE: Final = ("revision", "received_at", "entry_topic_id", "entry_partition", "entry_offset")


def drift_row(row: Mapping[str, Any], cluster: str) -> drift.Row:
    """A row of `samples` as a drift check takes it: what was asked. The answers change with each model that we train,
    and shall not set off the next one."""
    text = f"{row['input']}\n{row['instruction']}".strip()
    return drift.Row(
        sample_id=row["sample_id"],
        cluster=cluster,
        text=text,
        intent=row["intent"],
        language=row["language"],
        task_type=row["task_type"],
        words=float(len(text.split())),
        score=row["score"],
    )


class _Told(Struct, frozen=True, kw_only=True):
    """The last verdict, as it is stored."""

    kind: Kind
    features: tuple[str, ...]
    reason: str
    place: str
    at_ms: int


class _Window(NamedTuple):
    """Rows by cluster, and the last one up to which they go."""

    clusters: dict[str, list[drift.Row]]
    seen: int
    cluster: str


class Windows:
    """Checks of a target's windows. For one thread at a time."""

    def __init__(
        self,
        index: SqlIndex,
        samples: Callable[[], TableStore | None],
        reports: str,
        snapshots: Snapshots,
    ) -> None:
        self._index = index
        self._samples = samples
        self._reports = Path(reports)
        self._snapshots = snapshots
        self._prepared: dict[tuple[str, str | None], tuple[tuple[str, str], drift.Prepared]] = {}

    def check(self, name: str, target: Target, rule: targets.Drift, *, checks: bool = True) -> DriftState:
        """See `Watching.drift`.

        1 the place of the last window; another reference begins after its training set → 2 the reference → 3 a whole
        window, or what is missing → 4 the test → 5 its report → 6 verdict and place in one transaction.
        """
        key = msgspec.json.encode(rule, order="sorted").decode()
        while True:
            state = self._index.state(name)
            if state is None or state.trained_samples is None or state.trained_hash is None:
                return _not_yet(rule, "there is no training set yet to compare with")
            # 1
            stored = self._index.checked(name, key)
            last = stored if stored is not None and stored.reference == state.trained_hash else None
            seen, cluster = (state.trained_samples + 1, "") if last is None else (last.seen, last.cluster)
            waiting = self._index.count_waiting(state, seen, cluster)
            # 2
            reference = self._reference(name, target, state, rule, checking=checks and waiting >= rule.rows)
            if reference is None:
                return _not_yet(rule, "the training set has no snapshot to compare with")
            # 3
            least = drift.Rule().minimum_rows
            if reference.row_count < least:
                reason = f"the last training set has {reference.row_count} rows, {least - reference.row_count} fewer "
                return _not_yet(rule, f"{reason}than the {least} that are needed", reference.row_count)
            if waiting < rule.rows or not checks:
                return _standing(last, rule, waiting, reference.row_count)
            window = self._window(state, seen, cluster, rule.rows)
            if len(window.clusters) < rule.rows:
                return _standing(last, rule, len(window.clusters), reference.row_count)
            # 4
            prepared = drift.prepare(itertools.chain(*window.clusters.values()), _featuriser(rule.featuriser))
            outcome = drift.check(reference, prepared, _rule(rule))
            history = (
                None if last is None or last.history is None else msgspec.json.decode(last.history, type=drift.Outcome)
            )
            verdict = drift.judge(history, outcome)
            # 5
            place = self._write(name, drift.report(reference, prepared, outcome), verdict, outcome)
            # 6
            told = _Told(
                kind=verdict.kind,
                features=verdict.features,
                reason=verdict.reason,
                place=str(place),
                at_ms=self._index.now_ms(),
            )
            after = Checked(
                reference=state.trained_hash,
                seen=window.seen,
                cluster=window.cluster,
                told=msgspec.json.encode(told).decode(),
                history=None if verdict.history is None else msgspec.json.encode(verdict.history).decode(),
            )
            try:
                self._index.check(name, key, stored, after)
            except MovedOnError:
                continue  # another process took this window
            waiting = self._index.count_waiting(state, window.seen, window.cluster)
            return _standing(after, rule, waiting, reference.row_count)

    def _reference(
        self, name: str, target: Target, state: State, rule: targets.Drift, *, checking: bool
    ) -> drift.Prepared | None:
        """Prepared once a training set. Of an erased one again for each check, without those who are gone by then."""
        snapshot = self._snapshots(name, target)
        trained, until = state.trained_hash, state.trained_samples
        assert trained is not None and until is not None
        key = name, rule.featuriser
        held = self._prepared.pop(key, None)
        if snapshot is None or (until < 0 and not snapshot.lasting):  # of a lake that is no more
            return None
        if held is None or held[0] != (trained, snapshot.identity) or (checking and not snapshot.lasting):
            rows = snapshot.read(lambda: self._index.known_until(state, until))
            if rows is None:
                return None
            held = (trained, snapshot.identity), drift.prepare(rows, _featuriser(rule.featuriser))
        self._prepared[key] = held
        return held[1]

    def _window(self, state: State, seen: int, cluster: str, clusters: int) -> _Window:
        """The next clusters, at most so many; what left the lake meanwhile is passed over."""
        found: dict[str, list[drift.Row]] = {}
        while len(found) < clusters:
            waiting = self._index.waiting(state, seen, cluster, clusters - len(found))
            if not waiting:
                break
            seen, cluster = waiting[-1].seen, waiting[-1].cluster
            for row in self._rows(self._chosen(state, {each.cluster for each in waiting})):
                found.setdefault(row.cluster, []).append(row)
        return _Window(found, seen, cluster)

    def _chosen(self, state: State, clusters: set[str]) -> list[Member]:
        """A few of each cluster, whatever their score, as in a snapshot: the best ones would be another population."""
        by_cluster: dict[str, list[Member]] = {}
        for member in self._index.population(state, clusters):
            by_cluster.setdefault(member.root, []).append(member)
        return [
            member
            for members in by_cluster.values()
            for member in sorted(members, key=lambda each: sha256(each.sample_id.encode()).digest())[:MOST_OF_CLUSTER]
        ]

    def _rows(self, members: Sequence[Member]) -> list[drift.Row]:
        """Their rows from the lake, out of the files of those days only. Raises LakeUnavailable."""
        store = self._samples()
        if store is None or not members:
            return []
        wanted = {(each.sample_id, each.place): each for each in members}
        times = [datetime.fromtimestamp(each.place.received_us / 1e6, UTC) for each in members]
        # Statistics in the log may be rounded, so a second more on each side.
        chosen = (
            ds.field("day").isin(sorted({time.date() for time in times}))
            & (ds.field("received_at") >= min(times) - _SECOND)
            & (ds.field("received_at") <= max(times) + _SECOND)
            & ds.field("sample_id").isin([each.sample_id for each in members])
        )
        found: dict[str, drift.Row] = {}
        try:
            for row in store.dataset().to_table([*ROW_COLUMNS, *_PLACE], filter=chosen).to_pylist():
                entry = row["entry_topic_id"], row["entry_partition"], row["entry_offset"]
                received_us = round(row["received_at"].timestamp() * 1_000_000)
                each = wanted.get((row["sample_id"], Place(row["revision"], received_us, *entry, True)))
                if each is not None:
                    found[each.sample_id] = drift_row(row, each.root)
        except OSError as exc:
            raise LakeUnavailable(f"{SAMPLES.name}: {type(exc).__name__}") from exc
        return list(found.values())

    def _write(self, name: str, told: drift.Report, verdict: drift.Verdict, outcome: drift.Outcome) -> Path:
        """Three files in a folder of the check's own; the same check writes the same. The oldest folders go."""
        folder = self._reports / name / f"{outcome.reference[:16]}-{outcome.window[:16]}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        said = {"kind": verdict.kind, "features": verdict.features, "reason": verdict.reason, "report": told}
        contents = {
            "report.json": msgspec.json.format(msgspec.json.encode(said)),
            "report.txt": f"{verdict.kind}: {verdict.reason}\n{drift.explain(told)}\n".encode(),
            "report.png": drift.png(told),
        }
        for file, content in contents.items():
            half = folder / f".{file}-{os.getpid()}"
            half.write_bytes(content)
            half.replace(folder / file)
        kept = sorted(folder.parent.iterdir(), key=lambda each: each.stat().st_mtime_ns, reverse=True)
        for old in kept[REPORTS:]:
            shutil.rmtree(old, ignore_errors=True)
        return folder


def _standing(checked: Checked | None, rule: targets.Drift, waiting: int, reference_rows: int) -> DriftState:
    if checked is None:
        lacking = rule.rows - waiting
        missing = f"the window has {waiting} clusters, {lacking} fewer than the {rule.rows} that are needed"
        return DriftState(
            kind="not enough data",
            reason=missing if lacking > 0 else "a whole window waits for its check",
            window_rows=waiting,
            needed=rule.rows,
            reference_rows=reference_rows,
        )
    told = msgspec.json.decode(checked.told, type=_Told)
    return DriftState(
        **msgspec.structs.asdict(told), window_rows=waiting, needed=rule.rows, reference_rows=reference_rows
    )


def _not_yet(rule: targets.Drift, reason: str, reference_rows: int = 0) -> DriftState:
    return DriftState(
        kind="not enough data", reason=reason, window_rows=0, needed=rule.rows, reference_rows=reference_rows
    )


def _rule(rule: targets.Drift) -> drift.Rule:
    """With as many permutations as alpha takes, a multiple as in the default."""
    permutations = max(PERMUTATIONS, math.ceil(30 / rule.alpha) - 1)
    return drift.Rule(alpha=rule.alpha, permutations=permutations)


def _featuriser(named: str | None) -> drift.Featuriser | None:
    """The one at `module:attribute`; a class is called. None is the default one."""
    if named is None:
        return None
    module, _, attribute = named.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
        made: drift.Featuriser = found() if isinstance(found, type) else found
    except (ImportError, AttributeError, ValueError) as exc:
        raise SettingError("drift.featuriser", named, f"names no module:attribute: {exc}") from exc
    return made
