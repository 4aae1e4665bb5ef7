"""A collector on a real socket, for what only a real socket shows. It answers with what a plain function
returns."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from millrace_client import Answer
from millrace_client.testing import Event, Respond, verdicts


class HttpCollector:
    """Listens on 127.0.0.1; `events` are the accepted ones in order, once for each time."""

    def __init__(self, respond: Respond = verdicts, headers: Mapping[str, str] | None = None) -> None:
        self.respond = respond
        self.headers = dict(headers or {})
        self.events: list[Event] = []
        self.requests: list[Mapping[str, str]] = []
        """The headers of each request, names in lower case, with `:path`."""
        self.bodies: list[bytes] = []
        """The body of each request as it came, still compressed."""
        self._lock = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()} | {":path": self.path}
                answer = collector.take(headers, body)
                self.send_response(answer.status)
                for name, value in collector.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, headers: Mapping[str, str], body: bytes) -> Answer:
        with self._lock:
            self.requests.append(headers)
            self.bodies.append(body)
        plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        events: list[Event] = json.loads(plain)
        answer = self.respond(events)
        assert isinstance(answer, Answer)
        if answer.body.startswith(b"{"):
            told = json.loads(answer.body).get("events", ())
            with self._lock:
                self.events += [events[entry["index"]] for entry in told if entry["status"] == 202]
        return answer

    @property
    def ids(self) -> list[str]:
        """The ids of the accepted events, in order."""
        with self._lock:
            return [str(event["event_id"]) for event in self.events]

    def __enter__(self) -> HttpCollector:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
