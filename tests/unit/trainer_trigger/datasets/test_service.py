"""Training sets as the trigger asks for them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.events import Position
from schemas.tables import SAMPLES
from streams.lake.delta import DeltaLake
from tests.training_sets import FakeStore, answers, commit, held_out, lines, request, target, withdraw
from trainer_trigger.datasets import build, code, erase, find
from trainer_trigger.datasets.service import LakeDatasets
from trainer_trigger.errors import DatasetsAway, NoDatasetError
from trainer_trigger.ports import Datasets
from trainer_trigger.watch import Versions

KEY = "k" * 32


def test_the_trigger_gets_files_a_hash_and_the_code_and_the_next_set_replays_from_it(tmp_path: Path) -> None:
    commit(tmp_path, answers(150, "old"))
    store = FakeStore()
    datasets = LakeDatasets(str(tmp_path), store, KEY)
    asked: Datasets = datasets
    versions = Versions(samples=1, rejected=-1, events=-1)
    first = asked.build("chat", target(), versions, None)
    manifest = build(request(tmp_path, versions={"samples": 1, "rejected": -1, "events": -1}), store).manifest
    assert first.training_set.dataset_hash == manifest.dataset_hash
    assert first.training_set.code == manifest.code.commit or manifest.code.source_sha256 in first.training_set.code
    assert first.training_set.place == f"memory/chat/{manifest.dataset_hash[:16]}"
    assert first.train.examples == len(lines(store, manifest, "train.jsonl"))
    assert first.validation is not None
    assert asked.build("chat", target(validation=0.0), versions, None).validation is None

    commit(tmp_path, answers(150, "new"))
    after = Versions(samples=2, rejected=-1, events=-1)
    second = asked.build("chat", target(), after, first.training_set.dataset_hash)
    made = find(store, "chat", second.training_set.dataset_hash)
    assert made is not None
    assert made.earlier == first.training_set.dataset_hash
    assert made.counts.new == 150 - len([name for name in held_out(store, made) if "new" in name])

    whole = datasets.snapshot("chat", target(), second.training_set.dataset_hash)
    assert whole is not None and whole.lasting
    assert len(whole.read(lambda: []) or []) == 300
    assert datasets.snapshot("chat", target(), "0" * 64) is None


@pytest.mark.parametrize("purged", [False, True])
def test_the_snapshot_of_an_erased_set_is_made_again_without_those_who_are_gone(tmp_path: Path, purged: bool) -> None:
    """At its versions, or after a purge of what was known then."""
    commit(tmp_path, [*answers(150), *answers(3, "low", score=0.1)])
    store = FakeStore()
    datasets = LakeDatasets(str(tmp_path), store, KEY)
    hashed = datasets.build("chat", target(), Versions(samples=1), None).training_set.dataset_hash
    commit(tmp_path, answers(5, "later"))
    whole = datasets.snapshot("chat", target(), hashed)
    assert whole is not None
    before = whole.read(lambda: []) or []
    known = [row.sample_id for row in before]
    assert len(before) == 153

    withdraw(tmp_path, "user-s0003")
    if purged:
        samples = DeltaLake(str(tmp_path)).create(SAMPLES)
        samples.purge(datetime.fromtimestamp(0, UTC), [Position("raw", 0, 7)])
    erase(store, samples=["t/low0001"], key=KEY, why="asked")
    erased = datasets.snapshot("chat", target(), hashed)
    assert erased is not None
    assert (erased.lasting, erased.identity == whole.identity) == (False, False)
    made = erased.read(lambda: known)
    assert made is not None
    gone = {"t/s0003", "t/low0001", *(["t/s0007"] if purged else [])}
    assert made == [row for row in before if row.sample_id not in gone]
    withdraw(tmp_path, "user-s0004", at=901)
    assert len(erased.read(lambda: known) or []) == len(made) - 1
    if purged:
        assert [row.sample_id for row in erased.read(lambda: ["t/s0009", "t/s0003"]) or []] == ["t/s0009"]

    keyless = LakeDatasets(str(tmp_path), store, "").snapshot("chat", target(), hashed)
    assert keyless is not None
    assert keyless.read(lambda: known) is None  # who was named cannot be told


def test_what_can_never_be_and_what_is_away_are_told_apart(tmp_path: Path) -> None:
    commit(tmp_path / "lake", answers(20))
    versions = Versions(samples=1, rejected=-1, events=-1)
    with pytest.raises(NoDatasetError, match="100 needed"):
        LakeDatasets(str(tmp_path / "lake"), FakeStore(), KEY).build("chat", target(), versions, None)
    log = tmp_path / "lake" / "samples" / "_delta_log" / "00000000000000000001.json"
    log.write_text("{")
    with pytest.raises(DatasetsAway, match="the lake"):
        LakeDatasets(str(tmp_path / "lake"), FakeStore(), KEY).build("chat", target(), versions, None)


def test_the_code_is_named_by_version_commit_and_source() -> None:
    found = code.running()
    assert found == code.running()
    assert len(found.source_sha256) == 64
    assert found.commit is None or len(found.commit) == 40
