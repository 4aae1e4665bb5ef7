"""The agent's batch: produce, remember, acknowledge, in this order or not at all."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from streams import agents
from streams.brokers import Outgoing
from streams.errors import DeliveryFailed, StateUnavailable
from streams.metrics import Health
from streams.runners import BRIEF_S, Batch, RawRecord
from streams.settings import Settings
from streams.watchdog import Watchdog
from tests.events import NOW_MS


class Died(BaseException):
    """Stands for the end of the process."""


class Stand:
    """An agent's worker with everything outside of it replaced, noting the order of what happens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, process: Callable[[Sequence[RawRecord]], Batch]) -> None:
        self.happened: list[str] = []
        self.given_up: list[int] = []
        self.app = SimpleNamespace(consumer=SimpleNamespace(highwater=lambda _: None, give_up=self._give_up))
        self.worker = object.__new__(agents._AgentWorker)
        self.worker._settings = Settings()
        self.worker._agent = "curate"
        self.worker._health = Health()
        self.worker._health.ready()
        self.worker._watchdog = Watchdog(self.worker._health, 100)
        self.worker._stopping = asyncio.Event()
        self.worker._diversion = None
        self.worker._abandoned = False
        self.worker._settling = None
        self.worker._in_hand = 0
        self.worker._runner = SimpleNamespace(process=process)
        self.worker._producer = SimpleNamespace(deliver=self._deliver)  # type: ignore[assignment]
        self.worker._store = SimpleNamespace(merge=lambda *_: self.happened.append("merge"))
        monkeypatch.setattr(agents, "_die", self._die)
        monkeypatch.setattr(agents, "_MAX_WAIT_S", 0.01)

    def batch(self, *offsets: int) -> None:
        asyncio.run(self.worker._batch(self.app, [self._event(offset) for offset in offsets]))  # type: ignore[arg-type]

    def _event(self, offset: int) -> Any:
        record = SimpleNamespace(topic="t", partition=0, offset=offset, timestamp=NOW_MS, value=b"value", headers=())
        return SimpleNamespace(value=[record], ack=lambda: self.happened.append(f"ack {offset}"))

    def _give_up(self, events: Sequence[Any]) -> None:
        self.given_up += [record.offset for event in events for record in event.value]

    def _deliver(self, records: Sequence[Outgoing]) -> None:
        self.happened.append("deliver")

    def _die(self, why: str) -> None:
        raise Died(why)


def _outcome(records: Sequence[RawRecord]) -> Batch:
    return Batch((Outgoing("t", b"k", b"v"),), {"key": {"field": b"value"}})


def test_output_is_durable_and_remembered_before_anything_is_acknowledged_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand = Stand(monkeypatch, _outcome)
    stand.batch(5, 6, 7)
    assert stand.happened == ["deliver", "merge", "ack 5", "ack 6", "ack 7"]


def test_what_is_brief_is_remembered_for_less_long_than_interactions(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch((), {"interaction": {"e": b""}}, {"burst": {"e": b""}})
    stand = Stand(monkeypatch, lambda _: batch)
    kept_s: dict[str, int] = {}

    def merge(changes: dict[str, dict[str, bytes]], ttl_s: int) -> None:
        kept_s.update(dict.fromkeys(changes, ttl_s))

    stand.worker._store = SimpleNamespace(merge=merge)
    stand.batch(5)
    assert kept_s == {"interaction": 90 * 86_400, "burst": BRIEF_S}
    assert stand.happened == ["deliver", "ack 5"]


def test_a_dependency_that_is_away_for_a_moment_is_waited_for_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([StateUnavailable("away"), StateUnavailable("away"), None])

    def process(records: Sequence[RawRecord]) -> Batch:
        error = next(answers)
        if error is not None:
            raise error
        return _outcome(records)

    stand = Stand(monkeypatch, process)
    stand.batch(5)
    assert stand.happened == ["deliver", "merge", "ack 5"]
    assert stand.worker._health.problem is None


def test_once_a_batch_was_left_unacknowledged_nothing_after_it_is_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    away = True

    def process(records: Sequence[RawRecord]) -> Batch:
        if away:
            stand.worker._stopping.set()
            raise StateUnavailable("away")
        return _outcome(records)

    stand = Stand(monkeypatch, process)
    stand.batch(5)
    away = False
    stand.batch(6)
    assert stand.happened == []
    assert stand.given_up == [5, 6]


@pytest.mark.parametrize("error", [DeliveryFailed("refused"), RuntimeError("a bug")])
def test_what_cannot_be_produced_ends_the_process_with_its_batch_unacknowledged(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    stand = Stand(monkeypatch, _outcome)

    def refuse(_: object) -> None:
        raise error

    stand.worker._producer = SimpleNamespace(deliver=refuse)  # type: ignore[assignment]
    with pytest.raises(Died):
        stand.batch(5)
    assert stand.happened == []


def test_a_producer_s_clock_that_is_off_is_bounded() -> None:
    assert agents._bounded(-1) > 0
    assert agents._bounded(0) == agents._bounded(1)
    assert agents._bounded(NOW_MS) == NOW_MS
    assert agents._bounded(10**18) < 10**14


def test_without_state_the_next_batch_is_processed_while_kafka_still_acknowledges_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand = Stand(monkeypatch, lambda records: Batch((), {}))
    stand.worker._store = None
    acknowledged, processed = threading.Event(), threading.Event()

    def process(records: Sequence[RawRecord]) -> Batch:
        stand.happened.append(f"process {records[0].offset}")
        if records[0].offset == 2:
            processed.set()
        return Batch((), {})

    def deliver(records: Sequence[Outgoing]) -> None:
        if not acknowledged.is_set():
            assert processed.wait(10), "the second batch waits for the first to be delivered"
            acknowledged.set()
        stand.happened.append("deliver")

    async def batches() -> None:
        for offset in (1, 2):
            await stand.worker._batch(stand.app, [stand._event(offset)])  # type: ignore[arg-type]
        await stand.worker._settled()

    stand.worker._runner = SimpleNamespace(process=process)
    stand.worker._producer = SimpleNamespace(deliver=deliver)  # type: ignore[assignment]
    asyncio.run(batches())
    assert stand.happened == ["process 1", "process 2", "deliver", "ack 1", "deliver", "ack 2"]


def test_a_batch_after_one_that_was_given_up_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def process(records: Sequence[RawRecord]) -> Batch:
        if records[0].offset == 2:
            raise StateUnavailable("away")
        return Batch((), {})

    async def batches() -> None:
        await stand.worker._batch(stand.app, [stand._event(1)])  # type: ignore[arg-type]
        stand.worker._stopping.set()
        for offset in (2, 3):
            await stand.worker._batch(stand.app, [stand._event(offset)])  # type: ignore[arg-type]

    stand = Stand(monkeypatch, process)
    stand.worker._store = None
    asyncio.run(batches())
    assert (stand.given_up, stand.happened) == ([2, 3], ["deliver", "ack 1"])


class Ended(Exception):
    """The watchdog ended the process."""


def _watched(stand: Stand) -> Watchdog:
    def end(status: int, why: str) -> None:
        raise Ended(why)

    stand.worker._watchdog = Watchdog(stand.worker._health, 10, end)
    return stand.worker._watchdog


def test_a_batch_that_waits_for_a_dependency_is_no_stall_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = itertools.count()

    def process(records: Sequence[RawRecord]) -> Batch:
        for _ in range(9):
            watchdog.look(1)
        if next(tries) < 5:
            raise StateUnavailable("away")
        return _outcome(records)

    stand = Stand(monkeypatch, process)
    watchdog = _watched(stand)
    stand.batch(5)
    assert stand.happened == ["deliver", "merge", "ack 5"]


def test_a_batch_that_does_not_end_is_one_and_after_its_end_nothing_is_expected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def process(records: Sequence[RawRecord]) -> Batch:
        for _ in range(11):
            watchdog.look(1)
        return _outcome(records)

    stand = Stand(monkeypatch, process)
    watchdog = _watched(stand)
    with pytest.raises(Died):
        stand.batch(5)
    assert stand.happened == []

    stand = Stand(monkeypatch, _outcome)
    watchdog = _watched(stand)
    stand.batch(5)
    for _ in range(100):
        watchdog.look(1)


def test_while_kafka_acknowledges_nothing_the_agent_is_not_ready_and_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(monkeypatch, _outcome)
    watchdog = _watched(stand)
    for second in range(100):
        stand.worker._waiting_for_kafka(second)
        watchdog.look(1)
    assert stand.worker._health.problem == "Kafka does not acknowledge"
    stand.batch(5)
    assert stand.worker._health.problem is None


@pytest.mark.parametrize(
    ("took_s", "behind", "waited_s"), [(0.01, 0, 0.0), (0.01, 1, 0.2), (0.05, 99, 0.45), (0.0, 99, 0.2)]
)
def test_overflow_waits_while_others_are_behind_but_keeps_a_share_of_the_time(
    monkeypatch: pytest.MonkeyPatch, took_s: float, behind: int, waited_s: float
) -> None:
    monkeypatch.setattr(agents, "OVERFLOW_WAIT_S", 0.2)
    stand, left = Stand(monkeypatch, _outcome), iter([True] * behind)
    others: Any = SimpleNamespace(are_behind=lambda: next(left, False))
    start = time.monotonic()
    asyncio.run(stand.worker._let_others_go_first(others, took_s))
    assert waited_s <= time.monotonic() - start < waited_s + 0.5


def test_overflow_that_shall_stop_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(monkeypatch, _outcome)
    stand.worker._stopping.set()
    others: Any = SimpleNamespace(are_behind=lambda: True)
    start = time.monotonic()
    asyncio.run(stand.worker._let_others_go_first(others, 100))
    assert time.monotonic() - start < 1
