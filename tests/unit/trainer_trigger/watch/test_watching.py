"""That looking at what is new gives what looking at everything would."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from schemas.events import Position
from schemas.reasons import Reason
from schemas.tables import EVENTS, REJECTED, SAMPLES, Table
from streams.errors import LakeUnavailable
from streams.lake.delta import DeltaLake
from tests.events import NOW_US
from tests.fakes import FakeLake
from tests.outcomes import outcome
from tests.unit.trainer_trigger.watch.lakes import (
    Record,
    asked,
    commit,
    consent,
    erasure,
    target,
    trainable,
    watch,
)
from trainer_trigger.database import Database
from trainer_trigger.watch import Count, Production, Versions, reading, tables
from trainer_trigger.watch import watching as module
from trainer_trigger.watch.errors import MovedOnError
from trainer_trigger.watch.watching import Watch

IDS = "abcdef"


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database("sqlite://")
    yield database
    database.close()


@st.composite
def records(draw: st.DrawFn) -> list[list[Record]]:
    """Commits, in which everything comes in any order and no two records entered at the same place."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    places = iter(draw(st.permutations(range(sum(sizes)))))
    return [[draw(record(next(places))) for _ in range(size)] for size in sizes]


@st.composite
def record(draw: st.DrawFn, at: int) -> Record:
    kind = draw(st.sampled_from(["sample"] * 6 + ["rejected"] * 2 + ["consent", "erasure"]))
    if kind == "consent":
        return consent(draw(st.sampled_from("uv")), draw(st.booleans()), at)
    if kind == "erasure":
        return erasure(draw(st.sampled_from("vw")), at)
    name, revision = draw(st.sampled_from(IDS)), draw(st.integers(1, 3))
    if kind == "rejected":
        scope = draw(st.sampled_from(["interaction", "interaction", "event"]))
        return outcome(name, revision, at, rejected=Reason.FEEDBACK_RETRACTED, scope=scope)
    of = draw(st.sampled_from([None, None, *IDS]))
    return outcome(
        name,
        revision,
        at,
        duplicate_of=None if of is None else f"t/{of}",
        score=draw(st.sampled_from([None, 0.2, 0.5, 0.9])),
        confidence=draw(st.sampled_from([0.5, 0.8])),
        origin=draw(st.sampled_from(["base", "base", "human"])),
        rejected_output=draw(st.sampled_from([None, None, "worse"])),
        awaits_review=draw(st.sampled_from([False, False, True])),
        user=draw(st.sampled_from([None, "u", "v", "w"])),
        role=draw(st.sampled_from(["x", "y", None])),
    )


TARGETS = [
    target(),
    target(filter={"roles": ["x"]}),
    target(dataset={"min_score": 0.9, "format": "kto"}, launcher={"command": {"argv": ["x"]}}),
]


@settings(max_examples=50, deadline=None)
@given(
    commits=records(),
    looks=st.lists(st.booleans(), min_size=6, max_size=6),
    step_rows=st.sampled_from([1, 3, 10_000]),
    wanted=st.sampled_from(TARGETS),
    purged=st.none() | st.tuples(st.integers(0, 5), st.integers(0, 30)),
)
def test_any_split_of_any_commits_counts_what_a_full_query_counts(
    commits: list[list[Record]], looks: list[bool], step_rows: int, wanted: Any, purged: tuple[int, int] | None
) -> None:
    """Restarts in between, small steps, and rows that a purge takes from every table."""
    lake, database, folder = FakeLake(), Database("sqlite://"), Path(tempfile.gettempdir())
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "STEP_ROWS", step_rows)
            for number, some in enumerate(commits):
                commit(lake, some)
                if purged is not None and number == purged[0]:
                    _purge(lake, purged[1])
                if looks[number] or number == len(commits) - 1:
                    one = watch(database, lake, folder)
                    one.catch_up("chat", wanted)
                    assert one.count("chat", wanted).total == asked(lake, wanted)
            before = one.count("chat", wanted)
            one.catch_up("chat", wanted)
            assert one.count("chat", wanted) == before
    finally:
        database.close()


@settings(max_examples=15, deadline=None)
@given(commits=records(), wanted=st.sampled_from(TARGETS))
def test_the_watch_counts_what_the_builder_of_training_sets_finds(commits: list[list[Record]], wanted: Any) -> None:
    database = Database("sqlite://")
    try:
        with tempfile.TemporaryDirectory() as folder:
            lake = DeltaLake(f"{folder}/lake")
            for some in commits:
                commit(lake, some)
            one = watch(database, f"{folder}/lake", Path(folder))
            one.catch_up("chat", wanted)
            assert one.count("chat", wanted).total == trainable(f"{folder}/lake", wanted)
    finally:
        database.close()


def test_a_better_copy_that_another_model_gave_or_that_is_not_good_takes_no_cluster_away(
    database: Database, tmp_path: Path
) -> None:
    lake = DeltaLake(str(tmp_path / "lake"))
    copy = outcome("b", at=1, score=0.8, model="new", duplicate_of="t/a")
    commit(lake, [outcome("a", at=0, score=0.9, model="old"), copy])
    commit(lake, [outcome("c", at=2, score=0.6), outcome("d", at=3, score=0.2, duplicate_of="t/c")])
    commit(lake, [outcome("e", at=4, score=0.6), outcome("f", at=5, score=None, origin="human", duplicate_of="t/e")])
    one = watch(database, str(tmp_path / "lake"), tmp_path)
    kto = target(dataset={"min_score": 0.9, "format": "kto"}, launcher={"command": {"argv": ["x"]}})
    for name, wanted, total in [("new", target(filter={"models": ["new"]}), 1), ("all", target(), 3), ("kto", kto, 3)]:
        one.catch_up(name, wanted)
        assert one.count(name, wanted).total == total == trainable(str(tmp_path / "lake"), wanted)
    assert one.production("new", target(), 9) == Production(1, 0.8)


def _purge(lake: FakeLake, offset: int) -> None:
    for table in (EVENTS, SAMPLES, REJECTED):
        store = lake.find(table)
        if store is not None:
            store.purge(datetime.fromtimestamp(0, UTC), [Position("raw", 0, offset)])


@settings(max_examples=40, deadline=None)
@given(
    commits=records(),
    looks=st.lists(st.booleans(), min_size=6, max_size=6),
    trained=st.integers(0, 4),
)
def test_what_is_fresh_does_not_depend_on_when_it_was_looked_at(
    commits: list[list[Record]], looks: list[bool], trained: int
) -> None:
    """Seen by one that looks now and then, and by one that reads everything in the end."""
    lake, one, other = FakeLake(), Database("sqlite://"), Database("sqlite://")
    folder, wanted = Path(tempfile.gettempdir()), target()
    versions = Versions()
    try:
        for number, some in enumerate(commits):
            commit(lake, some)
            if looks[number] or number == trained:
                found = watch(one, lake, folder).catch_up("chat", wanted)
                versions = found if number == trained else versions
        watch(one, lake, folder).trained("chat", versions, "hash")
        watch(other, lake, folder).trained("chat", versions, "hash")
        counts = []
        for database in (one, other):
            late = watch(database, lake, folder)
            late.catch_up("chat", wanted)
            counts.append(late.count("chat", wanted))
        assert counts[0] == counts[1]
        assert counts[0].fresh <= counts[0].total
    finally:
        one.close()
        other.close()


def counted(database: Database, folder: Path, *commits: list[Record], wanted: Any = None) -> int:
    lake = FakeLake()
    one = watch(database, lake, folder)
    for some in commits:
        commit(lake, some)
        one.catch_up("chat", wanted or target())
    return one.count("chat", wanted or target()).total


def test_ten_thousand_near_duplicates_are_one(database: Database, tmp_path: Path) -> None:
    copies: list[Record] = [outcome(f"c{number}", at=number, duplicate_of="t/a") for number in range(1, 2_001)]
    halves = [copies[:1_000], copies[1_000:]]
    assert counted(database, tmp_path, [outcome("a", at=0)], *halves) == 1


def test_a_cluster_whose_first_comes_after_its_copies_is_one(database: Database, tmp_path: Path) -> None:
    copies: list[Record] = [outcome("b", at=1, duplicate_of="t/a"), outcome("c", at=2, duplicate_of="t/b")]
    assert counted(database, tmp_path, copies[1:], copies[:1], [outcome("a", at=3)]) == 1


def test_a_rejection_that_comes_later_or_came_before_takes_its_sample_back(database: Database, tmp_path: Path) -> None:
    away = outcome("a", 2, at=1, rejected=Reason.CONSENT_WITHDRAWN)
    assert counted(database, tmp_path, [outcome("a", at=0), outcome("b", at=5)], [away]) == 1


def test_a_person_who_withdraws_and_grants_again_takes_their_samples_along(database: Database, tmp_path: Path) -> None:
    lake, wanted = FakeLake(), target()
    one = watch(database, lake, tmp_path)
    commit(lake, [outcome("a", at=0, user="u"), outcome("b", at=1, user="v"), outcome("c", at=2, user="u", tenant="s")])
    steps: list[tuple[list[Record], int]] = [
        ([consent("u", False, 10)], 2),
        ([consent("u", True, 9)], 2),  # an earlier word, which comes late
        ([consent("u", True, 11)], 3),
        ([outcome("d", at=12, user="u"), erasure("u", 13)], 2),
        ([consent("u", True, 14)], 2),  # who was erased stays so
    ]
    for some, total in steps:
        commit(lake, some)
        one.catch_up("chat", wanted)
        assert one.count("chat", wanted).total == total == asked(lake, wanted)


def test_a_review_lets_a_sample_in(database: Database, tmp_path: Path) -> None:
    assert counted(database, tmp_path, [outcome("a", at=0, awaits_review=True)]) == 0
    reviewed = outcome("a", 2, at=1, reviewed=True)
    again = Database("sqlite://")
    assert counted(again, tmp_path, [outcome("a", at=0, awaits_review=True)], [reviewed]) == 1
    again.close()


def test_a_better_copy_that_awaits_review_does_not_stand_for_its_cluster(database: Database, tmp_path: Path) -> None:
    copy = outcome("b", at=1, score=1.0, duplicate_of="t/a", awaits_review=True)
    assert counted(database, tmp_path, [outcome("a", at=0, score=0.6)], [copy]) == 1


def test_fresh_starts_anew_with_a_training_set_and_a_cluster_is_new_once(database: Database, tmp_path: Path) -> None:
    lake, wanted = FakeLake(), target()
    one = watch(database, lake, tmp_path)
    commit(lake, [outcome("a", at=0), outcome("b", at=1), outcome("low", at=2, score=0.1)])
    versions = one.catch_up("chat", wanted)
    assert one.count("chat", wanted) == Count(2, 2)
    commit(lake, [outcome("c", at=3)])
    one.catch_up("chat", wanted)
    one.trained("chat", versions, "hash")  # the set was made before c came
    assert one.count("chat", wanted) == Count(1, 3)
    commit(lake, [outcome("a", 2, at=4), outcome("d", at=5, duplicate_of="t/b"), outcome("low", 2, at=6, score=0.9)])
    one.catch_up("chat", wanted)
    assert one.count("chat", wanted) == Count(2, 4)  # c, and what was no good before
    one.trained("chat", versions, "hash")
    assert one.count("chat", wanted) == Count(2, 4)
    one.trained("chat", Versions(9, 9, 9), "next")
    assert one.count("chat", wanted) == Count(0, 4)


def test_another_filter_score_or_format_is_read_from_the_beginning_by_itself(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trainer_trigger.watch")
    lake = FakeLake()
    commit(lake, [outcome("a", at=0, role="x"), outcome("b", at=1, role="y", score=0.6), outcome("c", at=2, score=0.1)])
    one = watch(database, lake, tmp_path)
    command = {"command": {"argv": ["x"]}}
    for wanted, total in [
        (target(), 2),
        (target(filter={"roles": ["y"]}), 1),
        (target(dataset={"min_score": 0.7}), 1),
        (target(dataset={"format": "kto"}, launcher=command), 3),
        (target(dataset={"format": "kto"}, launcher=command, cooldown_hours=3), 3),
    ]:
        one.catch_up("chat", wanted)
        assert one.count("chat", wanted).total == total
    assert len([line for line in caplog.messages if "from the beginning" in line]) == 3
    assert len({row["index_id"] for row in database.rows(select(tables.samples))}) == 1  # of the earlier nothing stays


def test_a_lake_that_is_not_there_yet_is_no_error(database: Database, tmp_path: Path) -> None:
    lake, wanted = FakeLake(), target()
    one = watch(database, lake, tmp_path)
    assert one.count("chat", wanted) == Count(0, 0)
    assert one.production("chat", wanted, 30) == Production(0, None)
    assert one.catch_up("chat", wanted) == Versions(-1, -1, -1)
    assert one.count("chat", wanted) == Count(0, 0)
    lake.create(SAMPLES)
    assert one.catch_up("chat", wanted) == Versions(0, -1, -1)
    commit(lake, [outcome("a", at=0)])
    assert one.catch_up("chat", wanted) == Versions(1, -1, -1)
    assert one.count("chat", wanted) == Count(1, 1)


def test_a_lake_that_goes_away_in_the_middle_leaves_watermarks_and_loses_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEP_ROWS", 2)
    lake, wanted = FakeLake(), target()
    commit(lake, [erasure("u", 50)])
    for number in range(6):
        commit(lake, [outcome(f"s{number}", at=number, user="u" if number == 3 else None)])
    left = [4]

    def rows(table: Table, *others: Any) -> Iterator[Any]:
        for came in reading.rows(table, *others):
            if not left[0]:
                raise LakeUnavailable("away")
            left[0] -= 1
            yield came

    monkeypatch.setattr(module, "rows", rows)
    with pytest.raises(LakeUnavailable):
        watch(database, lake, tmp_path).catch_up("chat", wanted)
    again = watch(database, lake, tmp_path)
    assert again.count("chat", wanted).total < 5
    left[0] = 100
    assert again.catch_up("chat", wanted) == Versions(6, -1, 1)
    assert left[0] == 100 - 6  # the events were done, the samples are read again
    assert again.count("chat", wanted) == Count(5, 5)


def test_of_two_processes_at_once_the_later_begins_again_from_the_other_s_step(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, wanted = FakeLake(), target()
    one, other = watch(database, lake, tmp_path), watch(database, lake, tmp_path)
    commit(lake, [outcome("a", at=0)])
    one.catch_up("chat", wanted)
    commit(lake, [outcome("b", at=1), outcome("c", at=2)])
    step = one._index.step
    moved: list[bool] = []

    def late(*args: Any, **options: Any) -> Any:
        if not moved:
            other.catch_up("chat", wanted)
        try:
            return step(*args, **options)
        except MovedOnError:
            moved.append(True)
            raise

    monkeypatch.setattr(one._index, "step", late)
    assert one.catch_up("chat", wanted) == Versions(2, -1, -1)
    assert moved
    assert one.count("chat", wanted) == other.count("chat", wanted) == Count(3, 3)


def test_a_purge_makes_it_read_again_keeps_what_is_old_and_says_so(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trainer_trigger.watch")
    lake, wanted = FakeLake(), target()
    one = watch(database, lake, tmp_path)
    commit(lake, [outcome("a", at=0), outcome("b", at=1)])
    one.trained("chat", one.catch_up("chat", wanted), "hash")
    commit(lake, [outcome("c", at=2)])
    store = lake.find(SAMPLES)
    assert store is not None
    store.purge(datetime.fromtimestamp(NOW_US / 1e6 + 1, UTC))
    one.catch_up("chat", wanted)
    assert one.count("chat", wanted) == Count(1, 2)
    assert "chat: the lake is read from the beginning, as of table samples purged" in caplog.text


@pytest.mark.parametrize("stays", ["the place", "the process too", "neither"])
def test_all_of_a_lake_that_was_made_anew_is_new(database: Database, tmp_path: Path, stays: str) -> None:
    """Though it has as many versions as the other one had, or fewer, or more."""
    wanted, root = target(), str(tmp_path / "lake")
    one = watch(database, root, tmp_path)
    for number, commits in enumerate((5, 2, 9)):
        for name, each in (("before", 5), ("after", commits)):
            if name == "after" and stays == "neither":
                root = f"{tmp_path}/{number}"
            if stays != "the process too":
                one = watch(database, root, tmp_path)
            shutil.rmtree(root, ignore_errors=True)
            lake = DeltaLake(root)
            for at in range(each):
                commit(lake, [outcome(f"{name}-{at}-{copy}", at=10 * at + copy) for copy in range(3)])
            versions = one.catch_up("chat", wanted)
            assert one.count("chat", wanted) == Count(3 * each, 3 * each) == Count(asked(lake, wanted), 3 * each)
            if name == "before":
                one.trained("chat", versions, f"hash {number}")
                assert one.count("chat", wanted) == Count(0, 3 * each)
    commit(lake, [outcome("more", at=999)])
    one.catch_up("chat", wanted)
    one.catch_up("chat", target(filter={"models": ["m"]}))
    assert one.count("chat", target(filter={"models": ["m"]})) == Count(28, 28)


def test_a_lake_that_is_not_mounted_is_waited_for(database: Database, tmp_path: Path) -> None:
    lake, wanted, away = DeltaLake(str(tmp_path / "lake")), target(), tmp_path / "away"
    one = watch(database, str(tmp_path / "lake"), tmp_path)
    commit(lake, [outcome("a", at=0), consent("u", True, 1)])
    one.trained("chat", one.catch_up("chat", wanted), "hash")
    for place in (tmp_path / "lake", tmp_path / "lake" / "events"):
        place.rename(away)
        for again in (one, watch(database, str(tmp_path / "lake"), tmp_path)):
            with pytest.raises(LakeUnavailable):
                again.catch_up("chat", wanted)
        away.rename(place)
    with pytest.raises(LakeUnavailable, match="samples, events: no such table"):
        watch(database, str(tmp_path / "nowhere"), tmp_path).catch_up("chat", wanted)
    one.catch_up("chat", wanted)
    assert one.count("chat", wanted) == Count(0, 1)


def test_a_backup_that_was_put_back_is_another_lake_and_a_slower_process_none(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, wanted, root = DeltaLake(str(tmp_path / "lake")), target(), str(tmp_path / "lake")
    one, other = watch(database, root, tmp_path), watch(database, f"{root}/", tmp_path)
    commit(lake, [outcome("a", at=0)])
    shutil.copytree(root, tmp_path / "backup")
    commit(lake, [outcome("b", at=1)])
    one.trained("chat", one.catch_up("chat", wanted), "hash")
    newest = other._newest

    def late() -> Any:
        found = newest()
        commit(lake, [outcome("c", at=2)])
        one.catch_up("chat", wanted)
        monkeypatch.setattr(other, "_newest", newest)
        return found

    monkeypatch.setattr(other, "_newest", late)
    other.catch_up("chat", wanted)
    assert other.count("chat", wanted) == Count(1, 3)
    shutil.rmtree(root)
    shutil.copytree(tmp_path / "backup", root)
    again = watch(database, root, tmp_path)
    again.catch_up("chat", wanted)
    assert again.count("chat", wanted) == Count(1, 1)


def test_the_production_score_is_the_mean_of_the_newest_scored_clusters(database: Database, tmp_path: Path) -> None:
    lake, wanted = FakeLake(), target(filter={"roles": ["x"]})
    one = watch(database, lake, tmp_path)
    scores = [1.0, 0.25, 0.75, None]
    commit(lake, [outcome(f"s{at}", at=at, score=score, role="x") for at, score in enumerate(scores)])
    commit(lake, [outcome("copy", at=9, score=0.7, role="x", duplicate_of="t/s2"), outcome("other", at=10, role="y")])
    commit(lake, [outcome("tuned", at=11, score=0.5, role="x", awaits_review=True)])
    one.catch_up("chat", wanted)
    assert one.production("chat", wanted, 2) == Production(2, (0.5 + 0.75) / 2)
    assert one.production("chat", wanted, 100) == Production(4, 0.625)
    assert one.production("chat", wanted, 100, after_ms=NOW_US // 1_000 + 10_000) == Production(1, 0.5)


def test_targets_do_not_see_each_other(database: Database, tmp_path: Path) -> None:
    lake, wanted, tenants = FakeLake(), target(), target(filter={"tenants": ["s"]})
    one: Watch = watch(database, lake, tmp_path)
    commit(lake, [outcome("a", at=0), outcome("a", at=1, tenant="s"), outcome("b", at=2, tenant="s")])
    one.catch_up("all", wanted)
    assert one.count("some", tenants) == Count(0, 0)
    one.catch_up("some", tenants)
    assert (one.count("all", wanted).total, one.count("some", tenants).total) == (3, 2)
