"""The agent's batch: produce, remember, acknowledge, in this order or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from streams import agents
from streams.brokers import Outgoing
from streams.errors import DeliveryFailed, StateUnavailable
from streams.metrics import Health
from streams.runners import Batch, RawRecord
from streams.settings import Settings
from tests.events import NOW_MS


class Died(BaseException):
    """Stands for the end of the process."""


class Stand:
    """An agent's worker with everything outside of it replaced, noting the order of what happens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, process: Callable[[Sequence[RawRecord]], Batch]) -> None:
        self.happened: list[str] = []
        self.app = SimpleNamespace(should_stop=False, consumer=SimpleNamespace(highwater=lambda _: None))
        self.worker = object.__new__(agents._AgentWorker)
        self.worker._settings = Settings()
        self.worker._agent = "curate"
        self.worker._health = Health()
        self.worker._abandoned = False
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
            stand.app.should_stop = True
            raise StateUnavailable("away")
        return _outcome(records)

    stand = Stand(monkeypatch, process)
    stand.batch(5)
    away = False
    stand.batch(6)
    assert stand.happened == []


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
