"""One suite for the state port: the SQLite twin and a real Redis give the same answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.errors import StateUnavailable
from streams.state import Claim, StateStore
from streams.state.redis import RedisState
from streams.state.sqlite import SqliteState
from tests.servers import Servers


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    store: StateStore
    if request.param == "sqlite":
        store = SqliteState(str(tmp_path / "state.sqlite"))
    else:
        servers: Servers = request.getfixturevalue("servers")
        store = RedisState(servers.fresh_redis())
    yield store
    store.close()


def test_the_first_claimant_holds_a_key_and_later_ones_learn_who_does(store: StateStore) -> None:
    assert store.claim([Claim(["k", "l"], b"one")], 60) == [[b"one", b"one"]]
    assert store.claim([Claim(["k", "m"], b"two"), Claim([], b"none"), Claim(["m"], b"three")], 60) == [
        [b"one", b"two"],
        [],
        [b"two"],
    ]


def test_claims_of_one_call_are_taken_in_order(store: StateStore) -> None:
    assert store.claim([Claim(["k"], b"one"), Claim(["k"], b"two")], 60) == [[b"one"], [b"one"]]


def test_claiming_one_s_own_again_changes_nothing(store: StateStore) -> None:
    store.claim([Claim(["k"], b"one")], 60)
    assert store.claim([Claim(["k"], b"one")], 60) == [[b"one"]]


def test_holders_are_told_without_claiming(store: StateStore) -> None:
    store.claim([Claim(["k"], b"one")], 60)
    assert store.holders(["k", "unknown"]) == [b"one", None]
    assert store.claim([Claim(["unknown"], b"two")], 60) == [[b"two"]]


def test_fields_are_added_and_replaced_and_never_deleted(store: StateStore) -> None:
    store.merge({"h": {"a": b"1", "b": b"2"}}, 60)
    store.merge({"h": {"b": b"3"}, "other": {"c": b"4"}}, 60)
    assert store.load(["h", "unknown", "other"]) == [{"a": b"1", "b": b"3"}, {}, {"c": b"4"}]


def test_any_bytes_and_any_name_survive(store: StateStore) -> None:
    value = bytes(range(256))
    store.merge({"h/ü": {"näme:1": value}}, 60)
    assert store.load(["h/ü"]) == [{"näme:1": value}]
    assert store.claim([Claim(["k/ü"], value)], 60) == [[value]]


def test_nothing_asked_is_nothing_answered(store: StateStore) -> None:
    store.merge({}, 60)
    assert (store.claim([], 60), store.holders([]), store.load([])) == ([], [], [])


def test_claims_and_fields_expire(store: StateStore) -> None:
    store.claim([Claim(["k"], b"one")], 1)
    store.merge({"h": {"a": b"1"}}, 1)
    gone = threading.Event()
    for _ in range(100):
        if store.holders(["k"]) == [None] and store.load(["h"]) == [{}]:
            break
        gone.wait(0.1)
    assert store.claim([Claim(["k"], b"two")], 60) == [[b"two"]]
    store.merge({"h": {"b": b"2"}}, 60)
    assert store.load(["h"]) == [{"b": b"2"}]


def test_of_many_claimants_at_once_exactly_one_holds_the_key(store: StateStore) -> None:
    answers: list[bytes] = []

    def claim(owner: bytes) -> None:
        answers.extend(store.claim([Claim(["k"], owner)], 60)[0])

    threads = [threading.Thread(target=claim, args=(str(number).encode(),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert len(set(answers)) == 1


def test_a_redis_that_is_away_is_unavailable() -> None:
    store = RedisState("redis://127.0.0.1:1/0")
    for call in (lambda: store.claim([Claim(["k"], b"o")], 1), lambda: store.load(["h"]), store.ping):
        with pytest.raises(StateUnavailable):
            call()
    store.close()


def test_a_state_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StateUnavailable):
        SqliteState(str(tmp_path / "no" / "such" / "folder" / "state.sqlite"))
