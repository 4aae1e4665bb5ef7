"""`millrace dataset`: training sets, made, shown, verified, erased."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final

import msgspec
import typer

from millrace.output import JsonOption, LakeOption, existing_lake, print_table
from schemas.datasets import Manifest, Readiness
from schemas.targets import Target
from streams.errors import SettingError
from streams.settings import load
from trainer_trigger import targets as targets_file
from trainer_trigger.datasets import Request, Store, assess, at, build, erase, erase_withdrawn, every, find, verify
from trainer_trigger.datasets.published import encoded, folder_of
from trainer_trigger.errors import DatasetsAway, NoDatasetError
from trainer_trigger.wiring import launches_by_dataset, reports_of

app = typer.Typer(
    name="dataset",
    help="Training sets: build, list, show, verify, erase; how ready they are.",
    no_args_is_help=True,
    add_completion=False,
)

DatasetsOption = Annotated[
    str, typer.Option("--datasets", help="Folder or s3://bucket/path; default: the setting.", metavar="DIR")
]
TargetsOption = Annotated[
    str, typer.Option("--targets", help="YAML file of the tuning targets; default: the setting.", metavar="FILE")
]
HashArgument = Annotated[str, typer.Argument(help="The set's hash, or the first digits of it.", metavar="HASH")]
TargetArgument = Annotated[str, typer.Argument(help="Name of a tuning target.", metavar="TARGET")]
EarlierOption = Annotated[
    str, typer.Option(help="Hash of the last training set, which this one replays from.", metavar="HASH")
]

_SHORT: Final = 16


@app.command("build")
def build_(
    name: TargetArgument,
    earlier: EarlierOption = "",
    version: Annotated[
        list[str] | None,
        typer.Option("--at", help="Version of a table, e.g. samples=12; default: now's.", metavar="TABLE=N"),
    ] = None,
    targets: TargetsOption = "",
    datasets: DatasetsOption = "",
    lake: LakeOption = "",
) -> None:
    """Make a target's training set out of the lake, or find it made; its manifest is on stdout.

    Exit 1 if there is none to be made: too few samples, a leak, no golden set said.
    """
    with _told():
        store = at(datasets or load().datasets)
        request = _request(store, name, earlier, targets, lake)
        built = build(msgspec.structs.replace(request, versions=_versions(version or [])), store)
    sys.stdout.buffer.write(encoded(built.manifest))
    typer.echo(f"{built.place}: {built.manifest.counts.train:,} lines to train on", err=True)


@app.command("list")
def list_(
    name: Annotated[str, typer.Argument(help="Only this target's.", metavar="[TARGET]")] = "",
    datasets: DatasetsOption = "",
    json: JsonOption = False,
) -> None:
    """Every training set, erased ones too."""
    with _told():
        found = list(every(at(datasets or load().datasets), name or None))
    if json:
        for manifest in found:
            typer.echo(msgspec.json.encode(manifest))
        return
    heads = ["target", "hash", "version", "train", "holdout", "state"]
    print_table(heads, [_row(manifest) for manifest in found])


@app.command()
def show(name: TargetArgument, dataset_hash: HashArgument, datasets: DatasetsOption = "") -> None:
    """A training set's manifest, as JSON. Exit 2 if there is no such set."""
    with _told():
        manifest = _found(at(datasets or load().datasets), name, dataset_hash)
    sys.stdout.buffer.write(encoded(manifest))


@app.command("verify")
def verify_(
    name: Annotated[str, typer.Argument(help="Only this target's.", metavar="[TARGET]")] = "",
    dataset_hash: Annotated[str, typer.Argument(help="Only this set.", metavar="[HASH]")] = "",
    datasets: DatasetsOption = "",
) -> None:
    """Compare every byte with the manifests. Exit 1 if one is another or missing, or an erased one is still there."""
    store = at(datasets or load().datasets)
    with _told():
        found = [_found(store, name, dataset_hash)] if dataset_hash else list(every(store, name or None))
        problems = [
            f"{store.place(folder_of(manifest))}: {problem}"
            for manifest in found
            for problem in verify(store, manifest)
        ]
    for problem in problems:
        typer.echo(problem, err=True)
    typer.echo(f"{len(found):,} training sets, {len(problems):,} problems", err=True)
    if problems:
        raise typer.Exit(1)


@app.command("erase")
def erase_(
    person: Annotated[
        list[str] | None, typer.Option(help="Keyed hash of a user within a tenant.", metavar="TENANT/USER")
    ] = None,
    sample: Annotated[list[str] | None, typer.Option(help="A sample's id.", metavar="ID")] = None,
    from_lake: Annotated[
        bool, typer.Option("--from-lake", help="Everybody who has withdrawn or was erased, as the lake says.")
    ] = False,
    why: Annotated[str, typer.Option(help="Goes into the manifests that are left.")] = "a person's demand",
    datasets: DatasetsOption = "",
    lake: LakeOption = "",
) -> None:
    """Delete every training set that holds one of these, and tell which; a manifest is left that says so.

    Persons and samples that are named here are never trained on again; with --from-lake the lake goes on deciding.
    The manifest names the models that saw the set, as MILLRACE_DATABASE_URL knows them. Drift reports go too: they hold
    excerpts.
    """
    settings = load()
    settings.require("hash_key")
    if not (person or sample or from_lake):
        raise SettingError("--person, --sample, --from-lake", "", "say who is to be erased")
    place, key, now_ms = datasets or settings.datasets, settings.hash_key, time.time_ns() // 1_000_000
    store = at(place)
    with _told():
        models = launches_by_dataset(settings)
        reports = []

        def saw(dataset_hash: str) -> Sequence[str]:
            return models.get(dataset_hash, [])

        if from_lake:
            reports.append(erase_withdrawn(store, existing_lake(lake), key=key, why=why, at_ms=now_ms, saw=saw))
        if person or sample:
            persons = [_person(each) for each in person or []]
            reports.append(erase(store, persons=persons, samples=sample or [], key=key, why=why, at_ms=now_ms, saw=saw))
        shutil.rmtree(reports_of(place), ignore_errors=True)
    erased = [manifest for report in reports for manifest in report.erased]
    for manifest in erased:
        seen_by = ", ".join(manifest.erased.models) if manifest.erased is not None else ""
        typer.echo(f"{manifest.target} {manifest.dataset_hash}{f' seen by {seen_by}' if seen_by else ''}")
    typer.echo(f"{len(erased):,} training sets were erased", err=True)


@app.command()
def readiness(
    name: TargetArgument,
    dataset_hash: Annotated[
        str, typer.Argument(help="A set's hash; none: of what would be built now.", metavar="[HASH]")
    ] = "",
    earlier: EarlierOption = "",
    targets: TargetsOption = "",
    datasets: DatasetsOption = "",
    lake: LakeOption = "",
) -> None:
    """How ready a training set is to be trained on, and what is missing. Exit 1 if something is."""
    store = at(datasets or load().datasets)
    with _told():
        if dataset_hash:
            report = _found(store, name, dataset_hash).readiness
        else:
            report = assess(_request(store, name, earlier, targets, lake), store).readiness
    _tell(report)
    if not report.ready:
        raise typer.Exit(1)


def _tell(report: Readiness) -> None:
    rows = [["yes" if check.ok else "no", check.name, check.words] for check in report.checks]
    print_table(["ready", "part", "in words"], rows)


def _row(manifest: Manifest) -> list[str]:
    state = "erased" if manifest.erased else "ready" if manifest.readiness.ready else "not ready"
    counts = (str(manifest.counts.train), str(manifest.counts.holdout))
    return [manifest.target, manifest.dataset_hash[:_SHORT], manifest.configuration.version, *counts, state]


def _request(store: Store, name: str, earlier: str, targets: str, lake: str) -> Request:
    settings = load()
    settings.require("hash_key")
    return Request(
        name=name,
        target=_target(targets or settings.targets, name),
        lake=existing_lake(lake),
        versions=None,
        key=settings.hash_key,
        earlier=_found(store, name, earlier) if earlier else None,
    )


def _target(path: str, name: str) -> Target:
    targets = targets_file.load(path)
    if name not in targets:
        raise SettingError("TARGET", name, f"is none of {', '.join(targets)}")
    return targets[name]


def _found(store: Store, name: str, dataset_hash: str) -> Manifest:
    manifest = find(store, name, dataset_hash)
    if manifest is None:
        raise SettingError("HASH", dataset_hash, f"{name} has no such training set; `millrace dataset list` names them")
    return manifest


def _versions(said: Sequence[str]) -> dict[str, int] | None:
    try:
        versions = {table: int(number) for table, number in (each.split("=") for each in said)}
    except ValueError:
        raise SettingError("--at", " ".join(said), "is TABLE=N, e.g. samples=12") from None
    if versions and versions.keys() != {"samples", "rejected", "events"}:
        raise SettingError("--at", " ".join(said), "must name samples, rejected and events; -1 is none")
    return versions or None


def _person(said: str) -> tuple[str, str]:
    tenant, _, user = said.partition("/")
    if not tenant or not user:
        raise SettingError("--person", said, "is TENANT/USER, the user as the lake's column `user` has it")
    return tenant, user


@contextmanager
def _told() -> Iterator[None]:
    """Exit 1 with the reason why there is no training set, 3 where lake or store do not answer."""
    try:
        yield
    except NoDatasetError as exc:
        typer.echo(f"millrace: {exc}", err=True)
        raise typer.Exit(1) from exc
    except DatasetsAway as exc:
        typer.echo(f"millrace: {exc}", err=True)
        raise typer.Exit(3) from exc
