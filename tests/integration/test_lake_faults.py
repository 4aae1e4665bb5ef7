"""A lake on S3 that loses answers, freezes and goes away."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from schemas.tables import EVENTS, event_row
from streams.brokers import EMBEDDED_PARTITIONS, EmbeddedBroker
from streams.errors import CommitStateUnknown, LakeUnavailable, StreamError
from streams.lake.delta import DeltaLake
from streams.lake.ports import Lane, ReadPartition
from streams.pipeline import wait_until
from streams.replays import Progress
from streams.settings import Settings
from streams.sink_table import SinkTable
from tests.chaos.s3_proxy import Trouble
from tests.events import redacted
from tests.integration.test_sink import DEADLINE_S, ROOT, TABLES, Stand
from tests.servers import Servers

READ = ReadPartition("T", "redacted", 0)


class Proxy:
    """An S3 that can be made to fail, in a process of its own."""

    def __init__(self, target_port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.s3_proxy", str(target_port)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self._answer()

    def make(self, trouble: Trouble, requests: int) -> int:
        """Make that trouble for so many requests; how many ran into trouble so far."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{trouble} {requests}\n")
        self._process.stdin.flush()
        return int(self._answer())

    def close(self) -> None:
        with self._process:
            self._process.kill()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("trouble", [Trouble.ERROR, Trouble.SLOW_DOWN, Trouble.RESET, Trouble.LOST_ANSWER])
def test_whatever_s3_answers_each_row_lands_once(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, trouble: Trouble
) -> None:
    """500, 503 SlowDown, reset connections, and answers that are lost after the write was carried out."""
    lake = servers.fresh_lake(monkeypatch)
    proxy = Proxy(servers.s3.port)
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        table = SinkTable(DeltaLake(lake).create(EVENTS))
        table.open(Progress(READ, table.store.watermarks(), 0))
        failed = set[str]()
        for offset in range(12):
            proxy.make(trouble, 1)
            table.offer(READ, offset, Lane("raw", 0), offset, event_row(redacted(f"e{offset}", at=offset)), 1)
            while table.waiting_rows:
                try:
                    table.commit()
                except (CommitStateUnknown, LakeUnavailable) as exc:
                    failed.add(type(exc).__name__)  # the sink waits and calls again
        assert proxy.make(trouble, 0) >= 6
        assert "CommitStateUnknown" in failed or trouble is not Trouble.LOST_ANSWER
        assert table.rows == 12
        landed = DeltaLake(lake).create(EVENTS).dataset().to_table(columns=["entry_offset"])
        assert sorted(landed.column("entry_offset").to_pylist()) == list(range(12))
    finally:
        proxy.close()


@pytest.fixture
def stand(servers: Servers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stand]:
    """Sinks between an embedded broker and a lake on S3."""
    broker = EmbeddedBroker([f"feedback.{name}" for name in TABLES])
    settings = Settings(
        kafka_bootstrap=broker.bootstrap,
        sources=(),
        topic_partitions=EMBEDDED_PARTITIONS,
        lake=servers.fresh_lake(monkeypatch),
        lake_commit_s=0.5,
        embedded_topic_ids=tuple(f"feedback.{name}={secrets.token_hex(8)}" for name in TABLES),
    )
    stand = Stand(settings, tmp_path)
    yield stand
    stand.close()


@pytest.mark.timeout(300)
def test_while_s3_is_away_the_sink_waits_with_flat_memory_and_goes_on_by_itself(stand: Stand, servers: Servers) -> None:
    stand.settings = msgspec.structs.replace(stand.settings, lake_commit_rows=500)
    sink = stand.start()
    sink.await_ready()
    stand.write(200)
    stand.await_landed()
    before = sink.metric("process_resident_memory_bytes")
    servers.s3.stop()
    try:
        for _ in range(5):
            stand.write(600)
        wait_until(lambda: sink.metric("millrace_sink_stalled_seconds") > 8, DEADLINE_S, "a stalled sink")
        assert not sink.ready()
        assert stand.behind() > 3_000, "no offset is committed for what has not landed"
        assert sink.metric("process_resident_memory_bytes") - before < 100_000_000
    finally:
        servers.s3.start()
    stand.await_landed()
    wait_until(sink.ready, DEADLINE_S, "a sink that is ready again")
    sink.stop()
    stand.audit()


@pytest.mark.timeout(300)
def test_a_sink_waits_for_a_lake_that_is_away_when_it_starts(stand: Stand, servers: Servers) -> None:
    servers.s3.stop()
    try:
        sink = stand.start()
        stand.write(10)
        wait_until(lambda: "waiting for the lake" in sink.log(), DEADLINE_S, "a log line that says so")
    finally:
        servers.s3.start()
    stand.await_landed()
    sink.stop()
    stand.audit()


def test_it_is_no_lake_when_the_storage_refuses(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StreamError):
        DeltaLake(stand.settings.lake).create(EVENTS)
