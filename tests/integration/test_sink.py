"""Sinks as processes on a broker, killed, frozen and joined by others; audited by entry position."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from deploy.local.process import free_port
from schemas.codec import Codec
from schemas.events import Position
from schemas.reasons import Reason
from streams.brokers import EMBEDDED_PARTITIONS, EmbeddedBroker, GaplessProducer, GroupProgress, Outgoing, create_topics
from streams.lake.query import connect
from streams.pipeline import wait_until
from streams.settings import Settings, environment
from streams.sink_report import SinkReport
from tests.events import redacted
from tests.outcomes import letter, outcome
from tests.servers import Servers

ROOT = Path(__file__).parents[2]
SESSION_MS = 6_000
"""Kafka's own lower bound."""
DEADLINE_S = 60.0
TABLES = {"redacted": ("events",), "curated": ("samples", "rejected"), "deadletter": ("dead_letters",)}


class SinkProcess:
    """A sink in a process of its own."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._port = free_port()
        own = environment(msgspec.structs.replace(settings, metrics_port=self._port))
        self._log = log
        with log.open("ab") as err:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.sink_process", str(SESSION_MS)],
                env={**os.environ, **own, "PYTHONPATH": str(ROOT)},
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=err,
            )

    def signal(self, signum: int) -> None:
        self._child.send_signal(signum)

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()
        self._end()

    def stop(self) -> SinkReport:
        self._child.terminate()
        out, _ = self._child.communicate(timeout=DEADLINE_S)
        assert self._child.returncode == 0, self.log()
        return msgspec.json.decode(out.splitlines()[-1], type=SinkReport)

    def end(self) -> None:
        """Whatever state it is in."""
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        self._end()

    def _end(self) -> None:
        if self._child.stdout is not None:
            self._child.stdout.close()

    def log(self) -> str:
        return self._log.read_text()

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split()[0] == name)

    def ready(self) -> bool:
        assert self._child.poll() is None, self.log()
        try:
            return bool(urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=10).status == 200)
        except OSError:
            return False

    def await_ready(self) -> None:
        wait_until(self.ready, DEADLINE_S, "a ready sink")


class Stand:
    """Topics on a broker, a lake, what was written to the one and landed in the other."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.sinks: list[SinkProcess] = []
        self._folder = folder
        self._producer = GaplessProducer(settings)
        self._progress = GroupProgress(settings, f"{settings.topic_prefix}-sink")
        self._written = 0

    def start(self) -> SinkProcess:
        sink = SinkProcess(self.settings, self._folder / f"sink-{len(self.sinks)}.log")
        self.sinks.append(sink)
        return sink

    def write(self, count: int) -> None:
        """That many events, an outcome and a dead letter for each, spread over the partitions."""
        codec, records = Codec(), []
        now = time.time_ns() // 1_000
        for number in range(self._written, self._written + count):
            partition = number % EMBEDDED_PARTITIONS
            entry = Position("raw", partition, number // EMBEDDED_PARTITIONS)
            rejected = Reason.EMPTY_OUTPUT if number % 3 == 0 else None
            event = redacted(f"e{number}", entry=entry, received_at=now)
            verdict = outcome(f"i{number}", entry=entry, rejected=rejected, received_at=now)
            for topic, record in (("redacted", event), ("curated", verdict), ("deadletter", letter(entry=entry))):
                records.append(Outgoing(self.settings.topic(topic), b"", codec.encode(record), partition))
        self._producer.deliver(records)
        self._written += count

    def write_again(self, count: int) -> None:
        """The last ones once more, as a worker that was killed before it acknowledged."""
        self._written -= count
        self.write(count)

    def landed(self) -> Counter[tuple[str, int, int]]:
        """Rows by logical topic and entry position."""
        found: Counter[tuple[str, int, int]] = Counter()
        with connect(self.settings.lake) as lake:
            for topic, tables in TABLES.items():
                for table in tables:
                    rows = lake.execute(f"SELECT entry_partition, entry_offset FROM {table}").fetchall()
                    found.update((topic, *row) for row in rows)
        return found

    def await_landed(self) -> None:
        """Return when everything written has landed."""
        wait_until(lambda: self.landed().total() >= self._written * len(TABLES), DEADLINE_S, "all rows")

    def audit(self) -> None:
        """Each position is there once in each stream."""
        numbers = range(self._written)
        expected = {(topic, n % EMBEDDED_PARTITIONS, n // EMBEDDED_PARTITIONS) for topic in TABLES for n in numbers}
        assert self.landed() == Counter(expected)

    def behind(self) -> int:
        return sum(self._progress.behind(self.settings.topic(name), EMBEDDED_PARTITIONS) for name in TABLES)

    def close(self) -> None:
        for sink in self.sinks:
            sink.end()
        self._progress.close()


@pytest.fixture(params=["embedded", "kafka"])
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stand]:
    settings = Settings(
        topic_prefix=f"t{secrets.token_hex(4)}",
        sources=(),
        topic_partitions=EMBEDDED_PARTITIONS,
        lake=str(tmp_path / "lake"),
        lake_commit_s=0.5,
    )
    if request.param == "embedded":
        broker = EmbeddedBroker([settings.topic(name) for name in TABLES])
        ids = tuple(f"{settings.topic(name)}={secrets.token_hex(8)}" for name in TABLES)
        settings = msgspec.structs.replace(settings, kafka_bootstrap=broker.bootstrap, embedded_topic_ids=ids)
    else:
        servers: Servers = request.getfixturevalue("servers")
        settings = msgspec.structs.replace(settings, kafka_bootstrap=servers.kafka.bootstrap)
        create_topics(settings)
    stand = Stand(settings, tmp_path)
    yield stand
    stand.close()


def test_everything_lands_and_is_reported(stand: Stand) -> None:
    stand.write(300)
    sink = stand.start()
    stand.await_landed()
    wait_until(lambda: stand.behind() == 0, DEADLINE_S, "committed offsets")
    report = sink.stop()
    stand.audit()
    assert report.rows == {"events": 300, "samples": 200, "rejected": 100, "dead_letters": 300}
    assert report.latency_of("events", "samples").count == 500
    assert report.latency_of("events").quantile(0.99) < DEADLINE_S


@pytest.mark.timeout(300)
def test_a_sink_killed_again_and_again_loses_and_doubles_nothing(stand: Stand) -> None:
    stand.settings = msgspec.structs.replace(stand.settings, lake_commit_rows=100)
    for _ in range(3):
        sink = stand.start()
        sink.await_ready()
        before = stand.landed().total()
        stand.write(400)
        stand.write_again(50)
        wait_until(lambda before=before: stand.landed().total() > before, DEADLINE_S, "a first commit")  # type: ignore[misc]
        sink.kill()
    last = stand.start()
    last.await_ready()
    stand.write(100)
    stand.await_landed()
    last.stop()
    stand.audit()


@pytest.mark.timeout(300)
def test_a_frozen_sink_that_wakes_up_after_its_partitions_moved_adds_no_row(stand: Stand) -> None:
    stand.settings = msgspec.structs.replace(stand.settings, lake_commit_s=3.0)
    zombie = stand.start()
    zombie.await_ready()
    stand.write(200)
    wait_until(lambda: zombie.metric("millrace_sink_oldest_waiting_seconds") > 0, DEADLINE_S, "rows in its buffer")
    zombie.signal(signal.SIGSTOP)
    owner = stand.start()
    stand.write(200)
    stand.await_landed()
    zombie.signal(signal.SIGCONT)
    stand.write(200)
    stand.await_landed()
    rows = Counter(zombie.stop().rows) + Counter(owner.stop().rows)
    stand.audit()
    assert rows == Counter({"events": 600, "samples": 400, "rejected": 200, "dead_letters": 600})
    assert "lost to other sinks" in zombie.log() or "another sink has the partition" in zombie.log()


@pytest.mark.timeout(300)
def test_sinks_that_come_and_go_share_the_work_and_nothing_is_lost_or_doubled(stand: Stand) -> None:
    first = stand.start()
    first.await_ready()
    stand.write(200)
    second = stand.start()
    second.await_ready()
    wait_until(lambda: "given up" in first.log(), DEADLINE_S, "a rebalance")
    stand.write(200)
    stand.await_landed()
    reports = [first.stop()]
    stand.write(200)
    stand.await_landed()
    reports.append(second.stop())
    stand.audit()
    assert all(report.rows["events"] > 0 for report in reports)
    assert sum(report.rows["events"] for report in reports) == 600
