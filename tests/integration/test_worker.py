"""Agents as processes that hang, are frozen, told to stop and flooded; on a real Kafka."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer

from deploy.local.process import free_port, port_is_free
from schemas.codec import Codec
from schemas.events import FeedbackEvent, Score
from streams.brokers import GaplessProducer, GroupProgress, Outgoing, client_config, create_topics
from streams.errors import BrokerUnavailable
from streams.pipeline import wait_until
from streams.redaction.sealing import new_key_pair
from streams.settings import Settings, environment
from streams.watchdog import EXIT_FATAL, EXIT_UNDRAINED
from tests.servers import Servers

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0
STALL_S = 6.0


class Agent:
    """`tests.integration.odd_agent` as a process."""

    def __init__(self, settings: Settings, how: str, log: Path) -> None:
        self._url = f"http://127.0.0.1:{(port := free_port())}"
        self._log = log
        self._out = log.with_suffix(".out")
        own = environment(msgspec.structs.replace(settings, metrics_port=port))
        with log.open("ab") as err, self._out.open("ab") as out:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.odd_agent", how],
                cwd=ROOT,
                env={**os.environ, **own, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
                stdout=out,
                stderr=err,
            )

    def readiness(self) -> str:
        """What `/readyz` says; empty while nobody answers."""
        try:
            with urllib.request.urlopen(f"{self._url}/readyz", timeout=10) as answer:
                return str(answer.read().decode().strip())
        except urllib.error.HTTPError as refused:
            return refused.read().decode().strip()
        except OSError:
            return ""

    def await_ready(self) -> None:
        wait_until(lambda: self.readiness() == "ready", DEADLINE_S, "a ready agent")

    def resident_bytes(self) -> int:
        pages = Path(f"/proc/{self.child.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def batches(self) -> list[tuple[int, int]]:
        """Records and bytes of each batch that was begun."""
        return [(int(line.split()[0]), int(line.split()[1])) for line in self._out.read_text().splitlines()]

    def log(self) -> str:
        return self._log.read_text()


class Stand:
    """Topics of its own, and the agents that read them."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self._folder = folder
        self._agents: list[Agent] = []
        self._producer = GaplessProducer(settings)
        self._progress = GroupProgress(settings, f"{settings.topic_prefix}-redact")
        create_topics(settings)

    def start(self, how: str, **changed: float) -> Agent:
        settings = msgspec.structs.replace(self.settings, **changed)
        agent = Agent(settings, how, self._folder / f"{len(self._agents)}.log")
        self._agents.append(agent)
        return agent

    def produce(self, count: int, value: bytes = b"x") -> None:
        topic = self.settings.topic("events")
        self._producer.deliver([Outgoing(topic, b"%d" % number, value) for number in range(count)])

    def behind(self) -> int:
        return self._progress.behind(self.settings.topic("events"))

    def await_no_lag(self) -> None:
        wait_until(self._has_no_lag, DEADLINE_S, "the lag to become 0")

    def _has_no_lag(self) -> bool:
        try:
            return self.behind() == 0
        except BrokerUnavailable:
            return False  # a coordinator that was away chooses itself anew

    def close(self) -> None:
        for agent in self._agents:
            agent.child.kill()
            agent.child.wait()
        self._progress.close()


@pytest.fixture
def stand(servers: Servers, tmp_path: Path) -> Iterator[Stand]:
    prefix = f"t{secrets.token_hex(4)}"
    settings = Settings(
        kafka_bootstrap=servers.kafka.bootstrap,
        topic_prefix=prefix,
        sources=(f"{prefix}.events",),
        topic_partitions=2,
        batch_events=10,
        hash_key="k" * 32,
        deadletter_public_keys=("none",),
        stall_s=STALL_S,
    )
    made = Stand(settings, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("how", "reason"),
    [("batch", "a batch does not end"), ("loop", "the event loop is blocked"), ("fetch", "has records, and none is")],
)
def test_an_agent_that_stalls_is_first_not_ready_with_the_reason_and_then_ends_having_committed_nothing(
    stand: Stand, how: str, reason: str
) -> None:
    agent = stand.start(how)
    agent.await_ready()
    stand.produce(20)
    seen: list[str] = []

    def ended() -> bool:
        seen.append(agent.readiness())
        return agent.child.poll() is not None

    wait_until(ended, DEADLINE_S, "the end of the agent")
    assert agent.child.returncode == EXIT_FATAL, agent.log()
    assert any(each.startswith("stalled for") and reason in each for each in seen), seen
    assert stand.behind() == 20


def test_an_agent_with_nothing_to_do_is_no_stall(stand: Stand) -> None:
    agent = stand.start("0")
    agent.await_ready()
    idle_until = time.monotonic() + 2 * STALL_S
    while time.monotonic() < idle_until:
        assert agent.readiness() == "ready"
        time.sleep(0.2)
    stand.produce(5)
    stand.await_no_lag()


def test_records_of_an_open_transaction_are_not_there_yet_and_no_stall(stand: Stand) -> None:
    agent = stand.start("0")
    agent.await_ready()
    producer = Producer({**client_config(stand.settings), "transactional.id": stand.settings.topic_prefix})
    producer.init_transactions(30)
    producer.begin_transaction()
    for number in range(20):
        producer.produce(stand.settings.topic("events"), b"x", b"%d" % number)
    producer.flush(30)
    idle_until = time.monotonic() + 2 * STALL_S
    while time.monotonic() < idle_until:
        assert agent.readiness() == "ready"
        time.sleep(0.2)
    assert agent.batches() == []
    producer.commit_transaction(30)
    wait_until(lambda: sum(records for records, _ in agent.batches()) == 20, DEADLINE_S, "all to be read")


def test_while_kafka_is_away_an_agent_is_not_ready_but_lives_and_goes_on_afterwards(
    stand: Stand, servers: Servers
) -> None:
    agent = stand.start("0")
    agent.await_ready()
    stand.produce(50)
    stand.await_no_lag()
    servers.kafka.pause()
    try:
        wait_until(lambda: "Kafka does not answer" in agent.readiness(), DEADLINE_S, "the agent to notice")
        time.sleep(2 * STALL_S)  # what is waited for is that nothing happens
        assert agent.child.poll() is None, agent.log()
    finally:
        servers.kafka.resume()
    stand.produce(50)
    stand.await_no_lag()
    agent.await_ready()


def test_an_agent_frozen_until_its_partitions_have_moved_commits_nothing_of_theirs_when_it_wakes(stand: Stand) -> None:
    zombie = stand.start("2", stall_s=60.0)
    zombie.await_ready()
    stand.produce(10)
    wait_until(lambda: bool(zombie.batches()), DEADLINE_S, "a batch to begin")
    zombie.child.send_signal(signal.SIGSTOP)
    owner = stand.start("0", stall_s=60.0)  # Kafka waits for the zombie for longer than `STALL_S`
    stand.produce(200)
    stand.await_no_lag()
    before = len(owner.batches())
    zombie.child.send_signal(signal.SIGCONT)
    stand.produce(100)
    stand.await_no_lag()
    assert sum(records for records, _ in owner.batches()) + sum(records for records, _ in zombie.batches()) >= 310
    assert len(owner.batches()) >= before
    assert zombie.child.poll() in (None, EXIT_FATAL, 1), zombie.log()


def test_sigterm_ends_the_batch_in_hand_acknowledges_it_and_begins_no_other(stand: Stand) -> None:
    agent = stand.start("3")
    agent.await_ready()
    stand.produce(100)
    wait_until(lambda: bool(agent.batches()), DEADLINE_S, "a batch to begin")
    agent.child.terminate()
    assert agent.child.wait(20) == 0, agent.log()
    assert stand.behind() == 100 - sum(records for records, _ in agent.batches())
    assert len(agent.batches()) == 1


def test_a_batch_that_outlasts_the_drain_is_left_unacknowledged_with_a_status_that_says_so(stand: Stand) -> None:
    agent = stand.start("30", drain_s=2.0, stall_s=60.0)
    agent.await_ready()
    stand.produce(10)
    wait_until(lambda: bool(agent.batches()), DEADLINE_S, "a batch to begin")
    told = time.monotonic()
    agent.child.terminate()
    assert agent.child.wait(20) == EXIT_UNDRAINED, agent.log()
    assert time.monotonic() - told < 10
    assert stand.behind() == 10


def test_a_second_signal_ends_the_agent_at_once(stand: Stand) -> None:
    agent = stand.start("30", stall_s=60.0)
    agent.await_ready()
    stand.produce(10)
    wait_until(lambda: bool(agent.batches()), DEADLINE_S, "a batch to begin")
    agent.child.terminate()
    wait_until(lambda: agent.readiness() == "stopping", DEADLINE_S, "the first to be taken")
    told = time.monotonic()
    agent.child.terminate()
    assert agent.child.wait(20) == 128 + signal.SIGTERM
    assert time.monotonic() - told < 2
    assert stand.behind() == 10


def test_an_agent_that_shall_stop_while_kafka_is_away_ends_within_its_time(stand: Stand, servers: Servers) -> None:
    agent = stand.start("0", drain_s=5.0, stall_s=60.0)
    agent.await_ready()
    stand.produce(10)
    stand.await_no_lag()
    servers.kafka.pause()
    try:
        told = time.monotonic()
        agent.child.terminate()
        assert agent.child.wait(30) in (0, EXIT_UNDRAINED), agent.log()
        assert time.monotonic() - told < 12
    finally:
        servers.kafka.resume()


def test_an_agent_ends_when_its_parent_is_gone(stand: Stand) -> None:
    """The parent is a shell that is killed."""
    settings = stand.settings
    command = f"{sys.executable} -m tests.integration.odd_agent 0 & echo $!; wait"
    with subprocess.Popen(
        ["sh", "-c", command],
        cwd=ROOT,
        env={**os.environ, **environment(settings), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as shell:
        assert shell.stdout is not None
        pid = int(shell.stdout.readline())
        stand.produce(10)
        stand.await_no_lag()
        shell.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), DEADLINE_S, "the agent's end")


@pytest.mark.timeout(300)
def test_large_events_wait_in_kafka_while_a_slow_agent_s_memory_stays_flat(stand: Stand) -> None:
    """300 events of 1 MB, incompressible; a batch is too heavy by a quarter and one of them at most."""
    limit = 2 << 20
    agent = stand.start("0.5", batch_bytes=limit, batch_events=500, stall_s=120.0)
    agent.await_ready()
    stand.produce(4, os.urandom(1_000_000))
    stand.await_no_lag()
    before = agent.resident_bytes()
    for _ in range(10):
        stand.produce(30, os.urandom(1_000_000))
    largest = 0

    def some_done() -> bool:
        nonlocal largest
        largest = max(largest, agent.resident_bytes())
        return len(agent.batches()) >= 30

    wait_until(some_done, DEADLINE_S, "thirty batches")
    assert max(size for _, size in agent.batches()) <= limit * 5 / 4 + 1_000_000
    assert stand.behind() > 100, "the others are still in Kafka"
    assert largest - before < 80_000_000


@pytest.mark.timeout(300)
def test_several_processes_of_each_agent_share_the_work_and_end_with_their_supervisor(
    stand: Stand, servers: Servers, tmp_path: Path
) -> None:
    """1 all are ready → 2 one is killed and comes back → 3 everything is processed → 4 the supervisor is killed."""
    ports = range(first := free_ports(5), first + 5)
    settings = msgspec.structs.replace(
        stand.settings,
        redis_url=servers.fresh_redis(),
        deadletter_public_keys=(new_key_pair().public,),
        metrics_port=first,
        stall_s=120.0,
        topic_partitions=4,
        topic_prefix=(prefix := f"t{secrets.token_hex(4)}"),
        sources=(f"{prefix}.events",),
    )
    create_topics(settings)
    log = tmp_path / "worker.log"
    with log.open("wb") as err:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "millrace", "worker", "--processes", "2"],
            cwd=ROOT,
            env={**os.environ, **environment(settings), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
            stderr=err,
        )
    try:
        # 1
        wait_until(lambda: all(_ready(port) for port in ports), 120, "five ready processes")
        children = _children(supervisor.pid)
        assert len(children) == 5
        # 2
        os.kill(min(children), signal.SIGKILL)
        wait_until(lambda: not _ready(first), DEADLINE_S, "the first to be gone")
        events = [Outgoing(settings.topic("events"), b"%d" % n, Codec().encode(_thumb(n))) for n in range(200)]
        GaplessProducer(settings).deliver(events)
        wait_until(lambda: all(_ready(port) for port in ports), 120, "five ready processes again")
        assert "a process ended and is started again" in log.read_text()
        # 3
        for agent in ("redact", "curate"):
            progress = GroupProgress(settings, f"{prefix}-{agent}")
            topic = settings.topic("events" if agent == "redact" else "redacted")
            wait_until(lambda: progress.behind(topic) == 0, DEADLINE_S, "no lag")  # noqa: B023
            assert progress.done(topic, 4) == 200
            progress.close()
        # 4
        children = _children(supervisor.pid)
        supervisor.kill()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), DEADLINE_S, "their ends")
    finally:
        children = _children(supervisor.pid)
        supervisor.kill()
        supervisor.wait()
        for pid in children:
            os.kill(pid, signal.SIGKILL)


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = free_port()
        if all(port_is_free(first + number) for number in range(count)):
            return first


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    """Child processes that live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(stat.parent.name))
    return found


def _thumb(number: int) -> FeedbackEvent:
    scores = (Score("thumbs", value=1.0),)
    return FeedbackEvent(event_id=f"e{number}", tenant="acme", interaction_id=f"i{number}", scores=scores)
