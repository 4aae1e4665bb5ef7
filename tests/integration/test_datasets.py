"""Real dialogues from the embedded stream to training sets, in a folder and on S3."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.datasets import HOLDOUT, TRAIN, VALIDATION, Exclusion
from streams import embedded
from streams.embedded import Input
from streams.exports import FORMATS
from streams.settings import Settings
from tests.servers import Servers
from tests.training_sets import KEY, lines, origins, request, samples_in, target
from trainer_trigger.datasets import at, build, data_file, erase, find, opened, verify
from trainer_trigger.datasets.errors import LeakageError

MADE = (TRAIN, VALIDATION, HOLDOUT)


@pytest.fixture
def lake(tmp_path_factory: pytest.TempPathFactory, dialogues: Path) -> Path:
    """Of dialogues each of which has a chosen and a rejected answer; made once for all tests."""
    root = tmp_path_factory.getbasetemp() / "lake-of-dialogues"
    if not root.exists():
        embedded.run([Input(dialogues, "hh", "local")], Settings(lake=str(root)), lambda what, sent, landed: None)
    return root


@pytest.mark.timeout(600)
@pytest.mark.parametrize("method", ["supervised", "dpo"])
def test_every_line_is_one_that_its_consumer_takes_and_no_cluster_of_the_holdout_is_trained_on(
    lake: Path, tmp_path: Path, method: str
) -> None:
    store = at(str(tmp_path / "sets"))
    built = build(request(lake, target(method)), store)
    manifest = built.manifest
    assert verify(store, manifest) == []
    assert manifest.counts.train > 1_500
    assert manifest.readiness.ready == all(check.ok for check in manifest.readiness.checks)
    check = FORMATS[manifest.format].check
    for name in MADE:
        made = lines(store, manifest, name)
        assert made
        assert [problem for line in made for problem in check(line)] == []
    clusters = {
        name: {sample.cluster for each in origins(store, manifest, name) for sample in each.samples} for name in MADE
    }
    assert not clusters[HOLDOUT] & (clusters[TRAIN] | clusters[VALIDATION])
    assert samples_in(store, manifest, HOLDOUT)
    again = build(request(lake, target(method)), at(str(tmp_path / "again"))).manifest
    assert again == manifest


@pytest.mark.timeout(600)
def test_a_golden_line_that_leaks_is_refused_naming_it_and_the_sample(lake: Path, tmp_path: Path) -> None:
    store = at(str(tmp_path / "sets"))
    manifest = build(request(lake), store).manifest
    line, source = lines(store, manifest, TRAIN)[7], origins(store, manifest, TRAIN)[7]
    golden = tmp_path / "golden.jsonl"
    golden.write_text(
        json.dumps({"prompt": "a question that nobody has asked in any of these"}) + "\n" + json.dumps(line)
    )
    with pytest.raises(LeakageError) as told:
        build(request(lake, target(golden=str(golden))), store)
    named = {(leak.line, sample) for leak in told.value.leaks for sample in leak.samples}
    assert (2, source.samples[0].sample_id) in named
    assert {line for line, _ in named} == {2}
    spared = build(request(lake, target(golden=str(golden), leakage="exclude")), store).manifest
    assert spared.excluded[Exclusion.GOLDEN] == told.value.lines
    assert not {sample for _, sample in named} & samples_in(store, spared, TRAIN, VALIDATION)


@pytest.mark.timeout(600)
def test_on_s3_a_set_is_built_opened_verified_and_erased(
    lake: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = servers.fresh_lake(monkeypatch)
    suite = servers.fresh_lake(monkeypatch)
    at(suite).create("golden.jsonl", b'{"prompt": "a question that nobody has asked in any of these"}\n')
    store = at(place)
    wanted = target(golden=f"{suite}/golden.jsonl")
    built = build(request(lake, wanted), store)
    assert built.place == f"{place}/chat/{built.manifest.dataset_hash[:16]}"
    assert build(request(lake, wanted), at(place)) == built
    assert verify(store, built.manifest) == []
    file = data_file(store, built.manifest, TRAIN)
    with opened(file.place) as data:
        assert sum(1 for _ in data) == file.examples
    name = sorted(samples_in(store, built.manifest, TRAIN))[0]
    assert len(erase(store, samples=[name], key=KEY, why="asked").erased) == 1
    left = find(store, "chat", built.manifest.dataset_hash)
    assert left is not None
    assert left.erased is not None
    assert verify(store, left) == []
    with pytest.raises(FileNotFoundError):
        opened(file.place)
