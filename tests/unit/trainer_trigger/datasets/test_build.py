"""A training set out of a lake: what is in it, what is not and why, the same bytes again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.datasets import HOLDOUT, SNAPSHOT, TRAIN, VALIDATION, Exclusion, Manifest
from schemas.events import ContentPart, Message
from schemas.reasons import Reason
from schemas.targets import Balance, Filter, Holdout
from streams.exports import FORMATS
from tests.training_sets import (
    FakeStore,
    answer,
    answers,
    bytes_of,
    commit,
    held_out,
    lines,
    origins,
    pairs,
    request,
    samples_in,
    target,
    withdraw,
)
from trainer_trigger.datasets import build, data_file, find, snapshot, verify
from trainer_trigger.datasets.errors import (
    DatasetUnavailable,
    ErasedError,
    GoldenMissingError,
    LakeMissingError,
    LeakageError,
    NotEnoughSamplesError,
    SuiteError,
)

MADE = (TRAIN, VALIDATION, HOLDOUT)


def excluded(manifest: Manifest) -> dict[str, int]:
    """What was left out, by reason, where it is something."""
    return {reason.value: count for reason, count in manifest.excluded.items() if count}


def whole(manifest: Manifest) -> bool:
    """Whether the counts add up."""
    counts = manifest.counts
    return counts.considered == counts.train + counts.validation + counts.holdout + sum(manifest.excluded.values())


def test_every_sample_is_in_one_file_or_left_out_for_one_reason(tmp_path: Path) -> None:
    picture = (Message("user", "look", parts=(ContentPart("input_audio", data="{}"),)), Message("assistant", "a cat"))
    outcomes = [
        *answers(160),
        answer("copy", duplicate_of="t/s0001", score=0.7),
        answer("low", score=0.2),
        answer("unrated", score=None),
        answer("written", score=0.0, origin="human"),
        answer("corrected", score=0.0, rejected_output="wrong"),
        answer("tuned", awaits_review=True),
        answer("elsewhere", role="helper"),
        answer("gone", user="withdrawn"),
        answer("picture", messages=picture),
    ]
    commit(tmp_path, [*outcomes, answer("rejected", rejected=Reason.POLICY)])
    withdraw(tmp_path, "withdrawn")
    store = FakeStore()
    wanted = target(filter=Filter(tenants=("t",), languages=("en", "de")))
    manifest = build(request(tmp_path, wanted), store).manifest
    assert whole(manifest)
    assert manifest.counts.considered == len(outcomes)
    assert excluded(manifest) == {
        "withdrawn": 1,
        "awaits_review": 1,
        "min_score": 2,
        "near_duplicate": 1,
        "not_in_format": 1,
    }
    good = {each.sample_id for each in outcomes} - {"t/copy", "t/low", "t/unrated", "t/tuned", "t/gone", "t/picture"}
    assert samples_in(store, manifest, *MADE) == good
    assert manifest.counts.new == manifest.counts.train + manifest.counts.validation
    assert manifest.counts.train > 120
    assert manifest.counts.validation > 0
    assert manifest.counts.holdout > 5


def test_a_target_takes_what_meets_its_filter_only(tmp_path: Path) -> None:
    commit(
        tmp_path,
        [
            *answers(130, "a", role="support", task_type="chat", intent="x", model="m1"),
            *answers(40, "b", role="sales"),
            *answers(40, "c", tenant="other", role="support", task_type="chat", intent="x", model="m1"),
            *answers(40, "d", role="support", task_type="chat", intent="y", model="m1"),
        ],
    )
    wanted = Filter(tenants=("t",), roles=("support", "boss"), task_types=("chat",), intents=("x",), models=("m1",))
    store = FakeStore()
    manifest = build(request(tmp_path, target(filter=wanted)), store).manifest
    assert {name[:3] for name in samples_in(store, manifest, *MADE, SNAPSHOT)} == {"t/a"}
    assert excluded(manifest) == {"filter": 120}


@pytest.mark.parametrize("method", ["sft", "dpo", "kto"])
def test_every_line_passes_its_formats_check_and_its_lineage_names_what_it_is_made_of(
    tmp_path: Path, method: str
) -> None:
    commit(tmp_path, pairs(160))
    wanted = {"sft": target(), "dpo": target("dpo"), "kto": target(format="kto")}[method]
    store = FakeStore()
    built = build(request(tmp_path, wanted), store)
    manifest = built.manifest
    assert whole(manifest)
    assert verify(store, manifest) == []
    form = FORMATS[manifest.format]
    for name in MADE:
        made = lines(store, manifest, name)
        sources = origins(store, manifest, name)
        assert [problem for line in made for problem in form.check(line)] == []
        assert [each.line for each in sources] == list(range(1, len(made) + 1))
        for line, each in zip(made, sources, strict=True):
            assert len(each.samples) == (2 if method == "dpo" else 1)
            number = each.samples[0].sample_id.removeprefix("t/p").partition("-")[0]
            assert f"p{int(number)} " in json.dumps(line)
            assert each.samples[0].user == f"user-{each.samples[0].sample_id.removeprefix('t/')}"
            assert each.samples[0].sources[0].event_id.endswith("-1")
    file = data_file(store, manifest, TRAIN)
    assert file.examples == manifest.counts.train
    assert file.place.endswith(f"chat/{manifest.dataset_hash[:16]}/train.jsonl")


def test_of_preference_data_no_prompt_of_the_holdout_is_trained_on(tmp_path: Path) -> None:
    commit(
        tmp_path,
        [
            *pairs(150),
            *[
                answer(
                    f"third{n}",
                    f"how is number p{n} told from all of the other numbers",
                    score=0.5,
                    output=f"third {n}",
                )
                for n in range(150)
            ],
        ],
    )
    for wanted in (target("dpo"), target(format="kto")):
        store = FakeStore()
        manifest = build(request(tmp_path, wanted), store).manifest
        prompts = {
            name: {sample.prompt_id for each in origins(store, manifest, name) for sample in each.samples}
            for name in MADE
        }
        assert len(prompts[HOLDOUT]) > 3
        assert not prompts[HOLDOUT] & (prompts[TRAIN] | prompts[VALIDATION])
        assert not prompts[TRAIN] & prompts[VALIDATION]


def test_an_output_of_a_tuned_model_is_only_ever_the_rejected_half(tmp_path: Path) -> None:
    better = [
        answer(
            f"tuned{n}",
            f"how is number p{n} told from all of the other numbers",
            awaits_review=True,
            score=0.9,
            output=f"tuned {n}",
        )
        for n in range(140)
    ]
    worse = [
        answer(
            f"weak{n}",
            f"how is number p{n} told from all of the other numbers",
            awaits_review=True,
            score=0.1,
            output=f"weak {n}",
        )
        for n in range(140)
    ]
    commit(tmp_path, [*[each for each in pairs(140) if each.sample_id.endswith("good")], *better, *worse])
    store = FakeStore()
    manifest = build(request(tmp_path, target("dpo")), store).manifest
    for each in origins(store, manifest, *MADE):
        assert each.samples[0].sample_id.endswith("good")
        assert each.samples[1].sample_id.startswith("t/weak")
    assert not [name for name in samples_in(store, manifest, SNAPSHOT) if "tuned" in name or "weak" in name]


def test_the_same_inputs_make_the_same_bytes_however_the_lake_is_laid_out(tmp_path: Path) -> None:
    outcomes = [*pairs(120), answer("copy", duplicate_of="t/p0001-good")]
    commit(tmp_path / "one", outcomes)
    for start in range(0, len(outcomes), 100):
        commit(tmp_path / "two", outcomes[::-1][start : start + 100])
    stores = FakeStore(), FakeStore()
    found = []
    for lake, store in zip(("one", "two"), stores, strict=True):
        manifest = build(request(tmp_path / lake), store).manifest
        found.append((manifest.files, manifest.counts, manifest.excluded, manifest.readiness))
        assert bytes_of(store, manifest) == bytes_of(store, build(request(tmp_path / lake), FakeStore()).manifest)
    assert found[0] == found[1]


def test_a_second_build_of_the_same_is_answered_and_writes_nothing(tmp_path: Path) -> None:
    versions = commit(tmp_path, answers(130))
    store = FakeStore()
    first = build(request(tmp_path, versions=versions), store)
    commit(tmp_path, answers(130, "later"))
    store.calls.clear()
    assert build(request(tmp_path, versions=versions), store) == first
    assert not [call for call in store.calls if call[0] not in ("names", "open")]
    assert find(store, "chat", first.manifest.dataset_hash) == first.manifest
    assert find(store, "chat", "f" * 64) is None
    assert build(request(tmp_path), store).manifest.counts.considered == 260


def test_another_key_target_or_last_set_makes_another_hash(tmp_path: Path) -> None:
    commit(tmp_path, answers(130))
    store = FakeStore()
    first = build(request(tmp_path), store).manifest
    others = [
        request(tmp_path, key="l" * 32),
        request(tmp_path, target(min_score=0.6)),
        request(tmp_path, name="other"),
    ]
    hashes = {build(other, FakeStore()).manifest.dataset_hash for other in others}
    assert len(hashes | {first.dataset_hash}) == 4
    assert first.configuration.hash == target().hash
    assert first.configuration.training_hash == target().training.hash
    assert first.table_versions == {"events": -1, "rejected": -1, "samples": 1}
    assert first.code.source_sha256


def test_new_clusters_are_all_taken_and_older_ones_fill_their_share(tmp_path: Path) -> None:
    commit(tmp_path, answers(300, "old"))
    store = FakeStore()
    first = build(request(tmp_path), store).manifest
    commit(tmp_path, [*answers(200, "new"), answer("copy", duplicate_of="t/old0003", score=0.9)])
    second = build(request(tmp_path, earlier=first), store).manifest
    assert second.older_by == "versions"
    assert second.earlier == first.dataset_hash
    new, older = second.counts.new, second.counts.older
    held = len([name for name in held_out(store, second) if "new" in name])
    assert new == 200 - held
    assert 0.14 < older / (new + older) <= 0.15
    assert not [name for name in samples_in(store, second, TRAIN, VALIDATION) if name == "t/copy"]
    assert set(excluded(second)) == {"replay", "near_duplicate"}
    assert held_out(store, first) < held_out(store, second)
    with_others = msgspec.structs.replace(second, dataset_hash="1" * 64)
    commit(tmp_path, answers(200, "third"))
    again = [
        samples_in(store, build(request(tmp_path, earlier=each), store).manifest, TRAIN)
        for each in (second, with_others)
    ]
    assert again[0] != again[1]  # not the same older ones each time


def test_no_set_is_made_of_older_samples_alone(tmp_path: Path) -> None:
    commit(tmp_path, answers(300))
    store = FakeStore()
    first = build(request(tmp_path), store).manifest
    with pytest.raises(NotEnoughSamplesError, match=r"^0 samples to train on, 100 needed; left out: \d+ replay"):
        build(request(tmp_path, earlier=first), store)


def test_where_the_last_versions_are_gone_its_lineage_tells_what_is_older(tmp_path: Path) -> None:
    commit(tmp_path, answers(200, "old"))
    store = FakeStore()
    first = build(request(tmp_path), store).manifest
    commit(tmp_path, answers(200, "new"))
    gone = msgspec.structs.replace(first, table_versions={**first.table_versions, "samples": 99})
    second = build(request(tmp_path, earlier=gone), store).manifest
    assert second.older_by == "lineage"
    assert second.counts.new == 200 - len([name for name in held_out(store, second) if "new" in name])
    store.delete(f"chat/{first.dataset_hash[:16]}/lineage.jsonl")
    third = build(request(tmp_path, earlier=gone), store).manifest
    assert (third.older_by, third.counts.older) == ("nothing", 0)


def test_task_types_are_balanced_by_their_share_and_weight(tmp_path: Path) -> None:
    commit(tmp_path, [*answers(300, "a", task_type="chat"), *answers(80, "b", task_type="code")])
    store = FakeStore()
    wanted = target(balance=Balance(max_share=0.5), holdout=Holdout(share=0.0), validation=0.0)
    manifest = build(request(tmp_path, wanted), store).manifest
    assert manifest.counts.by_task_type == {"chat": 80, "code": 80}
    assert excluded(manifest) == {"class_balance": 220}
    wanted = target(max_samples=120, holdout=Holdout(share=0.0), validation=0.0)
    manifest = build(request(tmp_path, wanted), store).manifest
    assert (manifest.counts.train, excluded(manifest)) == (120, {"max_samples": 260})


def test_below_the_minimum_there_is_no_set_and_the_reasons_are_told(tmp_path: Path) -> None:
    commit(tmp_path, [*answers(100), *answers(50, "low", score=0.1)])
    store = FakeStore()
    with pytest.raises(NotEnoughSamplesError) as told:
        build(request(tmp_path), store)
    assert told.value.need == 100
    assert told.value.have < 100
    assert told.value.excluded[Exclusion.MIN_SCORE] == 50
    assert "50 min_score" in str(told.value)
    assert "held out" in str(told.value)
    assert store.objects == {}
    wanted = target(holdout=Holdout(share=0.0), validation=0.0)
    assert build(request(tmp_path, wanted), store).manifest.counts.train == 100
    with pytest.raises(NotEnoughSamplesError):
        build(request(tmp_path, target(holdout=Holdout(share=0.0), validation=0.0, min_samples=101)), store)


def suite(path: Path, *prompts: str) -> str:
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    return str(path)


@pytest.mark.parametrize("name", ["golden", "harm"])
def test_a_leaking_suite_is_refused_naming_its_line_and_the_samples(tmp_path: Path, name: str) -> None:
    commit(tmp_path / "lake", answers(150))
    store = FakeStore()
    free = target(holdout=Holdout(share=0.0), validation=0.1)
    prompt = "What is meant by the word s0007, in all that was said before?"
    place = suite(tmp_path / "suite.jsonl", "something else altogether that nobody has asked", prompt)
    wanted = target(holdout=Holdout(share=0.0), validation=0.1, **{name: place})
    with pytest.raises(LeakageError) as told:
        build(request(tmp_path / "lake", wanted), store)
    assert [(leak.suite, leak.line, leak.samples) for leak in told.value.leaks] == [(name, 2, ("t/s0007",))]
    assert f"{name} {place} line 2 is nearly the same as t/s0007" in str(told.value)
    assert store.objects == {}

    wanted = target(holdout=Holdout(share=0.0), validation=0.1, leakage="exclude", **{name: place})
    manifest = build(request(tmp_path / "lake", wanted), store).manifest
    assert excluded(manifest) == {f"{name}_near_duplicate": 1}
    assert "t/s0007" not in samples_in(store, manifest, *MADE)
    told_of = getattr(manifest, name)
    assert (told_of.place, told_of.prompts) == (place, 2)
    assert build(request(tmp_path / "lake", free), store).manifest.golden is None


def test_a_leak_in_what_is_not_trained_on_anyway_is_none(tmp_path: Path) -> None:
    commit(tmp_path / "lake", answers(200))
    store = FakeStore()
    held = sorted(held_out(store, build(request(tmp_path / "lake"), store).manifest))
    prompts = [f"what is meant by the word {name.removeprefix('t/')} in all that was said before" for name in held]
    manifest = build(request(tmp_path / "lake", target(golden=suite(tmp_path / "g.jsonl", *prompts))), store).manifest
    assert held_out(store, manifest) == set(held)


def test_what_leaks_is_named_within_bounds(tmp_path: Path) -> None:
    prompt = "what is meant by the words that were said before all of it"
    commit(tmp_path / "lake", answers(150, prompt=prompt) + answers(120, "free"))
    with pytest.raises(LeakageError) as told:
        build(request(tmp_path / "lake", target(golden=suite(tmp_path / "g.jsonl", *[prompt] * 30))), FakeStore())
    assert len(told.value.leaks) == 1
    assert len(told.value.leaks[0].samples) == 20
    assert told.value.leaks[0].count == told.value.lines > 100
    assert len(str(told.value)) < 1_000


@pytest.mark.parametrize(("said", "missing"), [({"golden": None}, ["golden"]), ({"golden": None, "harm": None}, 2)])
def test_a_target_that_says_nothing_of_a_suite_is_blocked(tmp_path: Path, said: dict[str, Any], missing: Any) -> None:
    commit(tmp_path, answers(150))
    with pytest.raises(GoldenMissingError, match="or say `none`") as told:
        build(request(tmp_path, target(**said)), FakeStore())
    assert list(told.value.fields) == missing or len(told.value.fields) == missing


def test_a_suite_that_is_not_there_and_a_lake_that_is_not_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(LakeMissingError, match="there is no lake"):
        build(request(tmp_path / "lake"), FakeStore())
    versions = commit(tmp_path / "lake", answers(150))
    with pytest.raises(SuiteError, match="no such file"):
        build(request(tmp_path / "lake", target(golden=str(tmp_path / "no"))), FakeStore())
    with pytest.raises(LakeMissingError, match="samples cannot be read as it was at version 7"):
        build(request(tmp_path / "lake", versions={**versions, "samples": 7}), FakeStore())


def test_who_withdraws_later_is_in_no_set_of_the_older_versions_either(tmp_path: Path) -> None:
    versions = commit(tmp_path, [*answers(150), answer("copy", duplicate_of="t/s0003", score=0.6)])
    store = FakeStore()
    before = build(request(tmp_path, versions=versions), store).manifest
    assert "t/s0003" in samples_in(store, before, *MADE)
    withdraw(tmp_path, "user-s0003")
    after = build(request(tmp_path, versions=versions), store).manifest
    assert after.dataset_hash != before.dataset_hash
    assert samples_in(store, before, *MADE) - samples_in(store, after, *MADE, SNAPSHOT) == {"t/s0003"}
    assert "t/copy" in samples_in(store, after, *MADE)
    assert excluded(after) == {"withdrawn": 1}
    withdraw(tmp_path, "user-s0003", granted=True, at=901)
    assert build(request(tmp_path, versions=versions), store).manifest == before


def test_a_sample_whose_consent_was_taken_back_later_is_in_no_set_of_the_older_versions(tmp_path: Path) -> None:
    versions = commit(tmp_path, answers(150))
    store = FakeStore()
    commit(tmp_path, [answer("s0004", revision=2, at=500, rejected=Reason.CONSENT_WITHDRAWN)])
    manifest = build(request(tmp_path, versions=versions), store).manifest
    assert "t/s0004" not in samples_in(store, manifest, *MADE, SNAPSHOT)
    assert excluded(manifest) == {"withdrawn": 1}


def test_the_snapshot_has_all_that_the_filter_takes_whatever_its_score(tmp_path: Path) -> None:
    commit(tmp_path, [*answers(130), *answers(50, "low", score=0.1), answer("copy", duplicate_of="t/s0000")])
    store = FakeStore()
    manifest = build(request(tmp_path), store).manifest
    rows = snapshot(store, manifest)
    assert rows is not None
    assert len(rows) == 181
    assert {row.cluster for row in rows if row.sample_id == "t/copy"} == {"t/s0000"}
    row = next(row for row in rows if row.sample_id == "t/s0000")
    assert (row.text, row.words) == ("what is meant by the word s0000 in all that was said before", 13.0)
    assert samples_in(store, manifest, SNAPSHOT) == {row.sample_id for row in rows}


STEP = st.fixed_dictionaries(
    {
        "links": st.lists(st.tuples(st.integers(0, 119), st.integers(0, 119)), max_size=12),
        "rejected": st.sets(st.integers(0, 119), max_size=8),
        "withdrawn": st.sets(st.integers(0, 119), max_size=2),
        "scores": st.dictionaries(st.integers(0, 119), st.sampled_from([0.0, 0.6, 1.0]), max_size=12),
        "share": st.sampled_from([0.05, 0.2, 0.4]),
        "method": st.sampled_from(["supervised", "dpo"]),
    }
)


@given(st.lists(STEP, min_size=2, max_size=3))
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_that_was_ever_held_out_is_trained_on_later(
    tmp_path_factory: pytest.TempPathFactory, steps: list[dict[str, Any]]
) -> None:
    """Clusters merge and fall apart, roots are rejected or withdrawn, scores and the share change, SFT becomes DPO."""
    lake = tmp_path_factory.mktemp("lake")
    store, ever, earlier = FakeStore(), set[str](), None
    commit(lake, [*answers(120), *pairs(100), *answers(120, "base")])
    for revision, step in enumerate(steps, 2):
        changed = {
            **{number: {"score": score} for number, score in step["scores"].items()},
            **{number: {"duplicate_of": f"t/s{other:04}"} for number, other in step["links"] if number != other},
            **{number: {"rejected": Reason.POLICY} for number in step["rejected"]},
        }
        commit(
            lake, [answer(f"s{n:04}", revision=revision, at=1000 * revision + n, **how) for n, how in changed.items()]
        )
        for number in step["withdrawn"]:
            withdraw(lake, f"user-s{number:04}", at=9000 + number)
        commit(lake, answers(130, f"new{revision}-"))
        commit(lake, pairs(130, f"newp{revision}-"))
        wanted = target(step["method"], holdout=Holdout(share=step["share"]))
        try:
            earlier = build(request(lake, wanted, earlier=earlier), store).manifest
        except NotEnoughSamplesError:
            continue
        assert whole(earlier)
        trained = {sample.cluster for each in origins(store, earlier, TRAIN, VALIDATION) for sample in each.samples}
        ever |= {sample.cluster for each in origins(store, earlier, HOLDOUT) for sample in each.samples}
        ever |= held_out(store, earlier)
        assert not ever & (trained | samples_in(store, earlier, TRAIN, VALIDATION))


@pytest.mark.parametrize("at", [0, 1, 4, 6, 7])
def test_a_builder_that_dies_leaves_no_set_or_a_whole_one(tmp_path: Path, at: int) -> None:
    """Killed before its n-th write; the next one makes the same."""
    commit(tmp_path, answers(130))
    whole_store, store = FakeStore(), FakeStore()
    expected = build(request(tmp_path), whole_store).manifest
    writes = []

    def dies(verb: str, name: str) -> None:
        if verb in ("put", "create", "replace", "delete"):
            writes.append(name)
            if len(writes) > at:
                raise DatasetUnavailable("killed")

    store.before = dies
    try:
        build(request(tmp_path), store)
        assert at >= 7
    except DatasetUnavailable:
        assert find_quietly(store, expected) is None
    store.before = lambda verb, name: None
    assert build(request(tmp_path), store).manifest == expected
    assert store.objects == whole_store.objects


def find_quietly(store: FakeStore, manifest: Manifest) -> Manifest | None:
    store.before = lambda verb, name: None
    return find(store, manifest.target, manifest.dataset_hash)


def test_builders_at_once_make_one_set(tmp_path: Path) -> None:
    commit(tmp_path, answers(130))
    store, found, failed = FakeStore(), list[Manifest](), list[BaseException]()

    def builds() -> None:
        try:
            found.append(build(request(tmp_path), store).manifest)
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=builds) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len({each.dataset_hash for each in found}) == 1
    assert verify(store, found[0]) == []


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda data: data[:-2] + b"x\n", "has other bytes"),
        (lambda data: data + b"{}\n", "has other bytes"),
        (None, "is missing"),
    ],
)
def test_a_changed_byte_is_found(tmp_path: Path, harm: Callable[[bytes], bytes] | None, told: str) -> None:
    commit(tmp_path, answers(130))
    store = FakeStore()
    manifest = build(request(tmp_path), store).manifest
    assert verify(store, manifest) == []
    name = f"chat/{manifest.dataset_hash[:16]}/train.jsonl"
    if harm is None:
        store.delete(name)
    else:
        store.objects[name] = harm(store.objects[name])
    assert [problem.partition(" ")[0] for problem in verify(store, manifest)] == ["train.jsonl"]
    assert told in verify(store, manifest)[0]


def test_an_erased_set_is_not_made_again(tmp_path: Path) -> None:
    from schemas.datasets import Erased
    from trainer_trigger.datasets.published import encoded

    commit(tmp_path, answers(130))
    store = FakeStore()
    manifest = build(request(tmp_path), store).manifest
    folder = f"chat/{manifest.dataset_hash[:16]}"
    erased = msgspec.structs.replace(manifest, erased=Erased(why="asked", persons=1, samples=1, lines=1))
    store.replace(f"{folder}/manifest.json", encoded(erased))
    with pytest.raises(ErasedError, match="asked"):
        build(request(tmp_path), store)
    assert store.names(f"{folder}/") == [f"{folder}/manifest.json"]
