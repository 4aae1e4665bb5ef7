"""A lake on S3 that loses answers, freezes and goes away."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import msgspec
import pytest

from schemas.tables import EVENTS, event_row
from streams.brokers import EMBEDDED_PARTITIONS, EmbeddedBroker
from streams.errors import CommitStateUnknown, StreamError
from streams.lake.delta import DeltaLake
from streams.lake.ports import Lane, ReadPartition
from streams.pipeline import wait_until
from streams.replays import Progress
from streams.settings import Settings
from streams.sink_table import SinkTable
from tests.events import redacted
from tests.integration.test_sink import DEADLINE_S, ROOT, TABLES, Stand
from tests.servers import Servers

READ = ReadPartition("T", "redacted", 0)


@pytest.fixture
def lossy_lake(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A lake on S3 of which every third answer to a commit is lost."""
    root = servers.fresh_lake(monkeypatch)
    port = urlparse(os.environ["AWS_ENDPOINT_URL"]).port
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.lossy_proxy", str(port), "3"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as proxy:
        assert proxy.stdout is not None
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{int(proxy.stdout.readline())}")
        yield root
        proxy.kill()


def test_commits_whose_answer_was_lost_are_found_and_not_repeated(lossy_lake: str) -> None:
    table = SinkTable(DeltaLake(lossy_lake).create(EVENTS))
    table.open(Progress(READ, table.store.watermarks(), 0))
    unknown = 0
    for offset in range(12):
        table.offer(READ, offset, Lane("raw", 0), offset, event_row(redacted(f"e{offset}", at=offset)), 1)
        while table.waiting_rows:
            try:
                table.commit()
            except CommitStateUnknown:
                unknown += 1
    assert unknown >= 3
    assert table.rows == 12
    landed = DeltaLake(lossy_lake).create(EVENTS).dataset().to_table(columns=["entry_offset"])
    assert sorted(landed.column("entry_offset").to_pylist()) == list(range(12))


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
