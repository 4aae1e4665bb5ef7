from __future__ import annotations

import gzip
import http.client
import inspect
import json
import socket
import ssl
import threading
import urllib.error
from collections.abc import Sequence

import pytest
from millrace_client import Answer, Unreachable
from millrace_client.testing import Event, verdicts
from millrace_client.transport import HttpTransport, _unreachable

from tests.unit.client.http_collector import HttpCollector

BODY = b'[{"event_id":"e0"}]'
LONG = b'[{"event_id":"e0","text":"' + b"x" * 10_000 + b'"}]'


def test_a_batch_is_posted_to_the_collectors_path_with_the_key(collector: HttpCollector) -> None:
    answer = HttpTransport(collector.url + "/", "s3cret", 5.0).post(BODY)
    assert isinstance(answer, Answer)
    assert answer.status == 202
    assert json.loads(answer.body)["accepted"] == 1
    (headers,) = collector.requests
    assert headers[":path"] == "/v1/events"
    assert headers["authorization"] == "Bearer s3cret"
    assert headers["content-type"] == "application/json"
    assert collector.bodies == [BODY]


def test_no_key_is_no_header(collector: HttpCollector) -> None:
    HttpTransport(collector.url, "", 5.0).post(BODY)
    assert "authorization" not in collector.requests[0]


def test_only_a_large_body_is_compressed(collector: HttpCollector) -> None:
    transport = HttpTransport(collector.url, "", 5.0)
    transport.post(BODY)
    transport.post(LONG)
    assert [headers.get("content-encoding") for headers in collector.requests] == [None, "gzip"]
    assert gzip.decompress(collector.bodies[1]) == LONG
    assert len(collector.bodies[1]) < 1000


def test_a_collector_that_cannot_read_gzip_is_sent_plain_text_from_then_on(collector: HttpCollector) -> None:
    def plain_only(events: Sequence[Event]) -> Answer:
        compressed = collector.requests[-1].get("content-encoding") == "gzip"
        return Answer(415) if compressed else verdicts(events)

    collector.respond = plain_only
    transport = HttpTransport(collector.url, "", 5.0)
    for _ in range(2):
        answer = transport.post(LONG)
        assert isinstance(answer, Answer)
        assert answer.status == 202
    assert [headers.get("content-encoding") for headers in collector.requests] == ["gzip", None, None]


@pytest.mark.parametrize("status", [207, 400, 401, 404, 413, 429, 500, 503])
def test_every_status_is_an_answer_with_its_body(collector: HttpCollector, status: int) -> None:
    collector.respond = lambda events: Answer(status, b"why")
    collector.headers = {"Retry-After": "17"}
    assert HttpTransport(collector.url, "", 5.0).post(BODY) == Answer(status, b"why", "17")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_so_that_the_key_goes_nowhere_else(collector: HttpCollector, status: int) -> None:
    with HttpCollector(lambda events: Answer(status)) as redirecting:
        redirecting.headers = {"Location": collector.url + "/v1/events"}
        answer = HttpTransport(redirecting.url, "s3cret", 5.0).post(BODY)
    assert answer == Answer(status)
    assert collector.requests == []


def test_nobody_listening_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    outcome = HttpTransport(f"http://127.0.0.1:{port}", "", 5.0).post(BODY)
    assert outcome == Unreachable("connect", "ConnectionRefusedError")


def test_a_collector_that_says_nothing_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        outcome = HttpTransport(f"http://127.0.0.1:{port}", "", 0.05).post(BODY)
    assert outcome == Unreachable("timeout", "TimeoutError")


@pytest.mark.parametrize(
    "reply", [b"", b"\x00\x01", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 202 OK\r\nA: " + b"a" * 70_000]
)
def test_a_connection_that_breaks_off_is_no_answer(reply: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        outcome = HttpTransport(f"http://127.0.0.1:{server.getsockname()[1]}", "", 5.0).post(BODY)
        thread.join()
    assert isinstance(outcome, Unreachable)
    assert outcome.cause == "broken"


def test_an_answer_without_end_is_not_read_to_it(collector: HttpCollector) -> None:
    collector.respond = lambda events: Answer(202, b" " * (5 << 20))
    assert HttpTransport(collector.url, "", 5.0).post(BODY) == Answer(202, b"")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "collector.example",
        "ftp://collector.example",
        "http://",
        "http://[",
        "https://host:port",
        "file:///etc",
    ],
)
def test_an_address_that_is_none_is_never_dialled(url: str) -> None:
    assert HttpTransport(url, "", 5.0).post(BODY) == Unreachable("no_url")


def test_a_key_that_no_header_can_hold_is_no_exception(collector: HttpCollector) -> None:
    outcome = HttpTransport(collector.url, "two\nlines", 5.0).post(BODY)
    assert outcome == Unreachable("connect", "ValueError")


def failures() -> list[type[BaseException]]:
    modules = (http.client, urllib.error, socket, ssl)
    found = {
        value
        for module in modules
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, Exception) and value.__module__ == module.__name__ and not value.__name__.startswith("_")
    }
    python = {kind for kind in OSError.__subclasses__() if kind.__module__ == "builtins"}
    answered = {urllib.error.HTTPError}  # an answer with its own way, not a failure
    return sorted((found | python) - answered, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", failures(), ids=lambda kind: kind.__name__)
def test_every_exception_of_the_libraries_below_has_a_meaning(kind: type[BaseException]) -> None:
    assert issubclass(kind, (OSError, http.client.HTTPException, ValueError))
    error = kind.__new__(kind)
    assert isinstance(error, (OSError, http.client.HTTPException, ValueError))
    if isinstance(error, urllib.error.URLError):
        error.reason = TimeoutError()
    assert _unreachable(error).cause in ("connect", "timeout", "broken")
