"""Training sets as the trigger asks for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training_sets import FakeStore, answers, commit, held_out, lines, request, target
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

    rows = datasets.snapshot("chat", second.training_set.dataset_hash)
    assert rows is not None
    assert len(rows) == 300
    erase(store, samples=["t/new0003"], key=KEY, why="asked")
    assert datasets.snapshot("chat", second.training_set.dataset_hash) is None
    assert datasets.snapshot("chat", "0" * 64) is None


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
