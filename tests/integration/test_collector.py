"""The collector as a process in front of a real broker, and the client in front of it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer
from millrace_client import FeedbackClient

from deploy.local.process import free_port
from millrace.made_up import events as made_up
from schemas.codec import Codec
from schemas.events import FeedbackEvent
from schemas.intake import event_to_json
from streams.brokers import client_config, create_topics
from streams.collector.keys import KeyFile
from streams.pipeline import wait_until
from streams.settings import Settings, environment
from tests.servers import Servers

ROOT = Path(__file__).parent.parent.parent
THUMB = {"event_id": "e1", "interaction_id": "i1", "score": {"method": "thumbs", "value": "up"}}


class Collector:
    """`millrace collector` as a child process."""

    def __init__(self, settings: Settings, key: str) -> None:
        self.settings = settings
        self.key = key
        self.url = f"http://127.0.0.1:{settings.collector_port}"
        self.start()

    def start(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "millrace", "collector"],
            env={**os.environ, **environment(self.settings), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: self.get("/readyz") == 200, 60, "a ready collector")

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()

    def stop(self) -> int:
        self._child.send_signal(signal.SIGTERM)
        return self._child.wait(30)

    def get(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            exc.close()
            return exc.code
        except OSError:
            return 0

    def post(self, body: bytes) -> tuple[int, Message, dict[str, Any]]:
        request = urllib.request.Request(
            self.url + "/v1/events", body, {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, json.load(answer)
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.headers, json.load(exc)


@pytest.fixture
def collector(servers: Servers, tmp_path: Path) -> Iterator[Collector]:
    keys = tmp_path / "keys.json"
    key = KeyFile(keys).create("acme", "test", "write", datetime.now(UTC))
    settings = Settings(
        kafka_bootstrap=servers.kafka.bootstrap,
        topic_prefix=f"t{secrets.token_hex(4)}",
        topic_partitions=2,
        collector_port=free_port(),
        collector_keys_file=str(keys),
        collector_ack_s=2.0,
    )
    create_topics(settings)
    collector = Collector(settings, key)
    yield collector
    collector.kill()


def in_kafka(settings: Settings, expected: int) -> list[FeedbackEvent]:
    """Everything in the raw topic, once at least `expected` records came, and whatever follows within a second."""
    consumer = Consumer({**client_config(settings), "group.id": secrets.token_hex(4), "auto.offset.reset": "earliest"})
    consumer.subscribe([settings.topic("events")])
    found: list[FeedbackEvent] = []
    end = time.monotonic() + 60
    try:
        while time.monotonic() < end:
            message = consumer.poll(1.0)
            if message is not None and message.error() is None:
                value = message.value()
                assert value is not None
                found.append(Codec().decode(value, FeedbackEvent))
            elif message is None and len(found) >= expected:
                return found
    finally:
        consumer.close()
    raise AssertionError(f"only {len(found)} of {expected} records came")


def test_an_acknowledged_event_is_in_kafka_with_its_key_s_tenant(collector: Collector) -> None:
    denied, _, answer = collector.post(json.dumps({**THUMB, "tenant": "other"}).encode())
    assert (denied, answer["accepted"]) == (403, 0)
    status, _, answer = collector.post(json.dumps(THUMB).encode())
    assert (status, answer["accepted"]) == (202, 1)
    (event,) = in_kafka(collector.settings, 1)
    assert (event.event_id, event.tenant) == ("e1", "acme")


def test_a_collector_killed_right_after_its_answer_has_lost_nothing(collector: Collector) -> None:
    body = b"\n".join(event_to_json(event) for event in made_up(100))
    _, _, answer = collector.post(body)
    collector.kill()
    assert len(in_kafka(collector.settings, answer["accepted"])) == answer["accepted"]


def test_a_broker_that_is_away_means_503_and_nothing_acknowledged(collector: Collector, servers: Servers) -> None:
    servers.kafka.stop()
    try:
        status, headers, answer = collector.post(json.dumps(THUMB).encode())
        assert (status, answer["accepted"]) == (503, 0)
        assert int(headers["Retry-After"]) > 0
        wait_until(lambda: collector.get("/readyz") == 503, 30, "the collector to say that it is not ready")
        assert collector.get("/healthz") == 200
    finally:
        servers.kafka.start()
    wait_until(lambda: collector.get("/readyz") == 200, 60, "the collector to be ready again")
    status, _, _ = collector.post(json.dumps(THUMB).encode())
    assert status == 202


@pytest.mark.timeout(300)
def test_events_that_the_client_spooled_while_the_broker_was_away_arrive_even_after_a_restart_of_the_app(
    collector: Collector, servers: Servers, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    servers.kafka.stop()
    try:
        with FeedbackClient(collector.url, collector.key, spool_dir=spool, exit_timeout_s=1.0) as app:
            name = app.interaction(instruction="Why?", output="Because.")
            app.score(name, value="up")
            assert not app.flush(timeout_s=3.0)
        assert any(path.stat().st_size for path in spool.rglob("*") if path.is_file())
    finally:
        servers.kafka.start()
    with FeedbackClient(collector.url, collector.key, spool_dir=spool) as restarted:
        wait_until(lambda: restarted.flush(timeout_s=1.0), 90, "the spool to be sent")
    events = in_kafka(collector.settings, 2)
    assert {event.kind for event in events} == {"interaction", "score"}
    assert {event.interaction_id for event in events} == {name}
    assert len({event.event_id for event in events}) == 2


def test_ingest_sends_a_file_whole_and_reports_what_is_refused(collector: Collector, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    lines = [event_to_json(event).decode() for event in made_up(300)]
    file.write_text("\n".join([*lines[:5], "broken", *lines[5:]]))
    done = subprocess.run(
        [sys.executable, "-m", "millrace", "ingest", str(file), "--to", collector.url, "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "MILLRACE_API_KEY": collector.key},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout) == {"accepted": len(lines), "refused": 0, "unreadable": 1}
    assert "line 6: not JSON" in done.stderr
    assert len(in_kafka(collector.settings, len(lines))) == len(lines)


def test_ingest_with_a_wrong_key_says_so(collector: Collector, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps(THUMB))
    done = subprocess.run(
        [sys.executable, "-m", "millrace", "ingest", str(file), "--to", collector.url, "--key", "wrong"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "MILLRACE_API_KEY" in done.stderr) == (2, True)


def test_sigterm_ends_it_well(collector: Collector) -> None:
    assert collector.post(json.dumps(THUMB).encode())[0] == 202
    assert collector.stop() == 0
