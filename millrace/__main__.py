"""`millrace`: the way of an event, one role or tool at a time."""

from __future__ import annotations

import sys

import typer

from millrace import collector, demo, doctor, ingest, keys, lake, run, sink, stage, topics, worker
from schemas.errors import SchemaError
from streams.errors import SettingError, StreamError

app = typer.Typer(
    name="millrace",
    help="Turns the feedback of LLM apps into a curated, PII-free lake of training samples.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.command()(run.run)
app.command()(ingest.ingest)
app.command()(collector.collector)
app.command()(worker.worker)
app.command()(sink.sink)
app.command()(stage.stage)
app.command()(doctor.doctor)
app.add_typer(lake.app, name="lake")
app.add_typer(keys.app, name="keys")
app.add_typer(topics.app, name="topics")


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 done with complaints, 2 wrong use or setting, 3 a dependency is away."""
    try:
        app()
    except SettingError as exc:
        _say(exc)
        sys.exit(2)
    except (StreamError, SchemaError) as exc:
        _say(exc)
        sys.exit(3)


def _say(exc: Exception) -> None:
    sys.stderr.write(f"millrace: {exc}\n")


if __name__ == "__main__":
    main()
