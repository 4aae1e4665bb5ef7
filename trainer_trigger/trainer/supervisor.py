"""Moves jobs forward, one turn after the other, in one thread. What it knows stands in the store and in the folders.

| a job is | the turn |
|---|---|
| validating_files | looks through its files: queued, or failed |
| queued | starts a process for it when there is room, in the order of creation: running |
| running | takes in what the process tells; ended with a result: over; without: started again |
| over | sees to it that no process works on it any more, and removes its copy of the data |

A process that ends without a result is started again three times at most without progress, which is a step that was
not told before. On a full disk it is started again every half minute, and that does not count.

After a restart of the service a running job may have a process still: it is waited for, never doubled. The lock in the
job's folder, which only the process itself takes, makes sure of that.
"""

from __future__ import annotations

import csv
import io
import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any, Final

import msgspec

from trainer_trigger.trainer.errors import TrainerError
from trainer_trigger.trainer.files import Files
from trainer_trigger.trainer.job import (
    ADAPTER,
    BUSY,
    CHECKPOINTS,
    DISK_FULL,
    Hyperparameters,
    Method,
    Resolved,
    Result,
    ask_to_cancel,
    now_ms,
    read_events,
    read_job,
    read_result,
    resolve,
)
from trainer_trigger.trainer.jobs import TRAINING, VALIDATION, Jobs
from trainer_trigger.trainer.processes import OUTPUT, Process
from trainer_trigger.trainer.sql import Store
from trainer_trigger.trainer.tables import ACTIVE, JobRow, Status
from trainer_trigger.trainer.train_base import width

TRAIN: Final = (sys.executable, "-m", "trainer_trigger.trainer.train")
RESTARTS: Final = 3
RETRY_S: Final = 30.0
"""How long a full disk is waited for before the process is started again."""

TURN_S: Final = 0.2
GRACE_S: Final = 20.0
"""How long a process may take to see that it is cancelled, or to end when it has told its result; then it is killed."""

CURVES: Final = (
    "train_loss",
    "train_mean_token_accuracy",
    "valid_loss",
    "full_valid_loss",
    "full_valid_mean_token_accuracy",
)
WAITING: Final = frozenset({Status.VALIDATING, Status.QUEUED})
DIED: Final = "training_process_died"
NOTHING: Final[Mapping[str, object]] = {}

_LOG: Final = logging.getLogger("millrace.trainer")

Check = Callable[[Path, Method, str], int]
"""Looks through a file of examples; their number. Raises TrainerError. The third is the API's name of the file."""


class Supervisor:
    """`command` and a job's folder are the command line of a training process; `most` of them run at once."""

    def __init__(
        self,
        store: Store,
        files: Files,
        jobs: Jobs,
        check: Check,
        *,
        command: Sequence[str] = TRAIN,
        most: int = 1,
        grace_s: float = GRACE_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self._store = store
        self._files = files
        self._jobs = jobs
        self._check = check
        self._command = command
        self._most = most
        self._grace_s = grace_s
        self._retry_s = retry_s
        self._processes: dict[str, Process] = {}
        self._told_to_end_s: dict[str, float] = {}
        self._retries_s: dict[str, float] = {}
        self._nudged = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self.problem: str | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def nudge(self) -> None:
        """There is something to do."""
        self._nudged.set()

    def stop(self, within_s: float) -> None:
        """End the processes; their jobs go on from a checkpoint at the next start."""
        self._stopping.set()
        self._nudged.set()
        if self._thread.is_alive():
            self._thread.join()
        alive = {job_id: process for job_id, process in self._processes.items() if not process.ended}
        for process in alive.values():
            process.signal(SIGTERM)
        deadline = time.monotonic() + within_s
        for job_id, process in alive.items():
            if not process.wait(max(0.0, deadline - time.monotonic())):
                process.signal(SIGKILL)
                process.wait(within_s)
            job = self._store.job(job_id)
            if job is not None:  # this end is no failure of the job's
                self._store.move(job_id, {Status.RUNNING}, {"starts": max(0, job.starts - 1)})

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.problem = self._turn()
            except Exception as exc:  # the database: the next turn tries again
                self.problem = self._complain(exc)
            self._nudged.wait(TURN_S)
            self._nudged.clear()

    def _turn(self) -> str | None:
        """Each job by one step; what was in the way of one, which does not hold up the others."""
        problem = None
        # Those that wait come last: what trains already, be it found after a restart, has its place.
        for job in sorted(self._store.unsettled(), key=lambda job: job.status in WAITING):
            if self._stopping.is_set():
                break
            try:
                self._step(job)
            except Exception as exc:  # the disk is full, a folder cannot be read: the next turn tries again
                problem = self._complain(exc, job)
        return problem

    def _step(self, job: JobRow) -> None:
        if job.status in ACTIVE and not self._jobs.folder(job.id).is_dir():
            self._fail(job, "job_lost", "Its folder is gone from the trainer's disk.")
            return
        match job.status:
            case Status.VALIDATING:
                self._validate(job)
            case Status.QUEUED:
                if len(self._processes) < self._most:
                    self._begin(job)
            case Status.RUNNING:
                self._follow(job)
            case _:
                self._settle(job)

    def _complain(self, exc: Exception, job: JobRow | None = None) -> str:
        problem = f"the supervisor failed: {type(exc).__name__}"
        if self.problem != problem:
            fields = {"job": None if job is None else job.id}
            _LOG.error("a turn of the supervisor failed", exc_info=exc, extra={"fields": fields})
        return problem

    def _validate(self, job: JobRow) -> None:
        folder = self._jobs.folder(job.id)
        try:
            examples = self._check(folder / TRAINING, job.method, "training_file")
            if job.validation_file is not None:
                self._check(folder / VALIDATION, job.method, "validation_file")
        except TrainerError as exc:
            self._fail(job, exc.failure_code, exc.message, exc.param)
            return
        units = width(Path(read_job(folder).base_model))
        asked = msgspec.convert(job.asked, Hyperparameters)
        known = _plain(resolve(asked, job.method, examples, units))
        message = f"Files validated: {examples} examples. Waiting for its turn."
        self._store.move(job.id, {Status.VALIDATING}, {"status": Status.QUEUED, "resolved": known}, message)

    def _begin(self, job: JobRow) -> None:
        begun = {"starts": job.starts + 1, "begun_ms": now_ms(), "begun_step": job.step, "status": Status.RUNNING}
        message = "Training started." if job.begun_ms is None else "Training goes on from its last checkpoint."
        if not self._store.move(job.id, {Status.QUEUED, Status.RUNNING}, begun, message):
            return  # cancelled just now
        self._processes[job.id] = Process.started(self._command, self._jobs.folder(job.id))
        _LOG.info("training started", extra={"fields": {"job": job.id, "start": job.starts + 1}})

    def _follow(self, job: JobRow) -> None:
        folder = self._jobs.folder(job.id)
        process = self._processes.setdefault(job.id, Process.found(folder))
        ended = process.ended  # first: what is there afterwards is all there will be
        job = self._take_in(job, folder)
        result = read_result(folder)
        if not ended:
            if result is not None:
                self._hurry(job, process)
            return
        if result is None and process.status == DISK_FULL:
            self._retry(job)
            return
        del self._processes[job.id]
        self._told_to_end_s.pop(job.id, None)
        if result is not None:
            self._finish(job, result)
        elif process.status == BUSY:  # another one, whose end is waited for; this one was none
            self._store.move(job.id, {Status.RUNNING}, {"starts": job.starts - 1})
            self._processes[job.id] = Process.found(folder)
        elif job.step <= job.begun_step and job.starts > RESTARTS:
            often = f"{job.starts} times without progress"
            words = f"{_words(process.status)}, {often}; see {OUTPUT} in the job's folder on the trainer"
            self._fail(job, DIED, f"The training process {words}.")
        else:
            starts = job.starts if job.step <= job.begun_step else 1
            died = f"The training process {_words(process.status)}." if process.ours else None
            self._store.move(job.id, ACTIVE, {"starts": starts}, died, level="warn")
            self._begin(msgspec.structs.replace(job, starts=starts))

    def _retry(self, job: JobRow) -> None:
        """After a full disk: wait, then start the process again. Its place is kept, and this start does not count."""
        now_s = time.monotonic()
        if job.id not in self._retries_s:
            told = "The disk is full. Training goes on when there is room."
            self._store.move(job.id, {Status.RUNNING}, {"starts": max(0, job.starts - 1)}, told, level="warn")
            self._retries_s[job.id] = now_s + self._retry_s
        elif now_s >= self._retries_s[job.id]:
            del self._retries_s[job.id]
            self._begin(job)

    def _take_in(self, job: JobRow, folder: Path) -> JobRow:
        """Keep what the process has told since; the job afterwards."""
        try:
            told, read_bytes = read_events(folder, job.events_bytes)
        except msgspec.MsgspecError:  # damaged on the disk; the process finds it so too, and the job ends with its word
            return job
        if not told:
            return job
        self._store.take_in(job.id, told, read_bytes)
        return self._store.job(job.id) or job

    def _hurry(self, job: JobRow, process: Process) -> None:
        """Kill a process that has been told to end, or has told its result, and does not end."""
        now_s = time.monotonic()
        if now_s - self._told_to_end_s.setdefault(job.id, now_s) > self._grace_s:
            process.signal(SIGKILL)

    def _finish(self, job: JobRow, result: Result) -> None:
        now = now_ms()
        changes: dict[str, Any] = {"finished_ms": now, "settled": True, "trained_tokens": result.trained_tokens}
        if result.hyperparameters is not None:
            changes["resolved"] = _plain(result.hyperparameters)
        if result.status == "succeeded" and (self._jobs.folder(job.id) / ADAPTER).is_dir():
            file = self._files.add_result(f"{job.id}-metrics.csv", curves(self._store.metrics(job.id)))
            changes |= {"status": Status.SUCCEEDED, "result_file": file.id}
            changes["checkpoints"] = [{**_plain(each), "at_ms": now} for each in result.checkpoints]
            message = f"The job has succeeded. The model is {job.name}."
            self._store.move(job.id, {Status.RUNNING}, changes, message, result=file)
            self._tidy(job)
        elif result.status == "cancelled":
            changes["status"] = Status.CANCELLED
            self._store.move(job.id, {Status.RUNNING}, changes, "The job was cancelled.")
            self._tidy(job)
        else:
            error = result.error
            code, words = (error.code, error.message) if error is not None else (DIED, "It left no adapter.")
            self._fail(job, code, words, error.param if error is not None else None, changes)

    def _fail(
        self, job: JobRow, code: str, message: str, param: str | None = None, more: Mapping[str, object] = NOTHING
    ) -> None:
        error = {"code": code, "message": message, "param": param}
        changes = {"finished_ms": now_ms(), "settled": True, **more, "status": Status.FAILED, "error": error}
        self._store.move(job.id, ACTIVE, changes, f"The job has failed: {message}", level="error")
        self._tidy(job)

    def _settle(self, job: JobRow) -> None:
        """A job that was cancelled: its process, if there is one, sees the word and ends."""
        folder = self._jobs.folder(job.id)
        process = self._processes.setdefault(job.id, Process.found(folder))
        if not process.ended:
            if job.id not in self._told_to_end_s:
                ask_to_cancel(folder)
            self._hurry(job, process)
            return
        del self._processes[job.id]
        self._told_to_end_s.pop(job.id, None)
        self._retries_s.pop(job.id, None)
        self._take_in(job, folder)
        result = read_result(folder)
        tokens = None if result is None else result.trained_tokens
        self._store.move(job.id, {job.status}, {"settled": True, "trained_tokens": tokens})
        self._tidy(job)

    def _tidy(self, job: JobRow) -> None:
        """Remove what a job that is over needs no more.

        Its copies of the data, so that whoever deletes the file deletes the last one; and what a job without a model
        has learnt, unless it is the machine that ended it.
        """
        over = self._store.job(job.id)
        if over is None or not over.settled:
            return
        _LOG.info("a job is over", extra={"fields": {"job": job.id, "status": over.status}})
        folder = self._jobs.folder(job.id)
        for name in (TRAINING, VALIDATION):
            with suppress(OSError):
                (folder / name).unlink(missing_ok=True)
        if over.status != Status.SUCCEEDED and (over.error or {}).get("code") != DIED:
            for name in (ADAPTER, CHECKPOINTS):
                shutil.rmtree(folder / name, ignore_errors=True)


def curves(metrics: Sequence[dict[str, Any]]) -> bytes:
    """A CSV with a row a step, as OpenAI's result files have it; of a step told twice, the last word counts."""
    steps: dict[int, dict[str, Any]] = {}
    for told in metrics:
        if isinstance(told.get("step"), int):
            steps.setdefault(told["step"], {}).update(told)
    out = io.StringIO()
    writer = csv.DictWriter(out, ["step", *CURVES], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(steps[step] for step in sorted(steps))
    return out.getvalue().encode()


def _plain(told: Resolved | object) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(told)
    return plain


def _words(status: int | None) -> str:
    if status is None:
        return "ended with the service"
    if status < 0:
        name = Signals(-status).name
        return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"ended with status {status}"
