"""Ends the process when it must not go on: it has stalled, it was told to stop and does not, or nobody supervises it.

Whoever works tells the watchdog so with `beat`. Without a beat for half of the limit the role is not ready, and says
why; at the limit the process exits, so that its supervisor starts another one. Nothing is acknowledged on the way: what
was in hand is read again. Waiting for a dependency is no stall: whoever waits beats.

The watchdog has a thread of its own, since an event loop may be what hangs, and a clock of its own, which stands still
while the process does: after SIGSTOP and SIGCONT, or a machine's sleep, everybody has the time that was left. Where
even its thread cannot run, because some C code keeps Python's lock, a timer of the interpreter ends the process.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from streams.metrics import Health

EXIT_FATAL: Final = 70
"""Exit status when the process must not go on: its batch is not acknowledged, and another run takes it up."""

EXIT_UNDRAINED: Final = 75
"""Exit status when what was in hand did not end within `drain_s`: it is not acknowledged, and read again."""

LOGGER: Final = logging.getLogger("millrace.watchdog")
_PART: Final = "watchdog"
_TICK_S: Final = 0.5
_LONGEST_TICK_S: Final = 2.0
"""A look that comes later than this after the last was not slow: the process stood still."""
_LOG_S: Final = 2.0
_STUCK: Final = 2
"""So many times the limit pass before the interpreter's own timer ends a process whose threads cannot run."""


class Watchdog:
    """Watches what `beat` named. Safe for several threads, and `stop_within` for signal handlers."""

    def __init__(self, health: Health, stall_s: float, end: Callable[[int, str], None] | None = None) -> None:
        """`end` takes an exit status and the reason; it is the process's end unless given."""
        self._health = health
        self._stall_s = stall_s
        self._end = end or die
        self._clock_s = 0.0
        self._beats: dict[str, float] = {}
        self._stop_at: float | None = None
        self._parent: int | None = None
        self._orphaned: Callable[[], None] = lambda: None

    def beat(self, what: str) -> None:
        """`what` goes on, as of now. The first beat begins the watch over it."""
        self._beats[what] = self._clock_s

    def renew(self, what: str) -> None:
        """`what` cannot go on for a reason that is no stall: a beat, if it is watched."""
        if what in self._beats:
            self.beat(what)

    def rest(self, what: str) -> None:
        """Nothing is expected of `what` until its next beat."""
        self._beats.pop(what, None)

    def stop_within(self, seconds: float) -> None:
        """End the process unless it has ended by itself within `seconds`; from here on no stall is looked for."""
        self._stop_at = self._clock_s + seconds

    def stop_without_parent(self, pid: int, stop: Callable[[], None]) -> None:
        """Call `stop`, once, when the process is no child of `pid` any more: nobody else would ever stop it."""
        self._orphaned = stop
        self._parent = pid

    def start(self) -> None:
        """Watch from now on, until the process ends."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def look(self, passed_s: float) -> None:
        """Look once, `passed_s` seconds after the last time."""
        self._clock_s += min(passed_s, _LONGEST_TICK_S)
        if self._parent is not None and os.getppid() != self._parent:
            self._parent = None
            self._orphaned()
        if self._stop_at is not None:
            self._health.ready(_PART)
            if self._clock_s >= self._stop_at:
                self._end(EXIT_UNDRAINED, "what was in hand did not end in time; it is read again by the next process")
            return
        beats = list(self._beats.items())
        what, beaten_s = min(beats, key=lambda beat: beat[1], default=("", self._clock_s))
        silent_s = self._clock_s - beaten_s
        reason = f"stalled for {silent_s:.0f} s: {what}"
        if silent_s < self._stall_s / 2:
            self._health.ready(_PART)
            return
        self._health.not_ready(reason, _PART)
        if silent_s >= self._stall_s:
            self._end(EXIT_FATAL, reason)

    def _watch(self) -> None:
        last, armed = time.monotonic(), -math.inf
        while True:
            now = time.monotonic()
            if now - armed > self._stall_s / 4:
                armed = now
                _end_unless_armed_again(_STUCK * self._stall_s)
            self.look(now - last)
            last = now
            time.sleep(_TICK_S)


def _end_unless_armed_again(seconds: float) -> None:
    with contextlib.suppress(RuntimeError, ValueError, OSError):  # without a stderr there is no such timer
        faulthandler.dump_traceback_later(seconds, exit=True)


def on_signals(stop: Callable[[], None], watchdog: Watchdog, drain_s: float) -> None:
    """SIGTERM or SIGINT: the first calls `stop` and gives the process `drain_s` to end, the second ends it at once."""
    told = False

    def handle(signum: int, _frame: object) -> None:
        nonlocal told
        if told:
            os._exit(128 + signum)
        told = True
        watchdog.stop_within(drain_s)
        stop()

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, handle)


def die(status: int, why: str, cause: BaseException | bool | None = None) -> None:
    """End the process now, whatever its threads do, with the reason in the log."""
    # In a thread: who hangs may hold the log's lock, or nobody reads what we write.
    logged = threading.Thread(target=_log_end, args=(why, cause), daemon=True)
    logged.start()
    logged.join(_LOG_S)
    os._exit(status)


def _log_end(why: str, cause: BaseException | bool | None) -> None:
    LOGGER.critical(why, exc_info=cause)
    logging.shutdown()
