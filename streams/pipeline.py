"""The roles as processes: start them, wait until they are ready, until all is drained, and stop or kill them.

`millrace worker` supervises its agents with it; the embedded run, the benchmarks and the integration tests run the
whole way of an event with it.
"""

from __future__ import annotations

import functools
import logging
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

from streams.brokers import GroupProgress, read_by
from streams.errors import BrokerUnavailable, SettingError, StreamError
from streams.settings import PREFIX, Settings, environment
from streams.sink_report import SinkReport
from streams.waiting import Backoff, holds_within

LOGGER: Final = logging.getLogger("millrace.pipeline")
RESTART_S: Final = 1.0
MOST_RESTART_S: Final = 30.0
"""Between these many seconds pass before a process that ended is started again."""
QUICK_S: Final = 30.0
"""A process that ends within so long of its start ended soon: loading takes some seconds of it."""
QUICK_ENDS: Final = 5
"""So often in a row a process may end soon."""
_KILL_S: Final = 5.0
"""A child has `drain_s` to stop, and this to end."""
_POLL_S: Final = 0.1
_STOP_S: Final = 60.0
_LOG_TAIL_BYTES: Final = 4_000


class Role(StrEnum):
    """A process of the stream, and the consumer group suffix that it commits under."""

    REDACT = "redact"
    CURATE = "curate"
    OVERFLOW = "overflow"
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
        """SIGKILL it, if it still runs."""
        self._child.kill()
        self._child.wait()

    def signal(self, signum: int) -> None:
        """Send it a signal, e.g. SIGSTOP."""
        self._child.send_signal(signum)

    def _tail(self) -> str:
        return self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")


class Processes(tuple[Process, ...]):
    """All processes of one role; what is asked of them is asked of each."""

    __slots__ = ()

    @property
    def pid(self) -> int:
        """The first one's."""
        return self[0].pid

    @property
    def url(self) -> str:
        """The first one's."""
        return self[0].url

    @property
    def alive(self) -> bool:
        """Whether all still run."""
        return all(process.alive for process in self)

    def ready(self) -> bool:
        """Whether all are. Raises `ProcessDied`."""
        return all(process.ready() for process in self)

    def check(self) -> None:
        """Raise `ProcessDied` if one ended by itself."""
        for process in self:
            process.check()

    def kill(self) -> None:
        """SIGKILL them."""
        for process in self:
            process.kill()

    def signal(self, signum: int) -> None:
        """Send them a signal, e.g. SIGSTOP."""
        for process in self:
            process.signal(signum)


class Pipeline:
    """The roles as child processes over one set of settings, with so many `processes` each of redact and curate."""

    def __init__(self, settings: Settings, logs: Path, processes: int = 1) -> None:
        """Raises `SettingError` for more processes than the state allows."""
        check_processes(settings, processes)
        self.settings = settings
        self._logs = logs
        self._counts = {Role.REDACT: processes, Role.CURATE: processes}
        self.processes: dict[Role, Processes] = {}
        self._landed = 0
        self._progress = {role: GroupProgress(settings, f"{settings.topic_prefix}-{role}") for role in Role}

    def start(self, roles: Sequence[Role] | None = None) -> None:
        """Start the roles, by default all; one that ran before must have ended."""
        for role in self.roles if roles is None else roles:
            logs = [f"{role}.log", *(f"{role}-{number}.log" for number in range(2, self._counts.get(role, 1) + 1))]
            self.processes[role] = Processes(Process(role, self.settings, self._logs / log) for log in logs)

    @property
    def roles(self) -> Sequence[Role]:
        """Those that there are: an embedded run has no overflow."""
        return [role for role in Role if role is not Role.OVERFLOW or not self.settings.embedded_topic_ids]

    def await_ready(self, deadline_s: float = 120.0) -> None:
        """Return when every role is ready. Raises `ProcessDied`, `StalledError`."""
        wait_until(lambda: all(each.ready() for each in self.processes.values()), deadline_s, "ready roles")

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
        for processes in self.processes.values():
            processes.check()
        try:
            return (
                self._behind(Role.REDACT, *read_by(self.settings, "redact")) == 0
                and self._behind(Role.OVERFLOW, *read_by(self.settings, "overflow")) == 0
                and self._behind(Role.CURATE, *read_by(self.settings, "curate")) == 0
                and self._behind(Role.SINK, *map(self.settings.topic, ("redacted", "curated", "deadletter"))) == 0
            )
        except BrokerUnavailable:
            return False

    def await_drained(self, deadline_s: float = 600.0) -> None:
        """Return when drained. Raises `ProcessDied`, `StalledError`."""
        wait_until(self.drained, deadline_s, "everything to become rows")

    def stop(self) -> Reports:
        """Stop the agents, then the sink, and return what they did. Raises `ProcessDied`."""
        reports: dict[Role, list[bytes]] = {}
        agents = [role for role in self.processes if role is not Role.SINK]
        for roles in (agents, [Role.SINK]):
            for role in roles:
                self.processes[role].signal(signal.SIGTERM)
            reports |= {role: [process.stopped() for process in self.processes[role]] for role in roles}
        self.close()
        sink = [msgspec.json.decode(report, type=SinkReport) for report in reports.pop(Role.SINK)]
        seconds: dict[str, float] = {}
        for role, of_role in reports.items():
            for report in of_role:
                for stage, spent in msgspec.json.decode(report, type=AgentReport).stage_seconds.items():
                    seconds[f"{role}.{stage}"] = seconds.get(f"{role}.{stage}", 0.0) + spent
        return Reports(functools.reduce(SinkReport.merged, sink), seconds)

    def close(self) -> None:
        """Kill what still runs and let go of connections."""
        for processes in self.processes.values():
            processes.kill()
        for progress in self._progress.values():
            progress.close()
        self._progress = {}

    @property
    def _partitions(self) -> int:
        return self.settings.topic_partitions

    def _done(self, role: Role, topic: str) -> int:
        return self._progress[role].done(topic, self._partitions)

    def _behind(self, role: Role, *topics: str) -> int:
        if role not in self.roles:
            return 0
        return sum(self._progress[role].behind(topic, self._partitions) for topic in topics)


def check_processes(settings: Settings, curate: int) -> None:
    """Raise `SettingError` for more processes of curate than the state allows."""
    if settings.state_file and curate > 1:
        mend = f"is for one process of curate, not {curate}: use Redis (MILLRACE_REDIS_URL)"
        raise SettingError("MILLRACE_STATE_FILE", settings.state_file, mend)


class Supervised:
    """One child of `supervise`: started again when it ends, with growing pauses."""

    def __init__(self, role: Role, settings: Settings) -> None:
        self.role = role
        self._environ = _environ(settings)
        self._pauses = Backoff(RESTART_S, MOST_RESTART_S)
        self._quick = 0
        self._start_at = 0.0
        self._started_at = 0.0
        self.child: subprocess.Popen[bytes] | None = None

    def look(self, now_s: float) -> int | None:
        """Start it if it is due; its status once it has ended soon after its start `QUICK_ENDS` times in a row."""
        if self.child is None:
            if now_s >= self._start_at:
                self.child = subprocess.Popen(self.role.command, env=self._environ, start_new_session=True)
                self._started_at = now_s
            return None
        status = self.child.poll()
        if status is None:
            return None
        self.child = None
        if now_s - self._started_at >= QUICK_S:
            self._quick = 0
            self._pauses.reset()
        self._quick += 1
        wait_s = self._pauses.next_s()
        self._start_at = now_s + wait_s
        fields = {"role": self.role.value, "status": status, "ended_soon": self._quick, "wait_s": round(wait_s, 1)}
        if self._quick >= QUICK_ENDS:
            LOGGER.critical("a process keeps ending soon after its start: giving up", extra={"fields": fields})
            return abs(status) or 1
        LOGGER.error("a process ended and is started again", extra={"fields": fields})
        return None


def supervise(roles: Sequence[Role], settings: Settings, until: Sequence[signal.Signals]) -> int:
    """Run roles as children that log to our stderr until a signal of `until`, and start again whichever ends.

    Returns 0 if all ended well; the status of one that keeps ending soon after its start, or that did not stop well.
    A second signal kills all at once. The n-th role serves its metrics on `metrics_port` + n.
    """
    stop = threading.Event()
    ports = [settings.metrics_port and settings.metrics_port + number for number in range(len(roles))]
    children = [
        Supervised(role, msgspec.structs.replace(settings, metrics_port=port))
        for role, port in zip(roles, ports, strict=True)
    ]

    def told(signum: int, _frame: object) -> None:
        if stop.is_set():
            for each in children:
                if each.child is not None:
                    each.child.kill()
            os._exit(128 + signum)
        stop.set()

    for signum in until:
        signal.signal(signum, told)
    failed = None
    while failed is None and not stop.wait(_POLL_S):
        now_s = time.monotonic()
        failed = next((status for each in children if (status := each.look(now_s)) is not None), None)
    left = [each.child for each in children if each.child is not None]
    for child in left:
        child.terminate()
    holds_within(lambda: all(child.poll() is not None for child in left), settings.drain_s + _KILL_S)
    for child in left:
        child.kill()
    statuses = [abs(child.wait()) for child in left]
    return failed or next((status for status in statuses if status), 0)


def wait_until(condition: Callable[[], bool], deadline_s: float, what: str) -> None:
    """Return when the condition holds. Raises `StalledError` naming `what` after the deadline."""
    if not holds_within(condition, deadline_s):
        raise StalledError(f"waited {deadline_s:.0f} s for {what}")


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
