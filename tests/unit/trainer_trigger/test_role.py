"""The role ends by a signal and by nothing else."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import cast

import pytest

from streams.metrics import Health
from streams.settings import Settings
from trainer_trigger.ledger.errors import LedgerUnavailable
from trainer_trigger.role import AWAY, FAILED, _loop
from trainer_trigger.wiring import Opened


@pytest.mark.parametrize("part", ["trigger", "reporter"])
def test_whatever_a_round_raises_the_next_one_is_made(part: str) -> None:
    stop, health = threading.Event(), Health()
    said: list[str | None] = []
    errors = [RuntimeError("boom"), LedgerUnavailable("away"), RecursionError()]

    def turn() -> None:
        said.append(health.problem)
        if errors:
            raise errors.pop(0)
        stop.set()

    nothing = SimpleNamespace(tick=lambda: None, start=lambda: None)
    busy = SimpleNamespace(tick=turn, start=turn)
    opened = {"trigger": nothing, "reporter": nothing, part: busy}
    settings = SimpleNamespace(trigger_every_s=0.0)
    _loop(cast(Opened, SimpleNamespace(**opened)), cast(Settings, settings), health, stop)
    assert said == ["starting", FAILED, AWAY, FAILED]
    assert health.problem is None
