"""`millrace keys`: the API keys of the collector and of the trigger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from streams import settings
from streams.collector import keys as collector
from streams.errors import InvalidKeyError, StreamError
from streams.keys import KeyFile, StoredKey
from streams.redaction.sealing import new_key_pair
from trainer_trigger.api import keys as trigger

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="API keys of the collector (MILLRACE_COLLECTOR_KEYS_FILE) and the trigger (MILLRACE_TRIGGER_KEYS_FILE).",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]


class Server(StrEnum):
    """Whose keys."""

    COLLECTOR = "collector"
    TRIGGER = "trigger"


For = Annotated[Server, typer.Option("--for", help="Whose keys.")]


@app.command()
def create(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="TENANT|NAME",
            help="Collector: every event sent with the key belongs to this tenant. Trigger: the key's name.",
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="Collector: which app holds the key, for you to recognise it by.")
    ] = None,
    scope: Annotated[
        list[str],
        typer.Option(
            help="Collector, one: write (all events, for servers; the default) or browser (a person's thumbs, stars "
            "and comments, for web pages). Trigger, one or more: read, fire, approve, admin; none implies another."
        ),
    ] = [],  # noqa: B006
    target: Annotated[list[str], typer.Option(help="Trigger: the key is for these targets only.")] = [],  # noqa: B006
    server: For = Server.COLLECTOR,
    as_json: AsJson = False,
) -> None:
    """Create a key and print it. It is stored as a hash only: this is the one time to see it."""
    now = datetime.now(UTC)
    with _errors():
        if server is Server.COLLECTOR:
            if target or len(scope) > 1:
                raise InvalidKeyError("a collector's key has one scope, and no target")
            plaintext = _collector().create(
                subject, "unnamed" if name is None else name, scope[0] if scope else "write", now
            )
        else:
            if name is not None:
                raise InvalidKeyError("a trigger's key has one name: `millrace keys create NAME --for trigger`")
            plaintext = _trigger().create(subject, scope, target, now)
        key = next(key for key in _file(server).listed() if key.id == plaintext.split("_")[1])
    if as_json:
        shown = _shown(key)
        _print_json({**{field: shown[field] for field in _FIELDS[server]}, "key": plaintext})
    else:
        typer.echo(plaintext)


@app.command()
def pair(as_json: AsJson = False) -> None:
    """Make a key pair for dead letters. The public half belongs on the workers, the private one in a safe."""
    made = new_key_pair()
    if as_json:
        _print_json(made._asdict())
    else:
        typer.echo(f"MILLRACE_DEADLETTER_PUBLIC_KEYS={made.public}")
        typer.echo(f"private: {made.private}")


@app.command("list")
def list_keys(server: For = Server.COLLECTOR, as_json: AsJson = False) -> None:
    """List the keys, revoked ones too."""
    with _errors():
        keys = [_shown(key) for key in _file(server).listed()]
    if as_json:
        _print_json(keys)
        return
    columns = (*_FIELDS[server], "created_at", "revoked_at")
    table = Table(*(column.removesuffix("_at") for column in columns), box=None)
    for key in keys:
        table.add_row(*(_cell(key[column]) for column in columns))
    Console(markup=False).print(table)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The part after `mr_`; `millrace keys list` shows it.")],
    server: For = Server.COLLECTOR,
    as_json: AsJson = False,
) -> None:
    """Revoke a key for good. Running servers refuse it within a second."""
    with _errors():
        key = _file(server).revoke(key_id, datetime.now(UTC))
    if as_json:
        _print_json(_shown(key))
        return
    tenant = f"{key.tenant}, " if isinstance(key, collector.Key) else ""
    typer.echo(f"revoked {key.id} ({tenant}{key.name})")


def _collector() -> collector.KeyFile:
    return collector.KeyFile(Path(settings.load().collector_keys_file))


def _trigger() -> trigger.KeyFile:
    return trigger.KeyFile(Path(settings.load().trigger_keys_file))


def _file(server: Server) -> KeyFile[collector.Key] | KeyFile[trigger.Key]:
    return _collector() if server is Server.COLLECTOR else _trigger()


_FIELDS: Final = {
    Server.COLLECTOR: ("id", "tenant", "name", "scope"),
    Server.TRIGGER: ("id", "name", "scopes", "targets"),
}


def _cell(value: object) -> str:
    return ", ".join(value) if isinstance(value, (list, tuple)) else str(value or "")


def _shown(key: StoredKey) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(key)
    del fields["sha256"]
    return fields


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.encode(value).decode())


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except StreamError as exc:
        typer.echo(f"error: {exc}", err=True)
        raise typer.Exit(2) from exc
