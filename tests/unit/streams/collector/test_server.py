from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from streams.brokers import EmbeddedBroker
from streams.collector.keys import KeyFile
from streams.collector.server import listen, registry_problem, serve, watch
from streams.errors import KeyFileError, RegistryUnavailable, SettingError
from streams.metrics import Health
from streams.settings import Settings, environment

from .conftest import NOW

SERVE = "from streams import settings; from streams.collector.server import serve; serve(settings.load())"
EVENT = b'{"event_id": "e1", "interaction_id": "i1", "score": {"method": "thumbs", "value": "up"}}'


class Running(NamedTuple):
    process: subprocess.Popen[str]
    port: int
    key: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running(folder: Path, bootstrap: str) -> Iterator[Running]:
    """The collector as a process of its own, listening."""
    keys = folder / "keys.json"
    key = KeyFile(keys).create("acme", "test", "write", NOW)
    settings = Settings(kafka_bootstrap=bootstrap, collector_port=0, collector_keys_file=str(keys), collector_ack_s=0.5)
    environ = os.environ | environment(settings) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, "-c", SERVE]
    with subprocess.Popen(arguments, env=environ, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            lines = (json.loads(line) for line in process.stderr)
            port = next(line["port"] for line in lines if line["message"] == "listening")
            threading.Thread(target=process.stderr.read, daemon=True).start()  # a full pipe would stop it
            yield Running(process, port, key)
        finally:
            process.kill()


def test_without_kafka_it_starts_and_says_not_ready_and_503_and_ends_on_sigterm(tmp_path: Path) -> None:
    with running(tmp_path, "127.0.0.1:1") as collector, httpx2.Client(base_url=collector.url) as http:
        assert http.get("/healthz").status_code == 200
        assert http.get("/readyz").status_code == 503
        response = http.post("/v1/events", content=EVENT, headers={"X-API-Key": collector.key})
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        collector.process.send_signal(signal.SIGTERM)
        assert collector.process.wait(20) == 0


def test_on_sigterm_the_request_in_flight_is_answered_and_new_ones_are_not_taken(tmp_path: Path) -> None:
    broker = EmbeddedBroker()
    head = "POST /v1/events HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\nContent-Length: {}\r\n\r\n"
    with (
        running(tmp_path, broker.bootstrap) as collector,
        socket.create_connection(("127.0.0.1", collector.port)) as connection,
    ):
        connection.sendall(head.format(collector.key, len(EVENT)).encode() + EVENT[:10])
        # Connections are accepted in order: when this answer is there, the one above has been taken.
        assert httpx2.get(f"{collector.url}/healthz").status_code == 200
        collector.process.send_signal(signal.SIGTERM)
        refused = False
        while not refused:
            try:
                socket.create_connection(("127.0.0.1", collector.port)).close()
            except ConnectionError:
                refused = True
        connection.sendall(EVENT[10:])
        assert connection.recv(65_536).startswith(b"HTTP/1.1 202")
        assert collector.process.wait(20) == 0


def test_readiness_follows_what_kafka_answers() -> None:
    health, stopping = Health(), threading.Event()
    seen: list[str | None] = []
    answers = iter(["away", None, "away again"])

    def problem(_timeout_s: float) -> str | None:
        seen.append(health.problem)
        answer = next(answers, "end")
        if answer == "end":
            stopping.set()
        return answer

    watch(problem, health, stopping, every_s=0)
    assert seen == ["starting", "away", None, "away again"]


def test_a_broken_key_file_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(KeyFileError):
        serve(Settings(collector_keys_file=str(tmp_path / "keys.json")))


def test_an_address_that_is_taken_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(collector_port=taken.getsockname()[1], collector_keys_file=str(tmp_path / "keys.json"))
        with pytest.raises(SettingError, match="MILLRACE_COLLECTOR_PORT"):
            serve(settings)


def test_answers_are_not_held_back_for_the_senders_delayed_acknowledgement() -> None:
    with listen(Settings(collector_port=0)) as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


class _Registry:
    def __init__(self, *, away: bool) -> None:
        self._away = away

    def id_of(self, subject: str) -> int:
        assert subject == "feedback_event"
        if self._away:
            raise RegistryUnavailable("ConnectError")
        return 1

    def text_of(self, schema_id: int) -> str:
        raise AssertionError("the collector reads no schema")


def test_a_schema_registry_that_is_away_is_a_reason_not_to_be_ready() -> None:
    assert registry_problem(_Registry(away=True)) == "schema registry: ConnectError"
    assert registry_problem(_Registry(away=False)) is None
