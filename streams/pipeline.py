"""The roles as processes: start them, wait until they are ready, until all is drained, and stop or kill them.

`millrace worker` supervises its agents with it; the embedded run, the benchmarks and the integration tests run the
whole way of an event with it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from streams.brokers import GroupProgress
from streams.errors import BrokerUnavailable, StreamError
from streams.settings import PREFIX, Settings, environment
from streams.sink_report import SinkReport

_POLL_S: Final = 0.1
_STOP_S: Final = 60.0
_LOG_TAIL_BYTES: Final = 4_000


class Role(StrEnum):
    """A process of the stream, and the consumer group suffix that it commits under."""

    REDACT = "redact"
    CURATE = "curate"
    SINK = "sink"

    @property
    def command(self) -> list[str]:
        """Its command line, but for --report."""
        subcommand = ["sink"] if self is Role.SINK else ["worker", "--supervised", "--agent", self.value]
        return [sys.executable, "-m", "millrace", *subcommand]


class AgentReport(msgspec.Struct, frozen=True):
    """What an agent says at its end: events received by kind, and seconds spent by stage."""

    received: dict[str, float]
    stage_seconds: dict[str, float]


class Reports(NamedTuple):
    """What the roles did: the sink's report, and seconds spent by `role.stage`."""

    sink: SinkReport
    stage_seconds: dict[str, float]


class ProcessDied(StreamError):
    """A role ended by itself; the message has the end of its log."""


class StalledError(StreamError):
    """What was waited for did not come within its deadline."""


class Process:
    """One role as a child process, its log in a file, its report read when it stops."""

    def __init__(self, role: Role, settings: Settings, log: Path) -> None:
        self.role = role
        self._settings = msgspec.structs.replace(settings, metrics_port=_free_port())
        self._log = log
        self._report = log.with_suffix(".report")
        with log.open("ab") as err, self._report.open("wb") as out:
            self._child = subprocess.Popen(
                [*role.command, "--report"], env=_environ(self._settings), stdout=out, stderr=err
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._child.poll() is None

    @property
    def url(self) -> str:
        """Where it serves `/metrics`, `/healthz` and `/readyz`; no slash at the end."""
        return f"http://127.0.0.1:{self._settings.metrics_port}"

    def ready(self) -> bool:
        """Whether its `/readyz` says so. Raises `ProcessDied`."""
        self.check()
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def check(self) -> None:
        """Raise `ProcessDied` if it ended by itself."""
        if not self.alive:
            raise ProcessDied(f"{self.role} ended with status {self._child.returncode}:\n{self._tail()}")

    def stopped(self) -> bytes:
        """Wait for it to end after SIGTERM; its report, a line of JSON. Raises `ProcessDied` if it did not end well."""
        try:
            status = self._child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProcessDied(f"{self.role} did not stop within {_STOP_S:.0f} s:\n{self._tail()}") from None
        if status != 0:
            raise ProcessDied(f"{self.role} ended with status {status}:\n{self._tail()}")
        return self._report.read_bytes().splitlines()[-1]

    def kill(self) -> None:
        """SIGKILL it."""
        self._child.kill()
        self._child.wait()

    def signal(self, signum: int) -> None:
        """Send it a signal, e.g. SIGSTOP."""
        self._child.send_signal(signum)

    def _tail(self) -> str:
        return self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")


class Pipeline:
    """redact, curate and sink as child processes over one set of settings."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        self.settings = settings
        self._logs = logs
        self.processes: dict[Role, Process] = {}
        self._landed = 0
        self._progress = {role: GroupProgress(settings, f"{settings.topic_prefix}-{role}") for role in Role}

    def start(self, roles: Sequence[Role] = tuple(Role)) -> None:
        """Start the roles; one that ran before must have ended."""
        for role in roles:
            self.processes[role] = Process(role, self.settings, self._logs / f"{role}.log")

    def await_ready(self, deadline_s: float = 120.0) -> None:
        """Return when every role is ready. Raises `ProcessDied`, `StalledError`."""
        wait_until(lambda: all(process.ready() for process in self.processes.values()), deadline_s, "ready roles")

    def landed(self) -> int:
        """About how many events are through: seen by `curate`, and in the sink's committed rows.

        While the broker is away it is as many as before.
        """
        redacted = self.settings.topic("redacted")
        try:
            through = min(self._done(Role.SINK, redacted), self._done(Role.CURATE, redacted))
            self._landed = through + self._done(Role.SINK, self.settings.topic("deadletter"))
        except BrokerUnavailable:
            pass
        return self._landed

    def drained(self) -> bool:
        """Whether everything that was produced before the call has become rows. Raises `ProcessDied`."""
        for process in self.processes.values():
            process.check()
        try:
            return (
                all(self._progress[Role.REDACT].behind(topic, self._partitions) == 0 for topic in self._sources)
                and self._behind(Role.CURATE, "redacted", "replay") == 0
                and self._behind(Role.SINK, "redacted", "curated", "deadletter") == 0
            )
        except BrokerUnavailable:
            return False

    def await_drained(self, deadline_s: float = 600.0) -> None:
        """Return when drained. Raises `ProcessDied`, `StalledError`."""
        wait_until(self.drained, deadline_s, "everything to become rows")

    def stop(self) -> Reports:
        """Stop the agents, then the sink, and return what they did. Raises `ProcessDied`."""
        reports: dict[Role, bytes] = {}
        for roles in ((Role.REDACT, Role.CURATE), (Role.SINK,)):
            for role in roles:
                self.processes[role].signal(signal.SIGTERM)
            reports |= {role: self.processes[role].stopped() for role in roles}
        self.close()
        return Reports(
            msgspec.json.decode(reports[Role.SINK], type=SinkReport),
            {
                f"{role}.{stage}": spent
                for role in (Role.REDACT, Role.CURATE)
                for stage, spent in msgspec.json.decode(reports[role], type=AgentReport).stage_seconds.items()
            },
        )

    def close(self) -> None:
        """Kill what still runs and let go of connections."""
        for process in self.processes.values():
            if process.alive:
                process.kill()
        for progress in self._progress.values():
            progress.close()
        self._progress = {}

    @property
    def _partitions(self) -> int:
        return self.settings.topic_partitions

    @property
    def _sources(self) -> Sequence[str]:
        return [*self.settings.tenant_of_source, self.settings.topic("reentry")]

    def _done(self, role: Role, topic: str) -> int:
        return self._progress[role].done(topic, self._partitions)

    def _behind(self, role: Role, *names: str) -> int:
        progress = self._progress[role]
        return sum(progress.behind(self.settings.topic(name), self._partitions) for name in names)


def supervise(roles: Sequence[Role], settings: Settings, until: Sequence[signal.Signals]) -> int:
    """Run roles as children that log to our stderr until a signal of `until` or until one ends; 0 if all ended well."""
    stop = threading.Event()
    for signum in until:
        signal.signal(signum, lambda *_: stop.set())
    children = []
    for index, role in enumerate(roles):
        port = settings.metrics_port and settings.metrics_port + index
        own = msgspec.structs.replace(settings, metrics_port=port)
        children.append(subprocess.Popen(role.command, env=_environ(own), start_new_session=True))
    while not stop.wait(_POLL_S) and all(child.poll() is None for child in children):
        pass
    for child in children:
        if child.poll() is None:
            child.terminate()
    statuses = [child.wait() for child in children]
    return next((abs(status) for status in statuses if status), 0 if stop.is_set() else 1)


def wait_until(condition: Callable[[], bool], deadline_s: float, what: str) -> None:
    """Return when the condition holds. Raises `StalledError` naming `what` after the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise StalledError(f"waited {deadline_s:.0f} s for {what}")
        time.sleep(_POLL_S)


def _environ(settings: Settings) -> Mapping[str, str]:
    """The process's own environment with exactly these settings, from whichever folder it started."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    root = str(Path(__file__).parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    return {**inherited, **environment(settings), "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
