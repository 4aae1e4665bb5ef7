"""The watchdog: not ready first, then the end; paused time does not count; a signal ends the process in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.metrics import Health
from streams.watchdog import EXIT_FATAL, EXIT_UNDRAINED, Watchdog

ROOT = Path(__file__).parents[3]


class Stand:
    """A watchdog whose time the test moves, with a limit of 10 s."""

    def __init__(self) -> None:
        self.health = Health()
        self.health.ready()
        self.ends: list[tuple[int, str]] = []
        self.watchdog = Watchdog(self.health, 10, lambda status, why: self.ends.append((status, why)))

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.watchdog.look(1)


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_without_a_beat_the_role_is_first_not_ready_with_the_reason_and_then_ends(stand: Stand) -> None:
    stand.watchdog.beat("a batch does not end")
    stand.pass_time(4)
    assert stand.health.problem is None
    stand.pass_time(1)
    assert stand.health.problem == "stalled for 5 s: a batch does not end"
    stand.pass_time(4)
    assert stand.ends == []
    stand.pass_time(1)
    assert stand.ends == [(EXIT_FATAL, "stalled for 10 s: a batch does not end")]


def test_a_beat_in_time_makes_it_ready_again(stand: Stand) -> None:
    stand.watchdog.beat("a")
    stand.pass_time(9)
    assert stand.health.problem is not None
    stand.watchdog.beat("a")
    stand.pass_time(1)
    assert stand.health.problem is None
    assert stand.ends == []


def test_who_rests_or_never_began_is_not_expected_to_beat(stand: Stand) -> None:
    stand.watchdog.beat("a")
    stand.watchdog.rest("a")
    stand.watchdog.renew("b")
    stand.pass_time(100)
    assert stand.health.problem is None
    assert stand.ends == []


def test_each_is_watched_for_itself_and_renewing_counts_only_for_who_is_watched(stand: Stand) -> None:
    stand.watchdog.beat("a")
    for _ in range(20):
        stand.watchdog.beat("b")
        stand.watchdog.renew("a")
        stand.pass_time(1)
    assert stand.ends == []
    for _ in range(9):
        stand.watchdog.beat("b")
        stand.pass_time(1)
    assert [why for _, why in stand.ends] == ["stalled for 10 s: a"]


def test_a_process_that_stood_still_has_the_time_that_was_left(stand: Stand) -> None:
    stand.watchdog.beat("a")
    stand.pass_time(3)
    stand.watchdog.look(3_600)  # SIGSTOP, SIGCONT
    assert stand.ends == []
    assert stand.health.problem == "stalled for 5 s: a"
    stand.watchdog.beat("a")
    stand.watchdog.look(0)
    assert stand.health.problem is None


def test_what_does_not_end_in_time_after_a_stop_ends_with_a_status_of_its_own_and_no_stall_is_looked_for(
    stand: Stand,
) -> None:
    stand.watchdog.beat("a")
    stand.watchdog.stop_within(15)
    stand.pass_time(14)
    assert stand.ends == []
    stand.pass_time(1)
    assert [status for status, _ in stand.ends] == [EXIT_UNDRAINED]


def test_a_process_stops_once_when_its_parent_is_gone(stand: Stand) -> None:
    stopped: list[str] = []
    stand.watchdog.stop_without_parent(os.getppid(), lambda: stopped.append("stopped"))
    stand.pass_time(2)
    assert stopped == []
    stand.watchdog.stop_without_parent(-1, lambda: stopped.append("stopped"))
    stand.pass_time(2)
    assert stopped == ["stopped"]


def _run(code: str) -> subprocess.Popen[str]:
    setup = (
        "import re, sys, time, threading\n"
        "from streams.metrics import Health\n"
        "from streams.watchdog import Watchdog, on_signals\n"
        "def began(watchdog):\n"
        "    watchdog.start(); watchdog.beat('work'); print('began', flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", setup + code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "began\n"
    return child


def test_a_main_thread_that_hangs_does_not_keep_the_process_alive() -> None:
    child = _run("began(Watchdog(Health(), 1.5)); threading.Event().wait()")
    _, err = child.communicate(timeout=30)
    assert child.returncode == EXIT_FATAL
    assert "stalled" in err


def test_nor_does_c_code_that_keeps_python_s_lock() -> None:
    child = _run("began(Watchdog(Health(), 1.5)); re.match('(a|a)*b', 'a' * 60)")
    child.communicate(timeout=60)
    assert child.returncode == 1


def test_nor_does_a_log_that_nobody_reads() -> None:
    code = (
        "import logging\n"
        "class Stuck(logging.Handler):\n"
        "    def emit(self, record): threading.Event().wait()\n"
        "logging.basicConfig(handlers=[Stuck()])\n"
        "began(Watchdog(Health(), 1.5)); threading.Event().wait()"
    )
    child = _run(code)
    child.communicate(timeout=30)
    assert child.returncode == EXIT_FATAL


def test_a_paused_process_that_wakes_goes_on() -> None:
    code = (
        "watchdog = Watchdog(Health(), 8)\n"
        "began(watchdog)\n"
        "for _ in range(40):\n"
        "    time.sleep(0.1); watchdog.beat('work')\n"
    )
    child = _run(code)
    child.send_signal(signal.SIGSTOP)
    time.sleep(10)  # longer than the limit, shorter than the interpreter's own timer
    child.send_signal(signal.SIGCONT)
    child.communicate(timeout=30)
    assert child.returncode == 0


def test_the_first_signal_stops_and_the_second_ends_at_once() -> None:
    code = (
        "watchdog = Watchdog(Health(), 60)\n"
        "on_signals(lambda: print('told', flush=True), watchdog, 60)\n"
        "began(watchdog)\n"
        "threading.Event().wait()"
    )
    child = _run(code)
    assert child.stdout is not None
    child.send_signal(signal.SIGTERM)
    assert child.stdout.readline() == "told\n"
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=30)
    assert child.returncode == 128 + signal.SIGINT


def test_what_was_told_to_stop_and_does_not_ends_after_its_time() -> None:
    code = (
        "watchdog = Watchdog(Health(), 60)\n"
        "on_signals(lambda: None, watchdog, 1)\n"
        "began(watchdog)\n"
        "threading.Event().wait()"
    )
    child = _run(code)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=30)
    assert child.returncode == EXIT_UNDRAINED
