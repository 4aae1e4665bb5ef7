"""`millrace sink`, with a session that ends soon: `python -m tests.integration.sink_process SESSION_MS`."""

from __future__ import annotations

import sys
from functools import partial

from streams import logs
from streams.settings import load
from streams.sink import serve
from streams.sink_intake import Intake


def main() -> None:
    session_ms = int(sys.argv[1])
    overrides = {"session.timeout.ms": session_ms, "heartbeat.interval.ms": session_ms // 5}
    settings = load()
    logs.configure("INFO")
    serve(settings, report=True, intake=partial(Intake, overrides=overrides))


if __name__ == "__main__":
    main()
