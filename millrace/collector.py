"""`millrace collector`."""

from __future__ import annotations

import typer

from streams import settings
from streams.collector.server import serve
from streams.errors import StreamError


def collector() -> None:
    """Take events over HTTP and answer when Kafka has them.

    Needs Kafka (MILLRACE_KAFKA_BOOTSTRAP) and API keys (MILLRACE_COLLECTOR_KEYS_FILE, see `millrace keys`); listens on
    MILLRACE_COLLECTOR_HOST and MILLRACE_COLLECTOR_PORT. Starts without Kafka too and is not ready then. Ends on SIGTERM
    when the requests in flight are answered.
    """
    try:
        serve(settings.load())
    except StreamError as exc:
        typer.echo(f"error: {exc}", err=True)
        raise typer.Exit(2) from exc
