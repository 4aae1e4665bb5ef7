"""One suite for the state port: the SQLite twin and a real Redis give the same answers."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis

from streams.errors import StateUnavailable
from streams.state import LEVELS, NODE_NAMES, Claim, Document, Placed, StateStore
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
    assert (store.claim([], 60), store.load([]), store.place([], 60), store.records([])) == ([], [], [], [])


def test_claims_and_fields_expire(store: StateStore) -> None:
    store.claim([Claim(["k"], b"one")], 1)
    store.merge({"h": {"a": b"1"}}, 1)
    gone = threading.Event()
    for _ in range(100):
        if store.claim([Claim(["k"], b"two")], 60) == [[b"two"]] and store.load(["h"]) == [{}]:
            break
        gone.wait(0.1)
    else:
        pytest.fail("neither expired")
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


def document(name: str, bands: str, record: bytes = b"") -> Document:
    """Bands are letters; one letter at one place is one node."""
    ring = b"".join(f"{letter}{at:07}".encode() for at, letter in enumerate(bands))
    return Document(name.encode(), record or f"record of {name}".encode(), ring)


def shared(store: StateStore, *documents: Document) -> list[str]:
    return [b"".join(placed.shared).decode() for placed in store.place(documents, 60)]


def test_who_shares_a_band_meets_those_before_it_and_only_those(store: StateStore) -> None:
    assert shared(store, document("a", "xy"), document("b", "xz"), document("c", "qz")) == ["", "a", "b"]
    assert shared(store, document("d", "xy")) == ["aba"]
    assert shared(store, document("b", "xz"), document("a", "xy")) == ["a", ""]


def test_one_band_at_another_place_is_another_node(store: StateStore) -> None:
    assert shared(store, document("a", "xy"), document("b", "yx")) == ["", ""]


def test_a_name_that_another_had_first_is_told_with_its_record_and_placed_in_no_band(store: StateStore) -> None:
    first, again = document("a", "x", b"first"), document("a", "y", b"again")
    assert store.place([first, again], 60) == [Placed(None, []), Placed(b"first", [])]
    assert shared(store, document("b", "y")) == [""]
    assert store.records([b"a", b"unknown"]) == [b"first", None]


def test_a_crowd_is_told_apart_by_the_next_bands(store: StateStore) -> None:
    crowd = [document(str(number), f"x{number}") for number in range(NODE_NAMES)]
    assert shared(store, *crowd)[-1] == "012"
    late, alike, unlike = document("l", "xp"), document("m", "xp"), document("n", "xq")
    assert shared(store, late, unlike) == ["0123", "0123"]
    # Its path leads through the full node to the one of both bands; the second band is its own.
    assert shared(store, alike) == ["0123l" + "l"]
    assert shared(store, late) == ["0123"]


def test_a_path_that_is_full_to_its_end_takes_no_more_and_still_tells_who_is_there(store: StateStore) -> None:
    alphabet = [chr(ord("A") + number) for number in range(NODE_NAMES * LEVELS + 2)]
    answers = shared(store, *(document(name, "x" * LEVELS) for name in alphabet))
    everybody = "".join(alphabet[: NODE_NAMES * LEVELS])
    assert [set(answer) for answer in answers[-2:]] == [set(everybody)] * 2
    assert shared(store, *(document(name, "x" * LEVELS) for name in alphabet)) == answers


def made_up(count: int, seed: int) -> list[Document]:
    chance = random.Random(seed)
    bands = ["".join(chance.choices("xyz", (6, 2, 1), k=8)) for _ in range(count)]
    return [document(f"{chance.randrange(count):03}", each, each.encode()) for each in bands]


@pytest.mark.parametrize("seed", range(5))
def test_both_stores_place_alike_however_the_documents_are_cut_and_replayed(store: StateStore, seed: int) -> None:
    documents, chance = made_up(120, seed), random.Random(seed)
    twin = SqliteState(":memory:")
    whole = twin.place(documents, 60)
    twin.close()
    assert any(placed.shared for placed in whole)
    assert any(placed.record for placed in whole)
    done = 0
    while done < len(documents):
        start, end = chance.randint(0, done), chance.randint(done, done + 30)
        assert store.place(documents[start:end], 60) == whole[start:end]
        done = max(done, end)


def test_more_nodes_than_a_listpack_holds_are_found_again(store: StateStore) -> None:
    # All in one shard, which the first 12 bits of a node name.
    documents = [Document(b"%04d" % at, b"r", b"xx%06d" % at) for at in range(300)]
    assert all(not placed.shared for placed in store.place(documents, 60))
    others = [Document(b"o%03d" % at, b"r", b"xx%06d" % at) for at in range(300)]
    assert [placed.shared for placed in store.place(others, 60)] == [[one.name] for one in documents]


def test_what_was_placed_in_the_last_window_keeps_its_place_and_goes_with_the_next(store: StateStore) -> None:
    def shared_in_window(documents: Sequence[Document], window: int) -> list[list[bytes]]:
        threading.Event().wait(max(0.0, window * 2 + 0.01 - time.time()))  # expiry counts in milliseconds
        found = [placed.shared for placed in store.place(documents, 2)]
        assert time.time() < (window + 1) * 2, "too slow to be measured"
        return found

    a, b, c = document("a", "xy"), document("b", "xz"), document("c", "xy")
    window = int(time.time() // 2) + 1
    assert shared_in_window([a, document("e", "t")], window) == [[], []]
    assert shared_in_window([b, c], window + 1) == [[b"a"], [b"a", b"b", b"a"]]
    assert shared_in_window([a, b], window + 1) == [[], [b"a"]], "a replay, and no later ones"
    assert shared_in_window([document("d", "xt")], window + 2) == [[b"b", b"c"]]
    assert store.records([b"a", b"b"]) == [None, document("b", "").record]


def test_of_many_who_place_the_same_band_at_once_each_pair_meets_in_one_order(store: StateStore) -> None:
    answers: dict[str, list[bytes]] = {}

    def place(name: str) -> None:
        answers[name] = store.place([document(name, "x")], 60)[0].shared

    threads = [threading.Thread(target=place, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, answers.values())) == [0, 1, 2, 3]


def test_nothing_stays_in_redis_for_ever(servers: Servers) -> None:
    url = servers.fresh_redis()
    store = RedisState(url)
    store.claim([Claim(["k"], b"one")], 60)
    store.merge({"h": {"a": b"1"}}, 60)
    store.place(made_up(300, seed=1), 60)
    with redis.Redis.from_url(url) as client:
        assert {0 < client.ttl(key) <= 120 for key in client.scan_iter()} == {True}
    store.close()


def test_a_redis_that_is_away_is_unavailable() -> None:
    store = RedisState("redis://127.0.0.1:1/0")

    def place() -> None:
        store.place([document("a", "x")], 1)

    for call in (lambda: store.claim([Claim(["k"], b"o")], 1), lambda: store.load(["h"]), store.ping, place):
        with pytest.raises(StateUnavailable):
            call()
    store.close()


def test_a_state_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StateUnavailable):
        SqliteState(str(tmp_path / "no" / "such" / "folder" / "state.sqlite"))
