"""Supervision: what ends is started again, what keeps ending soon is given up, and nobody outlives a stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.errors import SettingError
from streams.pipeline import Pipeline, Role, check_processes, wait_until
from streams.settings import Settings

ROOT = Path(__file__).parents[3]


class Stand:
    """`supervise` in a process, with scripts in place of the roles; each notes its role, port and pid as it starts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._notes = folder / "notes"
        self._notes.touch()

    def start(self, roles: list[str], child: str) -> subprocess.Popen[str]:
        note = (
            "import os, sys, time, signal; notes, role = sys.argv[1:]\n"
            "with open(notes, 'a') as f: f.write(f'{role} {os.environ[\"MILLRACE_METRICS_PORT\"]} {os.getpid()}\\n')\n"
        )
        code = (
            "import signal, sys\n"
            "from streams import pipeline\n"
            "from streams.pipeline import Role, supervise\n"
            "from streams.settings import Settings\n"
            "pipeline.RESTART_S, pipeline.MOST_RESTART_S = 0.01, 0.05\n"
            f"def command(role): return [sys.executable, '-c', {note + child!r}, {str(self._notes)!r}, role.value]\n"
            "Role.command = property(command)\n"
            f"roles = [Role(name) for name in {roles!r}]\n"
            "settings = Settings(metrics_port=9100, drain_s=2.0)\n"
            "sys.exit(supervise(roles, settings, (signal.SIGTERM, signal.SIGINT)))\n"
        )
        return subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )

    def notes(self) -> list[tuple[str, int, int]]:
        lines = [line.split() for line in self._notes.read_text().splitlines()]
        return [(role, int(port), int(pid)) for role, port, pid in lines]

    def await_starts(self, count: int) -> None:
        wait_until(lambda: len(self.notes()) >= count, 30, f"{count} starts")


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path)


def test_every_process_has_a_metrics_port_of_its_own_in_the_order_of_the_roles(stand: Stand) -> None:
    supervisor = stand.start(["redact", "redact", "curate", "overflow"], "time.sleep(60)")
    stand.await_starts(4)
    supervisor.terminate()
    supervisor.communicate(timeout=30)
    ports = sorted((port, role) for role, port, _ in stand.notes())
    assert ports == [(9100, "redact"), (9101, "redact"), (9102, "curate"), (9103, "overflow")]


def test_a_process_that_dies_is_started_again_and_the_others_go_on(stand: Stand) -> None:
    supervisor = stand.start(["redact", "curate"], "time.sleep(60)")
    stand.await_starts(2)
    (victim,) = [pid for role, _, pid in stand.notes() if role == "redact"]
    os.kill(victim, signal.SIGKILL)
    stand.await_starts(3)
    supervisor.terminate()
    _, err = supervisor.communicate(timeout=30)
    assert [role for role, _, _ in stand.notes()].count("curate") == 1
    assert [role for role, _, _ in stand.notes()].count("redact") == 2
    assert "a process ended and is started again" in err


def test_one_that_keeps_ending_soon_after_its_start_ends_all_with_its_status_and_a_message(stand: Stand) -> None:
    supervisor = stand.start(["redact", "curate"], "sys.exit(7) if role == 'redact' else time.sleep(60)")
    _, err = supervisor.communicate(timeout=60)
    assert supervisor.returncode == 7
    assert "giving up" in err
    assert [role for role, _, _ in stand.notes()].count("redact") == 5
    assert all(not Path(f"/proc/{pid}").exists() for _, _, pid in stand.notes())


def test_a_stop_is_passed_on_and_all_that_ended_well_is_well(stand: Stand) -> None:
    polite = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nwhile True: time.sleep(0.01)"
    supervisor = stand.start(["redact", "curate"], polite)
    stand.await_starts(2)
    time.sleep(0.5)  # until their handlers stand
    supervisor.terminate()
    supervisor.communicate(timeout=30)
    assert supervisor.returncode == 0


def test_what_does_not_obey_is_killed_after_its_time_and_a_second_signal_kills_at_once(stand: Stand) -> None:
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(0.01)"
    supervisor = stand.start(["redact"], deaf)
    stand.await_starts(1)
    time.sleep(0.5)
    supervisor.terminate()
    supervisor.communicate(timeout=30)
    assert supervisor.returncode == signal.SIGKILL

    supervisor = stand.start(["curate"], deaf)
    stand.await_starts(2)
    time.sleep(0.5)
    supervisor.terminate()
    time.sleep(0.3)
    told = time.monotonic()
    supervisor.terminate()
    supervisor.communicate(timeout=30)
    assert supervisor.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - told < 1.5
    wait_until(lambda: all(not Path(f"/proc/{pid}").exists() for _, _, pid in stand.notes()), 10, "their ends")


def test_state_in_a_file_allows_one_process_of_curate_and_the_error_says_so(tmp_path: Path) -> None:
    settings = Settings(state_file="state.sqlite")
    check_processes(settings, 1)
    check_processes(Settings(), 8)
    with pytest.raises(SettingError, match=r"MILLRACE_STATE_FILE.*one process of curate, not 2"):
        check_processes(settings, 2)
    with pytest.raises(SettingError):
        Pipeline(settings, tmp_path, processes=2)


def test_an_embedded_run_has_no_overflow(tmp_path: Path) -> None:
    embedded = Pipeline(Settings(embedded_topic_ids=("a=b",)), tmp_path)
    assert Role.OVERFLOW not in embedded.roles
    assert list(Pipeline(Settings(), tmp_path).roles) == list(Role)
