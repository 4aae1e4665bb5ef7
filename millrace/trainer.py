"""`millrace trainer`."""

from __future__ import annotations

import typer

from streams import settings
from streams.errors import StreamError


def trainer() -> None:
    """Fine-tune models on this machine, through OpenAI's fine-tuning API.

    Needs the extra `trainer` (PyTorch) and base models in MILLRACE_TRAINER_MODELS, a folder each; listens on
    MILLRACE_TRAINER_HOST and MILLRACE_TRAINER_PORT, and keeps all it knows in MILLRACE_TRAINER_HOME. Ends on SIGTERM;
    jobs that trained go on at the next start.
    """
    from trainer_trigger.trainer.server import serve

    try:
        serve(settings.load())
    except StreamError as exc:
        typer.echo(f"error: {exc}", err=True)
        raise typer.Exit(2) from exc
