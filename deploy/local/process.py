"""One server process: started detached, found again by its folder, signalled only while provably ours.

All that must survive the starting command stands in the folder's `server.json` (mode 0600): the ports, which
are chosen once, the credentials, and the process id with its command line. So a second `Server` on the same
folder, in this process or another, takes over the first one's server, port and data.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar, Self

from deploy.local.errors import ServerStartError

HOST = "127.0.0.1"
# Below Linux's ephemeral range (32768 up): there a client that reconnects to a stopped server can be given
# the server's own port as its source port, connect to itself, and keep the server from starting again.
PORT_RANGE = (20_000, 32_000)
PORT_TRIES = 100

LOG_TAIL_LINES = 25
PROGRAM_TIMEOUT_S = 120
POLL_S = 0.05
EXEC_LOOKS = 3  # a process in the middle of exec shows an empty command line for a moment, a zombie for good


@dataclass
class Record:
    """What `server.json` holds. `pid` is None before the first start and after a stop."""

    ports: dict[str, int] = field(default_factory=dict)
    credentials: dict[str, str] = field(default_factory=dict)
    pid: int | None = None
    command: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> Self:
        """The record at `path`, an empty one where there is none."""
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def save(self, path: Path) -> None:
        """Write it whole or not at all, readable by the owner only."""
        write_private(path, json.dumps(asdict(self), indent=1))


class Server(ABC):
    """A server of this machine with one folder for its data, its log and its record.

    A subclass names itself, tells its command and says when it answers. Ports are chosen once and kept from
    the first start in the folder on. As a context manager it is started on entry and stopped on exit.
    """

    name: ClassVar[str]
    port_names: ClassVar[tuple[str, ...]] = ("main",)
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._path = self.folder / "server.json"
        self._record = Record.load(self._path)
        self._child: subprocess.Popen[bytes] | None = None
        for port_name in self.port_names:
            if port_name not in self._record.ports:
                self._record.ports[port_name] = free_port(taken=self._record.ports.values())

    @abstractmethod
    def command(self) -> list[str]:
        """The command line; it must name the folder, which tells this server from any other."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves requests now. May raise OSError, which means no."""

    @abstractmethod
    def settings(self) -> dict[str, str]:
        """The environment variables by which Millrace finds this server."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what must be there before each start: programs, configuration, formatted storage."""

    def environment(self) -> dict[str, str]:
        """The server's own environment variables, on top of ours: what must not show in a process list."""
        return {}

    @property
    def user(self) -> str | None:
        """The system's user, and group of that name, that it runs as; None is whoever starts it."""
        return None

    @property
    def work_folder(self) -> Path:
        """Its working directory."""
        return self.folder

    @property
    def port(self) -> int:
        """The loopback port that clients use."""
        return self._record.ports["main"]

    @property
    def address(self) -> str:
        """`127.0.0.1:port`."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id while it runs (also while paused), else None."""
        return self._record.pid if self.running else None

    @property
    def running(self) -> bool:
        """Whether the recorded process lives and is still ours."""
        if self._child is not None:
            return self._child.poll() is None  # reaps it, if it has ended
        return self._record.pid is not None and runs(self._record.pid, self._record.command)

    @property
    def log(self) -> Path:
        """The file with the server's output of all its starts."""
        return self.folder / "server.log"

    def start(self, deadline_s: float = 60.0) -> Self:
        """Start it unless it runs, and wait up to `deadline_s` (fetching not counted) until it answers.

        Raises ServerStartError when it dies, is silent beyond the deadline (it is killed then), or its port
        is taken; ArtifactError when its program is missing.
        """
        if not self.running:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.prepare()
            self._spawn()
        if not wait_until(lambda: self._ready() or not self.running, deadline_s):
            self.kill()
            raise ServerStartError(f"{self.name} did not answer within {deadline_s:.0f} s; {self._log_tail()}")
        if not self.running:
            raise ServerStartError(f"{self.name} ended while it started; {self._log_tail()}")
        return self

    def stop(self, deadline_s: float = 20.0) -> None:
        """End it with its stop signal, and with SIGKILL if it still lives `deadline_s` later. Its data stays."""
        self._signal(self.stop_signal)
        self._signal(signal.SIGCONT)  # a paused process acts on it only when it goes on
        if not wait_until(lambda: not self.running, deadline_s):
            self.kill()
        self._forget()

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would. Its data stays."""
        self._signal(signal.SIGKILL)
        wait_until(lambda: not self.running, 10.0)
        self._forget()

    def pause(self) -> None:
        """Freeze it with SIGSTOP: its connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def _run(self, command: Sequence[str], failed: str) -> None:
        """Run a program to its end as the server would run. Raises ServerStartError with what it printed."""
        done = subprocess.run(
            command,
            cwd=self.work_folder,
            user=self.user,
            group=self.user,
            capture_output=True,
            text=True,
            timeout=PROGRAM_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise ServerStartError(f"{failed}:\n{done.stdout}{done.stderr}")

    def _spawn(self) -> None:
        for port in self._record.ports.values():
            if not port_is_free(port):
                raise ServerStartError(
                    f"{self.name}: port {port} is taken by another process; end that, or delete {self._path}"
                    " to have another port chosen"
                )
        self._record.command = self.command()
        with self.log.open("ab") as out:
            self._child = subprocess.Popen(
                self._record.command,
                cwd=self.work_folder,
                user=self.user,
                group=self.user,
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C and the end of the starting command leave it alone
            )
        self._record.pid = self._child.pid
        self._record.save(self._path)

    def _ready(self) -> bool:
        try:
            return self.answers()
        except OSError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        if self.running and self._record.pid is not None:
            with contextlib.suppress(ProcessLookupError):  # it ended in this very moment
                os.kill(self._record.pid, number)

    def _forget(self) -> None:
        if self._record.pid is not None and not self.running:
            self._record.pid, self._record.command, self._child = None, [], None
            self._record.save(self._path)

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"the end of {self.log}:", *lines[-LOG_TAIL_LINES:]])


def runs(pid: int, command: Sequence[str]) -> bool:
    """Whether process `pid` lives and carries the arguments of `command`: a reused id is not taken for ours.

    The program's own name is left out, since a wrapper script may have replaced itself by the real one. A
    zombie has ended.
    """
    arguments = command[1:]
    if Path("/proc/self/cmdline").exists():
        wanted = b"".join(b"\0" + os.fsencode(each) for each in arguments) + b"\0"
        for _ in range(EXEC_LOOKS):
            try:
                shown = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                return False
            if shown:
                return shown.endswith(wanted)
            time.sleep(POLL_S)
        return False
    told = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return told.stdout.rstrip("\n").endswith(" ".join(["", *arguments]))


def free_port(taken: Iterable[int] = ()) -> int:
    """A loopback port that nothing listens on now, outside the ephemeral range and `taken`.

    Raises ServerStartError when none is found.
    """
    left = sorted(set(range(*PORT_RANGE)).difference(taken))
    for port in random.sample(left, min(PORT_TRIES, len(left))):
        if port_is_free(port):
            return port
    raise ServerStartError(f"no free port found between {PORT_RANGE[0]} and {PORT_RANGE[1]}")


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now; connections that only fade do not count."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError:
            return False
    return True


def wait_until(condition: Callable[[], bool], deadline_s: float) -> bool:
    """Ask `condition` until it is true; False when it is not within `deadline_s` seconds."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step, mode 0600 from the first byte on."""
    fresh = path.with_name(path.name + ".fresh")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600, exist_ok=False)
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
