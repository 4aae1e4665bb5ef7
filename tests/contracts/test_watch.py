"""One suite for the watch's index: SQLite in memory, in a file and PostgreSQL, over Delta in a folder and on S3."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deltalake import DeltaTable

from schemas.reasons import Reason
from schemas.tables import SAMPLES
from streams.lake.delta import DeltaLake
from tests.events import NOW_US
from tests.outcomes import outcome
from tests.servers import Servers
from tests.unit.trainer_trigger.drift.made_up import rows
from tests.unit.trainer_trigger.watch.lakes import Record, asked, commit, consent, erasure, target, watch
from tests.unit.trainer_trigger.watch.test_windows import MOVED, RULE, samples, started
from trainer_trigger.database import Database
from trainer_trigger.watch import Count, Versions

WANTED = target()


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return "sqlite://"
    if request.param == "file":
        return f"sqlite:///{tmp_path}/trigger.sqlite"
    servers: Servers = request.getfixturevalue("servers")
    return servers.fresh_database()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


@pytest.fixture(params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "folder":
        return str(tmp_path / "lake")
    servers: Servers = request.getfixturevalue("servers")
    return servers.fresh_lake(monkeypatch)


COMMITS: list[list[Record]] = [
    [outcome("a", at=0, user="u"), outcome("b", at=1, duplicate_of="t/a"), outcome("c", at=2, score=0.1)],
    [outcome("d", at=3, duplicate_of="t/e"), outcome("f", at=4, awaits_review=True), outcome("g", at=5, user="v")],
    [outcome("a", 2, at=6, rejected=Reason.FEEDBACK_RETRACTED), consent("v", False, 7)],
    [outcome("e", at=8), outcome("f", 2, at=9, reviewed=True), erasure("w", 10)],
    [outcome("c", 2, at=11, score=0.8), outcome("h", at=12, user="w"), consent("v", True, 13)],
]


PLACES = pytest.mark.parametrize(
    ("url", "root"), [("memory", "s3"), ("file", "folder"), ("postgres", "folder")], indirect=True
)


@PLACES
def test_each_look_counts_what_a_full_query_counts(database: Database, root: str, tmp_path: Path) -> None:
    lake = DeltaLake(root)
    one = watch(database, root, tmp_path)
    totals = []
    for number, some in enumerate(COMMITS):
        commit(lake, some)
        if number % 2:
            one = watch(database, root, tmp_path)
        versions = one.catch_up("chat", WANTED)
        totals.append(one.count("chat", WANTED).total)
        assert totals[-1] == asked(lake, WANTED)
    assert totals == [1, 3, 2, 3, 5]
    assert versions == Versions(4, 1, 3)


def test_a_purge_and_a_compaction_neither_count_twice_nor_lose(root: str, tmp_path: Path) -> None:
    database, lake = Database("sqlite://"), DeltaLake(root)
    one = watch(database, root, tmp_path)
    commit(lake, [outcome("a", at=0), outcome("b", at=1)])
    commit(lake, [outcome("c", at=2)])
    one.trained("chat", one.catch_up("chat", WANTED), "hash")
    commit(lake, [outcome("d", at=3), outcome("e", at=4)])
    store = lake.create(SAMPLES)
    compacted = DeltaTable(f"{root}/samples", storage_options=store._options)
    compacted.optimize.compact()  # rewrites what was read together with what was not
    one.catch_up("chat", WANTED)
    assert one.count("chat", WANTED) == Count(2, 5)
    store.purge(datetime.fromtimestamp(NOW_US / 1e6 + 1, UTC))
    one.catch_up("chat", WANTED)
    assert one.count("chat", WANTED) == Count(2, 4)
    assert asked(lake, WANTED) == 4
    database.close()


@PLACES
def test_a_window_is_read_from_the_lake_and_taken_once(database: Database, root: str, tmp_path: Path) -> None:
    lake = DeltaLake(root)
    one = started(database, lake, tmp_path)
    commit(lake, samples(rows("w", 650, topics=MOVED), 1_000))
    one.catch_up("chat", WANTED)
    states = [one.drift("chat", WANTED, RULE) for _ in range(3)]
    assert [(state.kind, state.window_rows) for state in states] == [("suspected", 350), ("drift", 50), ("drift", 50)]


@pytest.mark.parametrize("url", ["file", "postgres"], indirect=True)
def test_two_processes_at_once_count_each_cluster_once(url: str, tmp_path: Path) -> None:
    lake = DeltaLake(str(tmp_path / "lake"))
    databases = [Database(url) for _ in range(4)]
    watches = [watch(each, str(tmp_path / "lake"), tmp_path) for each in databases]
    for number in range(4):
        commit(lake, [outcome(f"{number}-{each}", at=100 * number + each) for each in range(50)])
        with ThreadPoolExecutor(4) as processes:
            found = list(processes.map(lambda one: one.catch_up("chat", WANTED), watches))
        assert found == [Versions(number + 1, -1, -1)] * 4
        assert [one.count("chat", WANTED).total for one in watches] == [50 * (number + 1)] * 4
    for each in databases:
        each.close()
