"""A sink as a process of its own, with a session that ends soon: `python -m tests.integration.sink_process SESSION_MS`.

Settings come from the environment, as for `millrace sink`.
"""

from __future__ import annotations

import signal
import sys
from functools import partial

import msgspec

from schemas.codec import Codec
from streams import logs, metrics
from streams.lake.delta import DeltaLake
from streams.metrics import Health
from streams.settings import load
from streams.sink import Sink
from streams.sink_intake import Intake


def main() -> None:
    session_ms = int(sys.argv[1])
    settings = load()
    logs.configure("INFO")
    health = Health()
    stop = metrics.serve(settings.metrics_host, settings.metrics_port, health)
    overrides = {"session.timeout.ms": session_ms, "heartbeat.interval.ms": session_ms // 5}
    sink = Sink(settings, DeltaLake(settings.lake), Codec(), health, partial(Intake, overrides=overrides))
    signal.signal(signal.SIGTERM, lambda *_: sink.stop())
    report = sink.run()
    stop()
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")


if __name__ == "__main__":
    main()
