"""Tells trackers what has ended, beside the launches.

1. Claim the report in the database, so that no other process makes it at the same time.
2. Tell the tracker, in a process of its own with a deadline. The run carries the launch key: one that is there already,
   whole or half, is found by it and completed, so that a crash after 2 doubles nothing.
3. Record that it knows; or why not, and tell it again later.
"""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from trainer_trigger.controls import Controls
from trainer_trigger.errors import DatabaseUnavailable
from trainer_trigger.ledger import Ledger
from trainer_trigger.ledger.errors import LedgerUnavailable
from trainer_trigger.tracking.run import Run, run_of
from trainer_trigger.tracking.sql import Reports

DEADLINE_S: Final = 600.0
"""Of one report: thousands of points to a slow server; longer is one that hangs. What was told by then stays told."""

FIRST_WAIT_S: Final = 60.0
LONGEST_WAIT_S: Final = 3_600.0
MAX_NOTE_CHARS: Final = 500
_CREDENTIALS: Final = re.compile(r"//[^/\s@]+@")
_LOG: Final = logging.getLogger("millrace.tracking")


class TrackerError(Exception):
    """The tracker was not told, or not to the end; the message says why."""


class Tracker(Protocol):
    """Where runs are told."""

    def tell(self, run: Run) -> str:
        """Tell it, once however often it is called; where to look at it. Raises TrackerError."""


class Child:
    """A tracker in a process of its own, which ends at the deadline whatever it does."""

    def __init__(self, name: str, deadline_s: float = DEADLINE_S) -> None:
        self._argv = [sys.executable, "-m", "trainer_trigger.tracking", name]
        self._deadline_s = deadline_s

    def tell(self, run: Run) -> str:
        """As in `Tracker`. Trackers are set by their own environment variables, which the process has from this one."""
        try:
            ended = subprocess.run(
                self._argv, input=msgspec.json.encode(run), capture_output=True, timeout=self._deadline_s, check=False
            )
        except subprocess.TimeoutExpired as exc:
            raise TrackerError(f"no end within {self._deadline_s:.0f} s") from exc
        except OSError as exc:
            raise TrackerError(f"cannot be started: {exc.strerror}") from exc
        said = ended.stdout if ended.returncode == 0 else ended.stderr
        lines = said.decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else ""
        if ended.returncode != 0:
            raise TrackerError(last or f"ended with {ended.returncode}")
        return last


class Reporter:
    """`wanted`: the trackers of each target, by name. `trackers` are those there are, in a process each by default."""

    def __init__(
        self,
        reports: Reports,
        ledger: Ledger,
        controls: Controls,
        wanted: Mapping[str, Sequence[str]],
        trackers: Mapping[str, Tracker] | None = None,
    ) -> None:
        self._reports = reports
        self._ledger = ledger
        self._controls = controls
        self._wanted = {target: tuple(names) for target, names in wanted.items() if names}
        names = {name for names in self._wanted.values() for name in names}
        self._trackers = {name: Child(name) for name in names} if trackers is None else dict(trackers)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Tell what is due, in a thread; where one is still at it, nothing. Never raises, never waits."""
        if self._wanted and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._tell_all, name="tracking", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Begin no other report, and wait for the one that is made; what is not told is told after a restart."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def tell_due(self) -> int:
        """Tell what is due; how many reports were made. Raises DatabaseUnavailable, LedgerUnavailable."""
        made = 0
        for target, names in self._wanted.items():
            for name in names:
                for key in self._reports.due(target, name):
                    if self._stopping.is_set():
                        return made
                    made += self._tell(key, name)
        return made

    def _tell(self, key: str, name: str) -> bool:
        attempt = self._reports.claim(key, name, round(2 * DEADLINE_S * 1000))  # 1
        if attempt is None:
            return False
        try:
            place = self._trackers[name].tell(run_of(self._ledger.launch(key), self._ledger, self._controls))  # 2
        except (TrackerError, msgspec.MsgspecError) as exc:
            wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(attempt - 1, 10))
            note = _CREDENTIALS.sub("//…@", str(exc))[:MAX_NOTE_CHARS]
            self._reports.failed(key, name, note, round(wait_s * 1000))  # 3
            fields = {"launch": key, "tracker": name, "attempt": attempt, "again_in_s": wait_s, "why": note}
            _LOG.warning("a tracker was not told", extra={"fields": fields})
            return False
        self._reports.done(key, name, place)  # 3
        return True

    def _tell_all(self) -> None:
        try:
            self.tell_due()
        except (DatabaseUnavailable, LedgerUnavailable) as exc:
            _LOG.warning("trackers wait for the database", exc_info=exc)
        except Exception as exc:  # nothing here may stop the trigger
            _LOG.error("trackers were not told", exc_info=exc)
