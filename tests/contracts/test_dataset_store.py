"""One suite for the store of training sets: the fake, a folder and S3 give the same answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import Servers
from tests.training_sets import FakeStore
from trainer_trigger.datasets.store import Store, at, opened, read

OpenStore = Callable[[], Store]


@pytest.fixture(params=["fake", "folder", "s3"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenStore:
    """Opens the same store again and again, as different processes would."""
    if request.param == "fake":
        fake = FakeStore()
        return lambda: fake
    if request.param == "folder":
        return lambda: at(str(tmp_path / "sets"))
    servers: Servers = request.getfixturevalue("servers")
    root = servers.fresh_lake(monkeypatch)
    return lambda: at(root)


def test_nothing_is_there_at_first(open_store: OpenStore) -> None:
    store = open_store()
    assert store.names() == []
    assert read(store, "a/b") is None
    with pytest.raises(FileNotFoundError):
        store.open("a/b")
    store.delete("a/b")


def test_names_are_those_that_begin_so_in_order(open_store: OpenStore) -> None:
    for name in ("b/2/x", "b/1", "b-/3", "a/1"):
        assert open_store().create(name, b"")
    assert open_store().names() == ["a/1", "b-/3", "b/1", "b/2/x"]
    assert open_store().names("b/") == ["b/1", "b/2/x"]
    assert open_store().names("b/2") == ["b/2/x"]


def test_the_first_who_creates_wins_and_replacing_replaces(open_store: OpenStore) -> None:
    assert open_store().create("t/manifest.json", b"first")
    assert not open_store().create("t/manifest.json", b"second")
    assert read(open_store(), "t/manifest.json") == b"first"
    open_store().replace("t/manifest.json", b"third")
    assert read(open_store(), "t/manifest.json") == b"third"
    open_store().delete("t/manifest.json")
    assert read(open_store(), "t/manifest.json") is None
    assert open_store().create("t/manifest.json", b"fourth")


def test_of_many_who_create_at_once_exactly_one_wins(open_store: OpenStore) -> None:
    won: list[int] = []
    gate = threading.Barrier(6)

    def creates(number: int) -> None:
        store = open_store()
        gate.wait()
        if store.create("t/manifest.json", b"%d" % number):
            won.append(number)

    threads = [threading.Thread(target=creates, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [b"%d" % number for number in won] == [read(open_store(), "t/manifest.json")]


def test_a_file_is_put_whole_and_can_be_sought_in(open_store: OpenStore, tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(bytes(range(256)) * 40_000)
    open_store().put("t/big", file)
    file.write_bytes(b"small")
    with open_store().open("t/big") as found:
        assert found.read() == bytes(range(256)) * 40_000
        found.seek(1)
        assert found.read(2) == b"\x01\x02"
    open_store().put("t/big", file)
    assert read(open_store(), "t/big") == b"small"
    assert open_store().names() == ["t/big"]


def test_a_place_can_be_opened_by_whoever_knows_it(open_store: OpenStore) -> None:
    store = open_store()
    if isinstance(store, FakeStore):
        pytest.skip("memory has no address")
    store.create("t/hash/train.jsonl", b"{}\n")
    with opened(store.place("t/hash/train.jsonl")) as file:
        assert file.read() == b"{}\n"
    with pytest.raises(FileNotFoundError):
        opened(store.place("t/hash/other.jsonl"))
