"""The training process of a job: started by us, or found running after a restart of the service."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from trainer_trigger.trainer.job import LOCK

PID: Final = "pid"
OUTPUT: Final = "process.log"
OOM_SCORE: Final = 500
"""Linux, out of memory, kills the training process before the service, which starts it again."""

_OURS: Final = ("MILLRACE_TRAINER_KEY", "MILLRACE_TRAINER_KEY_FILE")
"""What the process has no use for."""


class Process:
    """Works on a job's folder until it `ended`. The lock of the folder tells of a process that is not our child."""

    def __init__(self, folder: Path, child: subprocess.Popen[bytes] | None) -> None:
        self._folder = folder
        self._child = child

    @classmethod
    def started(cls, command: Sequence[str], folder: Path) -> Process:
        """Start the command on the folder, in a session of its own. Raises OSError."""
        environment = {name: value for name, value in os.environ.items() if name not in _OURS}
        with (folder / OUTPUT).open("ab") as output:
            child = subprocess.Popen(
                [*command, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=environment,
            )
        with suppress(OSError):
            (folder / PID).write_text(str(child.pid))
            Path(f"/proc/{child.pid}/oom_score_adj").write_text(str(OOM_SCORE))
        return cls(folder, child)

    @classmethod
    def found(cls, folder: Path) -> Process:
        """Whatever process works on the folder, if one does."""
        return cls(folder, None)

    @property
    def ours(self) -> bool:
        """Whether we started it."""
        return self._child is not None

    @property
    def ended(self) -> bool:
        """Whether nobody works on the folder any more."""
        if self._child is None:
            return not held(self._folder)
        return self._child.poll() is not None

    @property
    def status(self) -> int | None:
        """The exit status, below 0 for a signal; None while it runs, or where it was not our child."""
        return None if self._child is None else self._child.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children."""
        pid = self._child.pid if self._child is not None else pid_of(self._folder)
        if pid is not None and not self.ended:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, number)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end; whether it came."""
        deadline = time.monotonic() + timeout_s
        while not self.ended:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True


def held(folder: Path) -> bool:
    """Whether a process works on the folder.

    To ask is to take the lock for a moment: a process that starts just then finds it taken, and is started again.
    """
    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def pid_of(folder: Path) -> int | None:
    """The process that was started on the folder, if it still is that one."""
    try:
        pid = int((folder / PID).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if str(folder).encode() in command.split(b"\0") else None
