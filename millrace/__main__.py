"""`millrace`: the way of an event, one role or tool at a time."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

COMMANDS: Final = {
    "demo": "The whole way of an event on this machine, with made-up events.",
    "run": "Files of events into a lake, on this machine alone.",
    "ingest": "Files of events to a running collector.",
    "collector": "Role: take events over HTTP.",
    "worker": "Role: the agents redact, curate and overflow.",
    "sink": "Role: from Kafka into the lake.",
    "trigger": "Role: decides when to fine-tune, and launches once; and what became of it.",
    "trainer": "Role: fine-tune models on this machine, through OpenAI's fine-tuning API.",
    "stage": "One stage as a filter, NDJSON in and out.",
    "lake": "Tables and views, SQL over them, reconciliation, leak audit.",
    "dataset": "Training sets: build, list, show, verify, erase.",
    "review": "Samples that wait for a person: list, approve, reject, edit.",
    "held": "Scores that came in bursts: list, let in.",
    "deadletter": "What could not be processed: list, show, send again, purge.",
    "keys": "API keys of the collector and the trigger, and the key pair for dead letters.",
    "topics": "Create or check Kafka's topics.",
    "doctor": "What is configured, what answers, what is wrong, and the mend.",
}
"""Subcommand → what it is for. Each is the module of its name: a role loads only what it needs."""


class _Subcommands(TyperGroup):
    """Loads a subcommand's module when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"millrace.{cmd_name}")
        app = getattr(module, "app", None)
        if app is None:
            app = typer.Typer(add_completion=False)
            app.command()(getattr(module, cmd_name))
        command = typer.main.get_command(app)
        command.name, command.short_help = cmd_name, COMMANDS[cmd_name]
        return command


app = typer.Typer(
    name="millrace",
    cls=_Subcommands,
    help="Turns the feedback of LLM apps into a curated, PII-free lake of training samples.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _millrace() -> None:
    """Only subcommands do anything."""


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 done with complaints, 2 wrong use or setting, 3 a dependency is away."""
    from schemas.errors import SchemaError
    from streams.errors import SettingError, StreamError
    from trainer_trigger.errors import DatabaseUnavailable, DatasetsAway, TriggerError
    from trainer_trigger.launchers.errors import LauncherError, LauncherUnavailable
    from trainer_trigger.ledger.errors import LedgerError, LedgerUnavailable

    away = (DatabaseUnavailable, DatasetsAway, LauncherUnavailable, LedgerUnavailable)
    try:
        app()
    except away as exc:
        _say(exc)
        sys.exit(3)
    except (SettingError, TriggerError, LedgerError, LauncherError) as exc:
        _say(exc)
        sys.exit(2)
    except (StreamError, SchemaError) as exc:
        _say(exc)
        sys.exit(3)


def _say(exc: Exception) -> None:
    sys.stderr.write(f"millrace: {exc}\n")


if __name__ == "__main__":
    main()
