"""Launches any executable on this machine: the request as JSON on stdin, NDJSON events on stdout, exit status 0.

Each launch has a run folder, named by its key, which makes it idempotent:

| file | written |
|---|---|
| `manifest.json` | whole, before anything runs; what the command reads |
| `lock` | held by the supervisor while the command runs |
| `started` | once, before the command starts: whoever cannot make it does not start the command |
| `events.ndjson`, `stderr.log` | by the command |
| `result.json` | whole, when the command has ended: its exit status |

A line of stdout is `{"level", "message"}`, a point of a curve `{"step", "train_loss", …}`, `{"model": …}`, or a mix.
The supervisor outlives the scheduler. A command that runs elsewhere, such as a Kubernetes Job, names its job by
`MILLRACE_LAUNCH_KEY`, waits for it, and passes its log on.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from trainer_trigger.launchers.errors import LauncherUnavailable, LaunchRefusedError, UnknownJobError
from trainer_trigger.launchers.port import JobState, LaunchRequest, Progress, finite, is_step, place
from trainer_trigger.ledger import Event, Point

SUPERVISE: Final = "trainer_trigger.launchers.supervise"
REPOSITORY: Final = Path(__file__).parents[2]
CANCELLED: Final = "cancelled"


class CommandLauncher:
    """A `Launcher` that runs `command` in a folder of `runs` for each launch; the job's id is the launch key."""

    settles_s: float | None = 0.0  # create is idempotent by its key

    def __init__(self, command: Sequence[str], runs: Path) -> None:
        self._command = list(command)
        self._runs = runs

    @property
    def identity(self) -> str:
        return place("command", str(self._runs))

    def check(self, request: LaunchRequest) -> None:
        for field, file in (("train_file", request.train_file), ("validation_file", request.validation_file)):
            if file is not None and not file.examples:
                raise LaunchRefusedError("it has no examples", field)

    def upload(self, request: LaunchRequest, key: str, attempt: int) -> tuple[str, ...]:
        # Nothing to send: the command reads the files where they lie. The name says that create may follow.
        return (f"{key}-{attempt}",)

    def create(self, request: LaunchRequest, key: str, files: Sequence[str]) -> str:
        folder = self._runs / key
        with _reachable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            manifest = folder / "manifest.json"
            if not manifest.exists():
                write_whole(manifest, msgspec.json.encode({"key": key, "request": request}))
            if not (folder / "started").exists():
                self._supervise(folder)
        return key

    def _supervise(self, folder: Path) -> None:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", SUPERVISE, str(folder), *self._command],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,  # it goes on when the scheduler ends
        )
        assert supervisor.stdout is not None
        with supervisor.stdout as said:
            said.read()  # ends when the command has started, or another supervisor has it
        supervisor.wait()

    def find(self, key: str) -> list[str]:
        with _reachable(self._runs / key):
            return [key] if _is_there(self._runs / key / "started") else []

    def revoke(self, files: Sequence[str]) -> None:
        """Nothing: a late create with the same key finds the run that is there."""

    def progress(self, job_id: str) -> Progress:
        with _reachable(self._runs / job_id):
            return self._progress(self._runs / job_id)

    def _progress(self, folder: Path) -> Progress:
        if not _is_there(folder / "started"):
            raise UnknownJobError(f"{folder} has no run")
        ended = not _held(folder / "lock")  # before the result is read: it is written while the lock is held
        result = folder / "result.json"
        events, points, model = _told(folder / "events.ndjson")
        if result.exists():
            status = json.loads(result.read_bytes())["status"]
            done = JobState.SUCCEEDED if status == 0 else JobState.FAILED
            state = JobState.CANCELLED if (folder / CANCELLED).exists() and status != 0 else done
            message = "" if status == 0 else f"the command ended with {status}; see {folder / 'stderr.log'}"
        else:
            state = JobState.FAILED if ended else JobState.RUNNING
            message = "its supervisor died; what the command did is not known" if ended else ""
        return Progress(state=state, model=model, message=message, events=events, points=points)

    def cancel(self, job_id: str) -> None:
        folder = self._runs / job_id
        with _reachable(folder):
            if not _is_there(folder / "started"):
                raise UnknownJobError(f"{folder} has no run")
            (folder / CANCELLED).touch()  # the supervisor looks for it


@contextlib.contextmanager
def _reachable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise LauncherUnavailable(f"{folder}: {exc}") from exc


def _is_there(path: Path) -> bool:
    """Unlike `exists`, raises OSError where nobody can tell."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path` whole or not at all, also over a power cut."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with fresh.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)


def _held(lock: Path) -> bool:
    with lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _told(path: Path) -> tuple[tuple[Event, ...], tuple[Point, ...], str | None]:
    """The whole lines that the command has written. What is no JSON object is a message as it stands.

    So is a line with a number that no curve can hold, such as NaN.
    """
    events: list[Event] = []
    points: list[Point] = []
    model = None
    text = path.read_text(errors="replace") if path.exists() else ""
    for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines()):
        said: object = None
        with contextlib.suppress(ValueError):
            said = json.loads(line)
        if not isinstance(said, dict):
            events.append(Event(f"{number:09}", number, "info", line))
            continue
        if isinstance(said.get("model"), str):
            model = said["model"]
        if "message" in said:
            events.append(Event(f"{number:09}", number, str(said.get("level", "info")), str(said["message"])))
        step = said.pop("step", None)
        numbers = {name: finite(value) for name, value in said.items() if type(value) in (int, float)}
        if is_step(step):
            points.extend(Point(step, name, value) for name, value in numbers.items() if value is not None)
        if step is not None and (None in numbers.values() or not is_step(step)):
            events.append(Event(f"{number:09}.line", number, "warn", line))
    return tuple(events), tuple(points), model
