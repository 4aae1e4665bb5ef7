"""The proxy fails as it is told, and carries everything else unchanged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy.local.process import free_port
from tests.chaos.s3_proxy import S3Proxy, Trouble

COMMIT = "/b/lake/events/_delta_log/00000000000000000003.json"


class Store:
    """A server that keeps what is put."""

    def __init__(self) -> None:
        self.puts: list[tuple[str, bytes, str]] = []
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                store.puts.append((self.path, body, self.headers["Host"]))
                self._answer(b"kept")

            def do_GET(self) -> None:
                self._answer(b"x" * 100_000)

            def do_HEAD(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "77")
                self.end_headers()

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("ETag", "e")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.server.shutdown()
    store.server.server_close()


@pytest.fixture
def proxy(store: Store) -> Iterator[S3Proxy]:
    proxy = S3Proxy(store.server.server_port)
    yield proxy
    proxy.close()


def ask(proxy: S3Proxy, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes, str | None]:
    """Status, body and content length; status 0 where there was no answer."""
    import http.client

    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers["Content-Length"]
    except (OSError, http.client.HTTPException):
        return 0, b"", None
    finally:
        connection.close()


def test_without_trouble_requests_and_answers_go_through_as_they_are(proxy: S3Proxy, store: Store) -> None:
    assert ask(proxy, "PUT", "/b/key?x=%2F", b"body" * 50_000) == (200, b"kept", "4")
    assert store.puts == [("/b/key?x=%2F", b"body" * 50_000, proxy.url.removeprefix("http://"))]
    assert ask(proxy, "GET", "/b/key") == (200, b"x" * 100_000, "100000")
    assert ask(proxy, "HEAD", "/b/key") == (200, b"", "77")


def test_a_chunked_request_arrives_whole(proxy: S3Proxy, store: Store) -> None:
    import http.client

    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=10)
    connection.request("PUT", "/b/key", iter([b"one", b"two"]), encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    assert store.puts[0][1] == b"onetwo"


def test_a_commit_whose_answer_is_lost_has_landed(proxy: S3Proxy, store: Store) -> None:
    proxy.trouble = Trouble.LOST_ANSWER
    assert ask(proxy, "PUT", COMMIT, b"commit")[0] == 0
    assert [path for path, *_ in store.puts] == [COMMIT]
    assert proxy.troubled[Trouble.LOST_ANSWER] == 1


def test_errors_hit_some_requests_of_which_some_were_carried_out_all_the_same(proxy: S3Proxy, store: Store) -> None:
    proxy.trouble = Trouble.ERROR
    statuses = [ask(proxy, "PUT", "/b/key", b"x")[0] for _ in range(60)]
    assert set(statuses) == {200, 500}
    assert statuses.count(200) < len(store.puts) < len(statuses)


def test_slow_down_carries_nothing_out(proxy: S3Proxy, store: Store) -> None:
    proxy.trouble = Trouble.SLOW_DOWN
    statuses = [ask(proxy, "PUT", "/b/key", b"x")[0] for _ in range(40)]
    assert set(statuses) == {200, 503}
    assert len(store.puts) == statuses.count(200)


def test_resets_and_absence_give_no_answer(proxy: S3Proxy, store: Store) -> None:
    proxy.trouble = Trouble.RESET
    assert {ask(proxy, "PUT", "/b/key", b"x")[0] for _ in range(20)} == {0, 200}
    proxy.trouble = Trouble.AWAY
    store.puts.clear()
    assert {ask(proxy, "PUT", "/b/key", b"x")[0] for _ in range(5)} == {0}
    assert store.puts == []
    proxy.trouble = None
    assert ask(proxy, "PUT", "/b/key", b"x")[0] == 200


def test_a_server_that_is_really_away_gives_no_answer_until_it_is_back(store: Store) -> None:
    proxy = S3Proxy(free_port())
    assert ask(proxy, "GET", "/b/key")[0] == 0
    proxy.target_port = store.server.server_port
    assert ask(proxy, "GET", "/b/key")[0] == 200
    proxy.close()
