"""Prometheus metrics of every role, and the small server that shows them.

Labels hold names from closed sets only (stages, reasons, kinds, tables, topics): never a value from an event.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.samples import Sample

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

RECEIVED: Final = Counter("millrace_received", "Events taken in.", ("role", "kind"))
REFUSED: Final = Counter("millrace_refused", "Requests and events the collector refused.", ("why",))
KEPT: Final = Counter("millrace_stage_kept", "Events or interactions that a stage passed on.", ("stage",))
DROPPED: Final = Counter("millrace_stage_dropped", "Dropped by a stage, by reason.", ("stage", "reason"))
DEAD_LETTERED: Final = Counter("millrace_dead_lettered", "Events sealed into the dead letters.", ("stage", "reason"))
REPLAYED: Final = Counter("millrace_replayed", "Events recognised as seen before.", ("where",))
BATCH_SECONDS: Final = Histogram(
    "millrace_batch_seconds", "One batch, in to acknowledged.", ("agent",), buckets=_SECONDS
)
STAGE_SECONDS: Final = Counter("millrace_stage_seconds", "Time spent in a stage.", ("stage",))
REDACTION_MEMO: Final = Counter("millrace_redaction_memo", "Texts seen before by the redactor, or not.", ("result",))
AUDIT_CHARS: Final = Counter("millrace_audit_chars", "Characters of redacted text that the leak audit read.")
AUDIT_FINDINGS: Final = Counter("millrace_audit_findings", "What the leak audit found in redacted text.", ("kind",))
AUDIT_FAILED: Final = Counter("millrace_audit_failed", "Events whose leak audit failed; they went on their way.")
DIVERTED: Final = Counter("millrace_diverted", "Hot events sent to the overflow lane, by what is hot.", ("by",))
LAG: Final = Gauge("millrace_lag", "Records not consumed yet.", ("topic", "partition"))
COMMIT_SECONDS: Final = Histogram("millrace_commit_seconds", "One table commit.", ("table",), buckets=_SECONDS)
ROWS: Final = Counter("millrace_rows", "Rows committed.", ("table",))
EVENT_TO_LAKE_SECONDS: Final = Histogram(
    "millrace_event_to_lake_seconds",
    "From Kafka taking an event to its row being queryable.",
    ("table",),
    buckets=_SECONDS,
)


def stage_report() -> dict[str, dict[str, float]]:
    """What this process has done so far: events received by kind, replayed, and seconds by stage."""
    received: dict[str, float] = {}
    for sample in _samples(RECEIVED):
        received[sample.labels["kind"]] = received.get(sample.labels["kind"], 0) + sample.value
    seconds = {sample.labels["stage"]: round(sample.value, 6) for sample in _samples(STAGE_SECONDS)}
    return {"received": received, "stage_seconds": seconds}


def _samples(counter: Counter) -> list[Sample]:
    return [sample for metric in counter.collect() for sample in metric.samples if sample.name.endswith("_total")]


class Health:
    """Whether a role is ready to work; `/readyz` shows it. Safe for several threads.

    Who watches one `part` of the role says so; it is ready when no part has a problem.
    """

    def __init__(self) -> None:
        self._problems: dict[str, str] = {"role": "starting"}

    def ready(self, part: str = "role") -> None:
        """The part works."""
        self._problems.pop(part, None)

    def not_ready(self, problem: str, part: str = "role") -> None:
        """The part cannot work now; `problem` is shown and must not hold values from events."""
        self._problems[part] = problem

    def has(self, part: str) -> bool:
        """Whether the part has a problem."""
        return part in self._problems

    @property
    def problem(self) -> str | None:
        """What is in the way; None when ready."""
        return next(iter(list(self._problems.values())), None)


def serve(host: str, port: int, health: Health) -> Callable[[], None]:
    """Serve `/metrics`, `/healthz`, `/readyz` from a thread; port 0 serves nothing. Returns what stops it.

    `/healthz` says 200 as long as there is a process: one that has stalled ends itself. `/readyz` says why not.
    """
    if port == 0:
        return lambda: None

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(), CONTENT_TYPE_LATEST)
            elif self.path == "/healthz":
                self._answer(200, b"ok\n")
            elif self.path == "/readyz":
                problem = health.problem
                self._answer(503 if problem else 200, f"{problem or 'ready'}\n".encode())
            else:
                self._answer(404, b"not found\n")

        def _answer(self, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are not worth a log line."""

    server = ThreadingHTTPServer((host, port), Handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server.shutdown
