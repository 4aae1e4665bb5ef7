"""`millrace keys`: the API keys of the collector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from streams import settings
from streams.collector.keys import Key, KeyFile
from streams.errors import StreamError
from streams.redaction.sealing import new_key_pair

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The API keys of the collector (MILLRACE_COLLECTOR_KEYS_FILE)."
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]


@app.command()
def create(
    tenant: Annotated[str, typer.Argument(help="Every event sent with the key belongs to this tenant.")],
    name: Annotated[str, typer.Option(help="Which app holds the key, for you to recognise it by.")] = "unnamed",
    scope: Annotated[
        str,
        typer.Option(
            help="write: all events, for servers. browser: a person's thumbs, stars and comments, for web pages."
        ),
    ] = "write",
    as_json: AsJson = False,
) -> None:
    """Create a key and print it. It is stored as a hash only: this is the one time to see it."""
    with _errors():
        plaintext = _file().create(tenant, name, scope, datetime.now(UTC))
    if as_json:
        fields = {"id": plaintext.split("_")[1], "tenant": tenant, "name": name, "scope": scope, "key": plaintext}
        _print_json(fields)
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
def list_keys(as_json: AsJson = False) -> None:
    """List the keys, revoked ones too."""
    with _errors():
        keys = _file().listed()
    if as_json:
        _print_json([_shown(key) for key in keys])
        return
    table = Table("id", "tenant", "name", "scope", "created", "revoked", box=None)
    for key in keys:
        table.add_row(key.id, key.tenant, key.name, key.scope, key.created_at, key.revoked_at or "")
    Console(markup=False).print(table)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The part after `mr_`; `millrace keys list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Revoke a key for good. Running collectors refuse it within a second."""
    with _errors():
        key = _file().revoke(key_id, datetime.now(UTC))
    if as_json:
        _print_json(_shown(key))
    else:
        typer.echo(f"revoked {key.id} ({key.tenant}, {key.name})")


def _file() -> KeyFile:
    return KeyFile(Path(settings.load().collector_keys_file))


def _shown(key: Key) -> dict[str, str | None]:
    fields: dict[str, str | None] = msgspec.to_builtins(key)
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
