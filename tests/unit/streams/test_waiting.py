"""Pauses grow, are jittered and bounded; a wait ends when what it waits for is there, or its deadline passes."""

from __future__ import annotations

import logging

import pytest

from streams.errors import LakeUnavailable, SettingError
from streams.metrics import Health
from streams.waiting import Backoff, await_answer, holds_within

LOGGER = logging.Logger("test")
"""Of no tree, whose levels and switches other libraries set."""


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr("streams.waiting.time.sleep", pauses.append)
    return pauses


def test_pauses_double_up_to_their_bound_and_are_at_least_half_of_what_they_may_be() -> None:
    backoff = Backoff(1.0, 5.0)
    for most in (1.0, 2.0, 4.0, 5.0, 5.0):
        assert most / 2 <= backoff.next_s() <= most
    backoff.reset()
    assert 0.5 <= backoff.next_s() <= 1.0


def test_two_processes_do_not_pause_alike() -> None:
    assert len({Backoff().next_s() for _ in range(20)}) > 1


def test_a_dependency_is_waited_for_and_the_log_and_readiness_say_what_is_wrong(
    slept: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter([LakeUnavailable("no bucket"), LakeUnavailable("no bucket"), "there"])
    health = Health()

    def ask() -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    LOGGER.addHandler(caplog.handler)
    assert await_answer(ask, "the lake", health, LOGGER) == "there"
    assert len(slept) == 2
    assert health.problem == "waiting for the lake: no bucket"
    assert [record.message for record in caplog.records] == ["waiting for the lake"] * 2


def test_what_will_not_pass_by_itself_is_not_waited_for(slept: list[float]) -> None:
    def ask() -> None:
        raise SettingError("MILLRACE_LAKE", "", "is required")

    with pytest.raises(SettingError):
        await_answer(ask, "the lake", None, LOGGER)
    assert slept == []


def test_a_condition_is_looked_at_until_it_holds_or_the_deadline_has_passed() -> None:
    looks = iter([False, False, True])
    assert holds_within(lambda: next(looks), 5, every_s=0.001)
    assert not holds_within(lambda: False, 0.02, every_s=0.001)
    assert holds_within(lambda: True, 0)
