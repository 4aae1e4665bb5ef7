"""`millrace sink`: from Kafka into the lake, exactly once."""

from __future__ import annotations

from typing import Annotated

import typer

from streams import logs
from streams.settings import load


def sink(
    report: Annotated[bool, typer.Option(help="Print what was done as a last JSON line.", hidden=True)] = False,
) -> None:
    """Write what the agents put out into the lake's tables, exactly once, until SIGTERM.

    Needs Kafka with its topics (`millrace topics create`) and the lake (MILLRACE_LAKE, S3 credentials as AWS_*); waits
    for either. Run as many as there are partitions.
    """
    settings = load()
    logs.configure(settings.log_level)
    from streams.sink import serve

    serve(settings, report)
