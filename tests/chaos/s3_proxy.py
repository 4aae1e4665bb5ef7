"""Stands between the sinks and S3 and makes it fail: errors, resets, lost answers, slowness, absence.

`python -m tests.chaos.s3_proxy TARGET_PORT` is one as a process: delta-rs keeps Python's lock while it waits for an
answer, so that a proxy in the same process would never give one. It prints its URL; then each line that it reads,
`TROUBLE COUNT`, makes a trouble for so many requests and is answered with how many ran into trouble so far.
"""

from __future__ import annotations

import http.client
import random
import re
import socket
import struct
import sys
import threading
import time
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = re.compile(r"/_delta_log/\d{20}\.json")
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "expect"})


class Trouble(StrEnum):
    """What S3 is made to do."""

    ERROR = "error"
    """500 for every second request, half of which it has carried out all the same."""
    SLOW_DOWN = "slow_down"
    """503 for two of three requests."""
    RESET = "reset"
    """Every second connection ends before its request is carried out."""
    LOST_ANSWER = "lost_answer"
    """The answer to every table commit, and to every fourth other request, is lost after it was carried out."""
    LATENCY = "latency"
    """Up to 1.5 s for a request."""
    AWAY = "away"
    """No connection is answered."""


_ERRORS = {Trouble.ERROR: (500, "InternalError", 1 / 2), Trouble.SLOW_DOWN: (503, "SlowDown", 2 / 3)}


class S3Proxy:
    """Listens on a port of its own from the start on. `trouble` may be set at any time, from any thread."""

    def __init__(self, target_port: int, seed: int = 0) -> None:
        self.target_port = target_port
        self.trouble: Trouble | None = None
        self.left: int | None = None
        """How many more requests the trouble hits; None without end."""
        self.troubled: dict[Trouble, int] = dict.fromkeys(Trouble, 0)
        """How many requests each trouble has hit."""
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, name="s3-proxy", daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def hit(self, path: str) -> Trouble | None:
        """The trouble that a request for this path runs into; None if it is spared."""
        trouble = self.trouble
        if trouble is None:
            return None
        with self._lock:
            drawn = self._random.random()
            share = {Trouble.RESET: 1 / 2, Trouble.LOST_ANSWER: 1.0 if COMMIT.search(path) else 1 / 4}
            if drawn >= (_ERRORS[trouble][2] if trouble in _ERRORS else share.get(trouble, 1.0)):
                return None
            if self.left is not None:
                if not self.left:
                    return None
                self.left -= 1
            self.troubled[trouble] += 1
            return trouble

    def draw(self) -> float:
        """A number in [0, 1)."""
        with self._lock:
            return self._random.random()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away in mid-answer is no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: S3Proxy
    _upstream: http.client.HTTPConnection | None = None

    def do_GET(self) -> None:
        body = self._body()
        trouble = self.owner.hit(self.path)
        if trouble in (Trouble.AWAY, Trouble.RESET):
            self._reset()
            return
        if trouble is Trouble.LATENCY:
            time.sleep(1.5 * self.owner.draw())
        if trouble in _ERRORS and (trouble is Trouble.SLOW_DOWN or self.owner.draw() < 1 / 2):
            self._refuse(trouble)
            return
        try:
            status, headers, answer = self._forward(body)
        except (OSError, http.client.HTTPException):
            if self._upstream is not None:
                self._upstream.close()
            self._upstream = None
            self._reset()  # the real one is away, or froze
            return
        if trouble is Trouble.LOST_ANSWER:
            self._reset()
        elif trouble is Trouble.ERROR:
            self._refuse(trouble)
        else:
            self._answer(status, headers, answer)

    do_PUT = do_HEAD = do_POST = do_DELETE = do_GET

    def finish(self) -> None:
        """The client is gone: so is our connection for it."""
        if self._upstream is not None:
            self._upstream.close()
        super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not worth a line."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        if self._upstream is None:
            self._upstream = http.client.HTTPConnection("127.0.0.1", self.owner.target_port, timeout=60)
        # The signature is over the host that the client sees, so that header goes through as it is.
        self._upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                self._upstream.putheader(name, value)
        self._upstream.putheader("Content-Length", str(len(body)))
        self._upstream.endheaders(body)
        response = self._upstream.getresponse()
        return response.status, response.getheaders(), response.read()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        length = str(len(body))
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, trouble: Trouble) -> None:
        status, code, _ = _ERRORS[trouble]
        body = b"" if self.command == "HEAD" else f"<Error><Code>{code}</Code></Error>".encode()
        self._answer(status, [("Content-Type", "application/xml")], body)

    def _reset(self) -> None:
        # Closed with nothing left to send and no time to linger: the other side sees a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


def main() -> None:
    proxy = S3Proxy(int(sys.argv[1]))
    print(proxy.url, flush=True)
    for line in sys.stdin:
        trouble, count = line.split()
        proxy.trouble, proxy.left = Trouble(trouble), int(count)
        print(sum(proxy.troubled.values()), flush=True)


if __name__ == "__main__":
    main()
