"""Waiting: for a dependency that is away, with growing pauses; for a condition, with a deadline."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from streams.errors import TransientError
from streams.metrics import Health

POLL_S: Final = 0.1
T = TypeVar("T")


class Backoff:
    """Pauses in seconds, each up to twice as long as the one before; jittered, so that processes do not retry at once.

    For one thread.
    """

    def __init__(self, first_s: float = 0.5, most_s: float = 10.0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._wait_s = first_s

    def next_s(self) -> float:
        """The next pause: at least half of what it may be."""
        wait_s = self._wait_s
        self._wait_s = min(self._most_s, wait_s * 2)
        return wait_s * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin again with the shortest."""
        self._wait_s = self._first_s


def await_answer(call: Callable[[], T], what: str, health: Health | None, logger: logging.Logger) -> T:
    """Call until it raises no `TransientError`; the log and `health` say what is waited for, and what is wrong."""
    backoff = Backoff()
    while True:
        try:
            return call()
        except TransientError as exc:
            problem, wait_s = f"waiting for {what}: {exc}", backoff.next_s()
        if health is not None:
            health.not_ready(problem)
        logger.warning("waiting for %s", what, extra={"fields": {"problem": problem, "wait_s": round(wait_s, 1)}})
        time.sleep(wait_s)


def holds_within(condition: Callable[[], bool], deadline_s: float, every_s: float = POLL_S) -> bool:
    """Whether a condition came to hold before a deadline; it is looked at once at least."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(every_s)
    return True
