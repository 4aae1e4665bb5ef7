"""Whoever is erased is in no training set, and in none that is made later."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.datasets import FILES, HOLDOUT, SNAPSHOT, TRAIN, VALIDATION, Manifest
from tests.training_sets import (
    KEY,
    FakeStore,
    answers,
    commit,
    held_out,
    pairs,
    request,
    samples_in,
    target,
    withdraw,
)
from trainer_trigger.datasets import Store, build, erase, erase_withdrawn, every, find, snapshot, verify
from trainer_trigger.datasets.errors import DatasetUnavailable

MADE = (TRAIN, VALIDATION, HOLDOUT, SNAPSHOT)


def erased(store: Store, manifest: Manifest) -> Manifest:
    found = find(store, manifest.target, manifest.dataset_hash)
    assert found is not None
    assert found.erased is not None
    return found


def files(store: FakeStore, manifest: Manifest) -> list[str]:
    folder = f"{manifest.target}/{manifest.dataset_hash[:16]}/"
    return sorted(name.removeprefix(folder) for name in store.objects if name.startswith(folder))


def test_each_set_that_holds_a_person_goes_and_leaves_a_manifest_that_says_why(tmp_path: Path) -> None:
    commit(tmp_path / "one", answers(130))
    commit(tmp_path / "two", answers(130, "other"))
    store = FakeStore()
    hit = build(request(tmp_path / "one"), store).manifest
    pair = build(request(tmp_path / "one", name="again"), store).manifest
    spared = build(request(tmp_path / "two"), store).manifest
    report = erase(
        store,
        persons=[("t", "user-s0005"), ("other", "user-s0006")],
        samples=["t/s0009"],
        key=KEY,
        why="asked on Monday",
        at_ms=7,
        saw=lambda dataset_hash: ["launch-1"] if dataset_hash == hit.dataset_hash else [],
    )
    assert {each.dataset_hash for each in report.erased} == {hit.dataset_hash, pair.dataset_hash}
    assert report.looked_at == 3
    left = erased(store, hit).erased
    assert left is not None
    assert (left.why, left.at, left.persons, left.samples, left.models) == ("asked on Monday", 7, 1, 2, ("launch-1",))
    assert left.lines == 4  # each in a file of examples and in the snapshot
    for each in (hit, pair):
        assert files(store, each) == ["manifest.json"]
        assert verify(store, erased(store, each)) == []
        assert snapshot(store, each) is None
    assert files(store, spared) == sorted([*FILES, "manifest.json"])
    assert verify(store, spared) == []
    assert not [name for name, data in store.objects.items() if b"s0005" in data or b"s0009" in data]


def test_no_later_set_has_them_and_what_was_held_out_stays_so(tmp_path: Path) -> None:
    versions = commit(tmp_path, answers(300))
    store = FakeStore()
    before = build(request(tmp_path, versions=versions), store).manifest
    held = held_out(store, before)
    gone = {sorted(held)[0], sorted(samples_in(store, before, TRAIN))[0]}
    erase(store, samples=gone, key=KEY, why="asked")
    after = build(request(tmp_path, versions=versions), store).manifest
    assert not gone & samples_in(store, after, *MADE)
    assert held_out(store, after) == held - gone
    assert erased(store, before)
    assert build(request(tmp_path, versions=versions), store).manifest == after


def test_the_other_half_of_a_pair_is_enough(tmp_path: Path) -> None:
    commit(tmp_path, pairs(150))
    store = FakeStore()
    manifest = build(request(tmp_path, target("dpo")), store).manifest
    name = next(name for name in sorted(samples_in(store, manifest, TRAIN)) if name.endswith("bad"))
    assert erase(store, persons=[("t", f"user-{name.removeprefix('t/')}")], key=KEY, why="asked").erased
    after = build(request(tmp_path, target("dpo")), store).manifest
    assert name not in samples_in(store, after, *MADE)


def test_what_the_lake_says_is_enough_and_who_agrees_again_comes_back(tmp_path: Path) -> None:
    commit(tmp_path, answers(130))
    store = FakeStore()
    manifest = build(request(tmp_path), store).manifest
    assert not erase_withdrawn(store, str(tmp_path), key=KEY, why="withdrawn").erased
    withdraw(tmp_path, "user-s0005")
    withdraw(tmp_path, "user-s0006", erase=True)
    assert len(erase_withdrawn(store, str(tmp_path), key=KEY, why="withdrawn").erased) == 1
    assert not erase_withdrawn(store, str(tmp_path), key=KEY, why="withdrawn").erased
    assert erased(store, manifest)
    withdraw(tmp_path, "user-s0005", granted=True, at=950)
    again = build(request(tmp_path), store).manifest
    assert {"t/s0005"} == {"t/s0005", "t/s0006"} & samples_in(store, again, *MADE)


@pytest.mark.parametrize("at", [0, 1, 2, 4, 7])
def test_an_erasure_that_is_cut_off_never_leaves_a_set_that_looks_whole_and_goes_on(tmp_path: Path, at: int) -> None:
    commit(tmp_path, answers(130))
    store = FakeStore()
    manifest = build(request(tmp_path), store).manifest
    writes = []

    def dies(verb: str, name: str) -> None:
        if verb in ("put", "create", "replace", "delete"):
            writes.append(name)
            if len(writes) > at:
                raise DatasetUnavailable("killed")

    store.before = dies
    if at < 7:
        with pytest.raises(DatasetUnavailable):
            erase(store, samples=["t/s0003"], key=KEY, why="asked")
    store.before = lambda verb, name: None
    found = find(store, "chat", manifest.dataset_hash)
    assert found is not None
    assert found.erased is not None or files(store, manifest) == sorted([*FILES, "manifest.json"])
    erase(store, samples=["t/s0003"], key=KEY, why="asked")
    assert files(store, manifest) == ["manifest.json"]
    assert erased(store, manifest)


def test_who_is_erased_while_a_set_is_built_is_not_in_it(tmp_path: Path) -> None:
    """The builder has read the lake already; the erasure comes before it has published, and finds nothing."""
    commit(tmp_path, answers(130))
    store = FakeStore()

    def erases(verb: str, name: str) -> None:
        if verb == "put":
            store.before = lambda verb, name: None
            assert not erase(store, persons=[("t", "user-s0005")], key=KEY, why="asked").erased
            withdraw(tmp_path, "user-s0008")

    store.before = erases
    manifest = build(request(tmp_path), store).manifest
    assert {"t/s0005", "t/s0008"}.isdisjoint(samples_in(store, manifest, *MADE))
    assert [each.erased is None for each in every(store)].count(True) == 1
    assert sum(name.endswith("train.jsonl") for name in store.objects) == 1


def test_what_another_one_built_and_was_erased_meanwhile_does_not_come_back(tmp_path: Path) -> None:
    """Both build the same; the other one's is erased just before the manifest is created."""
    commit(tmp_path, answers(130))
    store, others = FakeStore(), list[Manifest]()

    def meanwhile(verb: str, name: str) -> None:
        if verb == "create" and name.endswith("manifest.json"):
            store.before = lambda verb, name: None
            others.append(build(request(tmp_path), store).manifest)
            assert erase(store, persons=[("t", "user-s0005")], key=KEY, why="asked").erased

    store.before = meanwhile
    manifest = build(request(tmp_path), store).manifest
    assert "t/s0005" not in samples_in(store, manifest, *MADE)
    assert erased(store, others[0])
    assert files(store, others[0]) == ["manifest.json"]


def test_a_set_without_its_lineage_goes_with_any_erasure(tmp_path: Path) -> None:
    commit(tmp_path, answers(130))
    store = FakeStore()
    manifest = build(request(tmp_path), store).manifest
    store.delete(f"chat/{manifest.dataset_hash[:16]}/lineage.jsonl")
    assert erase(store, samples=["t/nobody"], key=KEY, why="asked").erased
    assert files(store, manifest) == ["manifest.json"]
