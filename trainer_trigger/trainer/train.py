"""The process of one job: `python -m trainer_trigger.trainer.train FOLDER`. What it reads and writes says `job`."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from trainer_trigger.trainer.errors import NotAvailableError, OutOfMemoryError, TrainerError
from trainer_trigger.trainer.job import (
    BUSY,
    CANCEL,
    CHECKPOINTS,
    DISK_FULL,
    LOCK,
    RESULT,
    STOPPED,
    Failure,
    Result,
    read_job,
    read_result,
    write_whole,
)
from trainer_trigger.trainer.train_base import go_offline

_NO_ROOM: Final = "No space left on device"
_HALF_WRITTEN: Final = ("unexpected pos", "iostream error", "file write failed")
"""What PyTorch says when a file could not be written; it does not say why."""

_ROOM_BYTES: Final = 64 * 1024 * 1024
_NO_MEMORY: Final = ("out of memory", "can't allocate memory", "not enough memory")


class Signal:
    """Remembers a SIGTERM for the training loop, and ends the process at once where no step can be lost."""

    def __init__(self) -> None:
        self.asked = False
        self.waits = False
        signal.signal(signal.SIGTERM, self._on_signal)

    def stopping(self) -> bool:
        """Asked by the training loop after each step."""
        self.waits = True
        return self.asked

    def _on_signal(self, *_: object) -> None:
        self.asked = True
        if not self.waits:
            raise SystemExit(STOPPED)


def main(folder: Path) -> int:
    """Work on the job until it has ended; the exit status."""
    with open(folder / LOCK, "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return BUSY
        return work(folder, Signal().stopping)


def work(folder: Path, stopping: Callable[[], bool]) -> int:
    """Run the job of a folder that nobody else works on. Whatever is wrong with it becomes its result."""
    if read_result(folder) is not None:
        return 0
    try:
        result = _result(folder, stopping)
        if result is None:
            return STOPPED
        write_whole(folder / RESULT, msgspec.json.encode(result))
    except OSError as exc:
        if exc.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        traceback.print_exc()
        return DISK_FULL
    return 0


def _result(folder: Path, stopping: Callable[[], bool]) -> Result | None:
    """None where a signal stopped the run. Raises OSError where the disk is full."""
    try:
        job = read_job(folder)
    except (OSError, msgspec.MsgspecError) as exc:
        return _failed(f"job.json cannot be read: {exc}", "invalid_job")
    if (folder / CANCEL).exists() and not (folder / CHECKPOINTS).exists():
        return Result(status="cancelled")
    os.environ["OMP_NUM_THREADS"] = str(job.threads)
    go_offline()
    try:
        from trainer_trigger.trainer.train_run import kept, run
        from trainer_trigger.trainer.train_watch import EventLog
    except ImportError as exc:
        traceback.print_exc()
        return _failed(f"the extra `trainer` is not installed: {exc}", NotAvailableError.code)
    log = EventLog(folder)
    try:
        outcome = run(folder, job, log, stopping)
    except Exception as exc:  # the libraries raise whatever a broken file or machine leads to
        if _is_full(exc, folder):
            raise OSError(errno.ENOSPC, "the disk is full") from exc
        traceback.print_exc()
        error = _explained(exc)
        log.say(error.message, "error", code=error.failure_code)
        return Result(
            status="failed",
            error=Failure(code=error.failure_code, message=error.message, param=error.param),
            **_so_far(folder, kept(folder)),
        )
    finally:
        log.close()
    if outcome.status == "stopped":
        return None
    return Result(
        status=outcome.status,
        trained_tokens=outcome.tokens,
        steps=outcome.steps,
        checkpoints=kept(folder),
        hyperparameters=outcome.resolved,
    )


def _explained(exc: Exception) -> TrainerError:
    if isinstance(exc, TrainerError):
        return exc
    if isinstance(exc, MemoryError) or any(words in str(exc).lower() for words in _NO_MEMORY):
        return OutOfMemoryError(
            "no memory is left; try a smaller batch_size with more gradient_accumulation_steps",
            "batch_size",
        )
    return TrainerError(f"the training failed unexpectedly ({type(exc).__name__}); the log of the process says where")


def _is_full(exc: BaseException | None, folder: Path) -> bool:
    while exc is not None:
        if isinstance(exc, OSError) and exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        if _NO_ROOM in str(exc):
            return True
        if any(words in str(exc) for words in _HALF_WRITTEN) and shutil.disk_usage(folder).free < _ROOM_BYTES:
            return True
        exc = exc.__cause__ or exc.__context__
    return False


def _so_far(folder: Path, kept: list[Any]) -> dict[str, Any]:
    if not kept:
        return {}
    from trainer_trigger.trainer.checkpoints import tokens

    last = kept[-1].step
    return {"steps": last, "trained_tokens": tokens(folder, last), "checkpoints": kept}


def _failed(message: str, code: str) -> Result:
    return Result(status="failed", error=Failure(code=code, message=message))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
