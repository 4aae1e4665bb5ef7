"""A small server of the OpenAI fine-tuning API on loopback, with faults, for tests. It trains nothing.

`faults` are taken one a matching request, in order; a job is listed `list_lag_s` after it was created.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


class Fault(StrEnum):
    """What goes wrong: before the request was acted on, or after."""

    ERROR_BEFORE = "500 and nothing done"
    ERROR_AFTER = "500 and yet done"
    DROP_BEFORE = "connection closed, nothing done"
    DROP_AFTER = "connection closed, and yet done"
    SILENT_BEFORE = "no answer, nothing done"
    SILENT_AFTER = "no answer, and yet done"
    LATE = "no answer at first, done afterwards"
    RATE_LIMITED = "429"
    GARBLED = "done, and the answer is no JSON"


AFTER = {Fault.ERROR_AFTER, Fault.DROP_AFTER, Fault.SILENT_AFTER, Fault.GARBLED}


@dataclass
class Job:
    """A job as the server keeps it. `body` is what create was sent."""

    id: str
    body: dict[str, Any]
    listed_at: float
    status: str = "queued"
    events: list[dict[str, Any]] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        succeeded = self.status == "succeeded"
        return {
            "id": self.id,
            "object": "fine_tuning.job",
            "created_at": 1,
            "model": self.body["model"],
            "status": self.status,
            "metadata": self.body.get("metadata"),
            "method": self.body.get("method"),
            "training_file": self.body["training_file"],
            "validation_file": self.body.get("validation_file"),
            "fine_tuned_model": f"ft:{self.body['model']}:{self.id}" if succeeded else None,
            "error": {"code": "failed", "message": "it broke", "param": None} if self.status == "failed" else None,
            "hyperparameters": {},
            "organization_id": "",
            "result_files": [],
            "seed": 0,
        }


class FineTuningServer:
    """As a context manager it serves at `base_url`. `jobs` and `files` are what was really made."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.files: dict[str, tuple[str, bytes]] = {}
        self.uploads: dict[str, bytes] = {}  # deleted ones too
        self.faults: deque[tuple[str, Fault]] = deque()
        self.requests: list[str] = []
        self.list_lag_s = 0.0
        self.late_s = 0.3
        self.ends_as: str | None = None
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._ids = itertools.count(1)
        self._server = _Http(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail(self, request: str, *faults: Fault) -> None:
        """The next requests such as `POST jobs` fail so."""
        self.faults.extend((request, fault) for fault in faults)

    def fault(self, request: str) -> Fault | None:
        with self.lock:
            self.requests.append(request)
            for at, (wanted, fault) in enumerate(self.faults):
                if wanted == request:
                    del self.faults[at]
                    return fault
        return None

    def act(self, method: str, path: str, query: dict[str, str], body: bytes, kind: str) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a request."""
        with self.lock:
            match method, path.strip("/").split("/")[1:]:
                case "POST", ["files"]:
                    return self._upload(body, kind)
                case "GET", ["files"]:
                    return 200, _page([self._file(each) for each in reversed(self.files)], query)
                case "DELETE", ["files", name] if name in self.files:
                    del self.files[name]
                    return 200, {"id": name, "object": "file", "deleted": True}
                case "POST", ["fine_tuning", "jobs"]:
                    return self._create(json.loads(body))
                case "GET", ["fine_tuning", "jobs"]:
                    return 200, self._list(query)
                case "GET", ["fine_tuning", "jobs", name] if name in self.jobs:
                    if self.ends_as is not None:
                        self.jobs[name].status = self.ends_as
                    return 200, self.jobs[name].shown()
                case "GET", ["fine_tuning", "jobs", name, "events"] if name in self.jobs:
                    return 200, _page(list(reversed(self.jobs[name].events)), query)
                case "POST", ["fine_tuning", "jobs", name, "cancel"] if name in self.jobs:
                    self.jobs[name].status = "cancelled"
                    return 200, self.jobs[name].shown()
        return 404, _error("not found")

    def _upload(self, body: bytes, kind: str) -> tuple[int, dict[str, Any]]:
        boundary = kind.partition("boundary=")[2].strip('"').encode()
        for part in body.split(b"--" + boundary):
            head, _, content = part.partition(b"\r\n\r\n")
            named = re.search(rb'filename="([^"]*)"', head)
            if named:
                file = f"file-{next(self._ids)}"
                self.uploads[file] = content.removesuffix(b"\r\n")
                self.files[file] = (named[1].decode(), self.uploads[file])
                return 200, self._file(file)
        return 400, _error("no file")

    def _file(self, file: str) -> dict[str, Any]:
        name, data = self.files[file]
        common = {"object": "file", "purpose": "fine-tune", "status": "processed", "created_at": 1}
        return {"id": file, "filename": name, "bytes": len(data), **common}

    def _create(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        for name in ("training_file", "validation_file"):
            if body.get(name) is not None and body[name] not in self.files:
                return 400, _error(f"no such file {body[name]}", name)
        job = Job(f"ftjob-{next(self._ids)}", body, time.monotonic() + self.list_lag_s)
        self.jobs[job.id] = job
        return 200, job.shown()

    def _list(self, query: dict[str, str]) -> dict[str, Any]:
        wanted = {key[9:-1]: value for key, value in query.items() if key.startswith("metadata[")}
        now = time.monotonic()
        jobs = [
            job.shown()
            for job in reversed(self.jobs.values())
            if job.listed_at <= now and wanted.items() <= (job.body.get("metadata") or {}).items()
        ]
        return _page(jobs, query)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    owner: FineTuningServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def _serve(self) -> None:
        owner = self.server.owner
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        query = {key: values[-1] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        fault = owner.fault(f"{self.command} {url.path.rstrip('/').rsplit('/', 1)[-1]}")
        kind = self.headers.get("content-type", "")
        status, answer = 500, _error("internal")
        if fault is Fault.LATE:
            owner.closing.wait(owner.late_s)
        if fault is None or fault in AFTER or fault is Fault.LATE:
            done = owner.act(self.command, url.path, query, body, kind)
            if fault is None:
                status, answer = done
        if fault in {Fault.SILENT_BEFORE, Fault.SILENT_AFTER}:
            self.connection.settimeout(0.05)
            while not owner.closing.is_set():
                try:
                    if not self.connection.recv(1):
                        break  # the client has gone
                except TimeoutError:
                    continue
                except OSError:
                    break
        if fault in {Fault.DROP_BEFORE, Fault.DROP_AFTER, Fault.SILENT_BEFORE, Fault.SILENT_AFTER, Fault.LATE}:
            self.close_connection = True
            return
        data = b"<html>" if fault is Fault.GARBLED else json.dumps(answer).encode()
        if fault is Fault.RATE_LIMITED:
            status = 429
        self.send_response(200 if fault is Fault.GARBLED else status)
        if fault is Fault.RATE_LIMITED:
            self.send_header("retry-after", "0.01")
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _serve

    def log_message(self, *_arguments: object) -> None:
        pass


def _page(items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    ids = [each["id"] for each in items]
    begin = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
    limit = int(query.get("limit", 20))
    return {"object": "list", "data": items[begin : begin + limit], "has_more": begin + limit < len(items)}


def _error(message: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}}
