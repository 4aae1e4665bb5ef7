"""Making a training set out of the lake.

The same versions of the tables, target, key, last set, and people who have withdrawn make the same bytes and the same
hash. DuckDB holds ids and sorts on disk; lines go through one at a time and wait in a local folder until it is decided
which of them are taken.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

from schemas.datasets import (
    FILES,
    FORMAT_OF,
    HOLDOUT,
    LINEAGE,
    SNAPSHOT,
    TRAIN,
    VALIDATION,
    Configuration,
    Counts,
    Exclusion,
    File,
    Manifest,
    Origins,
    Suite,
)
from schemas.targets import NONE, DatasetPlan, Target
from streams.exports.rows import exported
from trainer_trigger.datasets import balance, code, keyed, leakage, memory, readiness, suites
from trainer_trigger.datasets.erase import forget, hashes_of
from trainer_trigger.datasets.errors import (
    MOST_NAMED,
    ErasedError,
    GoldenMissingError,
    LakeMissingError,
    Leak,
    LeakageError,
    NotEnoughSamplesError,
)
from trainer_trigger.datasets.population import Gone, Population, gone, newest
from trainer_trigger.datasets.published import Built, folder_of, publish
from trainer_trigger.datasets.spool import Spool, Writer, origin, origins_line
from trainer_trigger.datasets.store import Store, opened
from trainer_trigger.watch.windows import drift_row

Versions = Mapping[str, int]
OlderBy = Literal["none", "versions", "lineage", "nothing"]

_IN: Final = 0
_REASONS: Final = tuple(Exclusion)
_CODES: Final = {reason: 1 + place for place, reason in enumerate(_REASONS)}
"""A candidate's verdict is _IN or the code of its reason."""


class Request(Struct, frozen=True, kw_only=True):
    """What is built. `versions` by table (`samples`, `rejected`, `events`; -1: none), None for now's. `key` is the
    setting `hash_key`. `earlier` is the manifest of the last training set."""

    name: str
    target: Target
    lake: str
    versions: Versions | None
    key: str
    earlier: Manifest | None = None


class Suites(NamedTuple):
    """The golden set and the harm suite, where there are any."""

    said: Mapping[str, Suite]
    indexes: Mapping[str, leakage.Index]


class Decided(NamedTuple):
    """What becomes of each candidate; arrays of shape (candidates,)."""

    verdict: NDArray[np.uint8]
    """_IN or a reason's code."""
    file: NDArray[np.object_]
    """Name of the file of those that are in."""
    older: NDArray[np.bool_]
    task: NDArray[np.int32]
    """Place in `tasks`."""
    tasks: tuple[str, ...]


def build(request: Request, store: Store) -> Built:
    """Build a training set, or find it built.

    1 the suites that must not leak → 2 who has withdrawn by now → 3 what the lake has → 4 which is older, which is held
    out → 5 lines → 6 which are taken → 7 files and manifest → 8 publish. Whoever was erased meanwhile is erased from it
    and it is built once more.

    Raises DatasetError, DatasetUnavailable.
    """
    found = _suites(request)  # 1
    secret = keyed.subkey(request.key)
    if request.versions is None:
        request = msgspec.structs.replace(request, versions=newest(request.lake))
    while True:
        seen, erased, left = newest(request.lake), memory.erased(store), gone(request.lake)  # 2
        with tempfile.TemporaryDirectory(prefix="millrace-dataset-") as folder:
            manifest, held = _made(request, store, found, left, erased, Path(folder))
            _require(manifest, request.target.min_samples)
            try:
                built = publish(store, manifest, Path(folder), held)  # 8
            except ErasedError:
                if memory.erased(store) == erased and newest(request.lake) == seen:
                    raise
                continue  # another one built the same, and it was erased meanwhile
        since = memory.erased(store) - erased
        if newest(request.lake) != seen:
            since |= hashes_of(gone(request.lake), secret) - hashes_of(left, secret)
        if not forget(store, since, secret, why="withdrawn or erased while it was built", only=manifest).erased:
            return built


def assess(request: Request, store: Store) -> Manifest:
    """The manifest of the set that would be built, which is not kept: also of too few samples. Raises as `build`."""
    if request.versions is None:
        request = msgspec.structs.replace(request, versions=newest(request.lake))
    with tempfile.TemporaryDirectory(prefix="millrace-dataset-") as folder:
        left, erased = gone(request.lake), memory.erased(store)
        return _made(request, store, _suites(request), left, erased, Path(folder))[0]


def _require(manifest: Manifest, need: int) -> None:
    counts = manifest.counts
    if counts.train < need:
        raise NotEnoughSamplesError(counts.train, need, manifest.excluded, counts.holdout, counts.validation)


def _suites(request: Request) -> Suites:
    plan = request.target.dataset
    said = {"golden": plan.golden, "harm": plan.harm}
    if unsaid := [name for name, place in said.items() if place is None]:
        raise GoldenMissingError(request.name, unsaid)
    loaded = {name: suites.load(place, opened) for name, place in said.items() if place not in (None, NONE)}
    return Suites(
        {name: each.suite for name, each in loaded.items()},
        {name: leakage.Index(each.prompts) for name, each in loaded.items()},
    )


def _made(
    request: Request, store: Store, found: Suites, left: Gone, erased: frozenset[str], folder: Path
) -> tuple[Manifest, list[str]]:
    """The manifest of the files that now lie in `folder`, and the hashes of what they hold out."""
    target, form = request.target, FORMAT_OF[request.target.format]
    of_pairs, by_prompt = target.format == "dpo", target.format != "sft"
    secret = keyed.subkey(request.key)
    older, older_by = _older(request, store, left, erased)
    population = Population(request.lake, request.versions or {}, secret, left, erased)
    try:
        # 3
        population.select(target)
        excluded = population.candidates(of_pairs=of_pairs)
        # 4
        population.divide(target, by_prompt=by_prompt, older=older, remembered=memory.held(store, request.name))
        salt = request.earlier.dataset_hash if request.earlier else "first"
        lines = population.lines(salt)
        # 5
        spool = Spool(folder, lines.num_rows)
        spool.fill(population.rows(of_pairs=of_pairs), form, found.indexes)
        # 6
        decided = _decided(lines, spool, target.dataset)
        _refuse_leaks(decided, spool, found, target.dataset)
        # 7
        files, held_samples = _written(decided, spool, population, folder)
        held = population.held_hashes(held_samples, by_prompt=by_prompt)
    finally:
        population.close()
    verdicts = np.bincount(decided.verdict, minlength=1 + len(_REASONS))
    for reason, place in _CODES.items():
        excluded[reason] = excluded.get(reason, 0) + int(verdicts[place])
    excluded = {reason: excluded[reason] for reason in _REASONS}
    counts = _counts(decided, files, excluded)
    manifest = Manifest(
        target=request.name,
        format=form,
        dataset_hash="0" * 64,
        configuration=Configuration(target.version, target.hash, target.training.hash),
        table_versions=dict(sorted((request.versions or {}).items())),
        earlier=request.earlier.dataset_hash if request.earlier else None,
        older_by=older_by,
        golden=found.said.get("golden"),
        harm=found.said.get("harm"),
        counts=counts,
        excluded=excluded,
        files=tuple(files[name] for name in FILES),
        readiness=readiness.report(counts, excluded, target.min_samples, _measured(decided, lines, spool)),
        code=code.running(),
    )
    return msgspec.structs.replace(manifest, dataset_hash=_hash(manifest)), held


def _older(request: Request, store: Store, left: Gone, erased: frozenset[str]) -> tuple[pa.Table, OlderBy]:
    """The samples that could have been in the last training set."""
    none = pa.table({"sample_id": pa.array([], pa.string())})
    if request.earlier is None:
        return none, "none"
    try:
        secret = keyed.subkey(request.key)
        population = Population(request.lake, request.earlier.table_versions, secret, left, erased)
        try:
            population.select(request.target)
            population.candidates(of_pairs=request.target.format == "dpo")
            return population.ids(), "versions"
        finally:
            population.close()
    except LakeMissingError:
        pass  # a purge took these versions: what was in the last set is known from its lineage
    name = f"{folder_of(request.earlier)}/{LINEAGE}"
    try:
        with store.open(name) as file:
            ids = {
                sample.sample_id
                for line in file
                for each in (msgspec.json.decode(line, type=Origins),)
                if each.file != SNAPSHOT
                for sample in each.samples
            }
    except FileNotFoundError:
        return none, "nothing"
    return pa.table({"sample_id": pa.array(sorted(ids), pa.string())}), "lineage"


def _decided(lines: pa.Table, spool: Spool, plan: DatasetPlan) -> Decided:
    held, older = (lines.column(name).to_numpy().astype(np.bool_) for name in ("held", "older"))
    task_types = lines.column("task_type").combine_chunks().dictionary_encode()
    task, tasks = task_types.indices.to_numpy(), tuple(task_types.dictionary.to_pylist())
    verdict = np.zeros(lines.num_rows, np.uint8)
    verdict[~spool.fits] = _CODES[Exclusion.NOT_IN_FORMAT]
    if plan.leakage == "exclude":
        for name, reason in (("golden", Exclusion.GOLDEN), ("harm", Exclusion.HARM)):
            verdict[(verdict == _IN) & ~held & (spool.leaks[name] != leakage.NOTHING)] = _CODES[reason]
    free = np.flatnonzero((verdict == _IN) & ~held)
    wanted = balance.shares(tasks, plan.balance, plan.replay, plan.max_samples)
    choice = lines.column("choice").to_numpy()
    chosen = balance.choose(balance.Lines(choice[free], older[free], task[free]), wanted)
    for place, reason in enumerate(balance.REASONS, 1):
        verdict[free[chosen == place]] = _CODES[reason]
    file = np.full(lines.num_rows, TRAIN, np.object_)
    file[lines.column("point").to_numpy() < plan.validation] = VALIDATION
    file[held] = HOLDOUT
    return Decided(verdict, file, older, task, tasks)


def _refuse_leaks(decided: Decided, spool: Spool, found: Suites, plan: DatasetPlan) -> None:
    if plan.leakage != "refuse":
        return
    trained = (decided.verdict == _IN) & (decided.file != HOLDOUT)
    leaking = {name: np.flatnonzero(trained & (spool.leaks[name] != leakage.NOTHING)) for name in found.said}
    if not any(map(len, leaking.values())):
        return
    by_line = {
        (name, line): places[spool.leaks[name][places] == line].tolist()
        for name, places in leaking.items()
        for line in np.unique(spool.leaks[name][places]).tolist()[:MOST_NAMED]
    }
    shown = dict(list(by_line.items())[:MOST_NAMED])
    names = spool.names(frozenset(place for places in shown.values() for place in places[:MOST_NAMED]))
    leaks = [
        Leak(name, found.said[name].place, line, tuple(names[place] for place in places[:MOST_NAMED]), len(places))
        for (name, line), places in shown.items()
    ]
    raise LeakageError(leaks, len(np.unique(np.concatenate(list(leaking.values())))))


def _written(decided: Decided, spool: Spool, population: Population, folder: Path) -> tuple[dict[str, File], pa.Table]:
    """The files, and the samples that are held out."""
    writers = {name: Writer(folder, name) for name in FILES}
    held: list[str] = []
    for place, line, sources in spool.read():
        if decided.verdict[place] != _IN:
            continue
        name = decided.file[place]
        number = writers[name].write(line)
        writers[LINEAGE].write(origins_line(name, number, sources))
        if name == HOLDOUT:
            held.append(msgspec.json.decode(sources)[0]["sample_id"])
    for row in population.snapshot():
        one = exported(row)
        number = writers[SNAPSHOT].write(msgspec.json.encode(drift_row(row, one.cluster_id)) + b"\n")
        writers[LINEAGE].write(origins_line(SNAPSHOT, number, (origin(one),)))
    return (
        {name: writer.close() for name, writer in writers.items()},
        pa.table({"sample_id": pa.array(held, pa.string())}),
    )


def _counts(decided: Decided, files: Mapping[str, File], excluded: Mapping[Exclusion, int]) -> Counts:
    lines = {name: files[name].lines for name in (TRAIN, VALIDATION, HOLDOUT)}
    trained = (decided.verdict == _IN) & (decided.file != HOLDOUT)
    counts = np.bincount(decided.task[trained], minlength=len(decided.tasks)).tolist()
    return Counts(
        considered=sum(lines.values()) + sum(excluded.values()),
        train=lines[TRAIN],
        validation=lines[VALIDATION],
        holdout=lines[HOLDOUT],
        new=int(np.count_nonzero(trained & ~decided.older)),
        older=int(np.count_nonzero(trained & decided.older)),
        by_task_type={name: count for name, count in sorted(zip(decided.tasks, counts, strict=True)) if count},
    )


def _measured(decided: Decided, lines: pa.Table, spool: Spool) -> readiness.Measured:
    taken = decided.verdict == _IN
    trained, held = taken & (decided.file != HOLDOUT), taken & (decided.file == HOLDOUT)
    prompts = lines.column("prompt").to_numpy()
    scores = lines.column("score").to_numpy(zero_copy_only=False).astype(np.float64)
    return readiness.Measured(
        chars=spool.chars[trained],
        scores=scores[trained],
        duplicates=int(lines.column("duplicates").to_numpy()[trained].sum()),
        shared_prompts=int(np.isin(prompts[held], prompts[trained]).sum()),
    )


def _hash(manifest: Manifest) -> str:
    """Of the files and of what they were made from; who built them does not matter."""
    determines = (
        manifest.format_version,
        manifest.target,
        manifest.format,
        manifest.configuration,
        manifest.table_versions,
        manifest.earlier,
        manifest.golden and manifest.golden.sha256,
        manifest.harm and manifest.harm.sha256,
        manifest.files,
    )
    return hashlib.sha256(msgspec.json.encode(determines, order="sorted")).hexdigest()
