"""What only whole processes show: their ends, orderly or not, their forks, and a folder that they share.

Each script runs in an interpreter of its own against a collector on a real socket.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import millrace_client
import pytest
from millrace_client import Answer
from millrace_client.testing import Event, verdicts

from tests.unit.client.http_collector import HttpCollector

AWAY = "http://127.0.0.1:9"
"""Port 9 (discard): nobody listens."""

PRELUDE = r"""
import os, signal, sys, time
from millrace_client import FeedbackClient

def until(condition):
    while not condition():
        time.sleep(0.001)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())  # in one piece, so that processes do not mix

def kept():
    stats = client.stats()
    return stats.queued == 0 and stats.spooled == stats.taken + stats.adopted - stats.sent

client = FeedbackClient(exit_timeout_s=20)
"""

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Start a script whose `client` has that URL and the test's spool (or none)."""

    def start(script: str, url: str, spool: bool = True) -> subprocess.Popen[str]:
        prelude = PRELUDE if not spool else PRELUDE.replace("(exit", f"(spool_dir={str(tmp_path / 'spool')!r}, exit")
        package = Path(millrace_client.__file__).parents[1]
        environment = os.environ | {"MILLRACE_COLLECTOR_URL": url, "PYTHONPATH": str(package)}
        process = subprocess.Popen(
            [sys.executable, "-W", "error::ResourceWarning", "-c", prelude + script],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    started: list[subprocess.Popen[str]] = []
    yield start
    for process in started:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> list[str]:
    """The words that the script said, after its orderly end."""
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return said.split()


def line(process: subprocess.Popen[str]) -> list[str]:
    """The next line that the script says."""
    assert process.stdout is not None
    return process.stdout.readline().split()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("spool", [True, False])
def test_an_app_that_just_ends_has_sent_everything(collector: HttpCollector, run: Run, spool: bool) -> None:
    said = finish(run("say(*[client.score('i', value='up') for _ in range(700)])", collector.url, spool))
    assert collector.ids == said
    assert len(said) == 700


def test_an_app_that_raises_has_sent_everything(collector: HttpCollector, run: Run) -> None:
    process = run("say(client.score('i', value='up')); sys.exit(3)", collector.url)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert collector.ids == said.split()


def test_an_app_may_call_while_it_is_ending(collector: HttpCollector, run: Run) -> None:
    script = """
import atexit
atexit.register(lambda: say(client.score('i', value='up')))
"""
    assert finish(run(script, collector.url)) == collector.ids


def test_an_app_that_ends_during_an_outage_leaves_its_events_to_the_next(collector: HttpCollector, run: Run) -> None:
    left = finish(run("say(*[client.score('i', value='up') for _ in range(50)])", AWAY))
    assert finish(run("say(client.flush(30))", collector.url)) == ["True"]
    assert collector.ids == left


def test_an_app_that_was_killed_leaves_what_it_spooled_to_the_next(collector: HttpCollector, run: Run) -> None:
    script = "ids = [client.score('i', value='up') for _ in range(50)]; until(kept); say(*ids); time.sleep(60)"
    process = run(script, AWAY)
    left = line(process)
    kill(process)
    assert finish(run("say(client.flush(30))", collector.url)) == ["True"]
    assert collector.ids == left


def test_an_app_killed_between_answer_and_note_sends_no_more_than_one_batch_twice(
    collector: HttpCollector, run: Run
) -> None:
    go = threading.Event()
    process: subprocess.Popen[str]

    def kill_before_the_second_answer(events: Sequence[Event]) -> Answer:
        assert go.wait(60)
        if len(collector.requests) == 2:
            kill(process)
        return verdicts(events)

    collector.respond = kill_before_the_second_answer
    script = "ids = [client.score('i', value='up') for _ in range(1500)]; until(kept); say(*ids); time.sleep(60)"
    process = run(script, collector.url)
    spooled = line(process)
    go.set()
    process.wait(60)
    finish(run("client.flush(30)", collector.url))
    times = Counter(collector.ids)
    assert set(times) == set(spooled)
    assert sum(times.values()) == 2000


def test_a_forked_child_sends_its_own_events_and_not_its_parents(collector: HttpCollector, run: Run) -> None:
    """The parent is away from the collector, so whatever of its events arrives was sent by the child."""
    script = f"""
client._transport._url = {AWAY + "/"!r}
say(*[client.score('parent', value='up') for _ in range(20)])
until(kept)
client.score('parent', value='up')
pid = os.fork()
if pid == 0:
    client._transport._url = {collector.url + "/v1/events"!r}
    assert client.stats().taken == 0
    say(*[client.score('child', value='up') for _ in range(20)])
    assert client.flush(30)
    assert client.stats().sent == 20, client.stats()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert client.stats().sent == 0
"""
    said = finish(run(script, collector.url))
    assert collector.ids == said[20:]
    finish(run("client.flush(30)", collector.url))
    assert collector.ids[20:40] == said[:20]
    assert max(Counter(collector.ids).values()) == 1


def test_a_child_that_outlives_its_parent_does_not_hold_its_inheritance_back(
    collector: HttpCollector, run: Run
) -> None:
    script = """
ids = [client.score('parent', value='up') for _ in range(20)]
until(kept)
pid = os.fork()
if pid == 0:
    os.close(1)
    time.sleep(60)
    os._exit(0)
say(pid, *ids)
time.sleep(60)
"""
    parent = run(script, AWAY)
    child, *left = line(parent)
    try:
        kill(parent)
        assert finish(run("say(client.flush(30))", collector.url)) == ["True"]
        assert collector.ids == left
    finally:
        os.kill(int(child), signal.SIGKILL)


def test_workers_forked_from_a_preloaded_app_each_send_exactly_their_own(collector: HttpCollector, run: Run) -> None:
    script = """
pids = []
for worker in range(4):
    pid = os.fork()
    if pid == 0:
        say(*[client.score(f'w{worker}', value='up') for _ in range(100)])
        assert client.close(30)
        os._exit(0)
    pids.append(pid)
for pid in pids:
    assert os.waitpid(pid, 0)[1] == 0
"""
    said = finish(run(script, collector.url))
    assert len(said) == 400
    assert sorted(collector.ids) == sorted(said)


def test_processes_that_share_a_folder_through_an_outage_and_a_kill_send_everything_once(
    collector: HttpCollector, run: Run, tmp_path: Path
) -> None:
    collector.respond = lambda events: Answer(503)
    script = """
ids = [client.score('i', value='up') for _ in range(300)]
until(kept)
say(*ids)
sys.stdin.readline()
say(client.flush(60))
"""
    processes = [run(script, collector.url) for _ in range(3)]
    spooled = [event for process in processes for event in line(process)]
    kill(processes.pop())
    collector.respond = verdicts
    processes.append(run("say(client.flush(60))", collector.url))  # adopts what the killed one left
    for process in processes:
        assert finish(process) == ["True"]
    assert Counter(collector.ids) == Counter(spooled)
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_sibling_that_lives_on_sends_what_a_killed_worker_left(collector: HttpCollector, run: Run) -> None:
    script = """
import millrace_client.sender
millrace_client.sender.ADOPT_EVERY_S = 0.01
client.score('mine', value='up')
assert client.flush(30)
say('ready')
until(lambda: client.stats().sent == 21)
"""
    sibling = run(script, collector.url)
    assert line(sibling) == ["ready"]
    worker = run(
        "ids = [client.score('i', value='up') for _ in range(20)]; until(kept); say(*ids); time.sleep(60)",
        AWAY,
    )
    left = line(worker)
    kill(worker)
    finish(sibling)
    assert collector.ids[1:] == left
