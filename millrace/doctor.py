"""`millrace doctor`: what is configured, what answers, what is wrong, and the mend."""

from __future__ import annotations

import json as jsonlib
import os
import re
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final

import boto3
import msgspec
import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table

from streams import settings as configuration
from streams.brokers import check_topics
from streams.errors import StreamError
from streams.settings import Settings, load

_SECRET: Final = ("password", "hash_key", "trainer_key", "database_url")


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. `mend` is empty where nothing is wrong."""

    part: str
    ok: bool
    says: str
    mend: str = ""


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Settings and findings as one JSON object.")] = False,
) -> None:
    """Show the settings, ask every dependency whether it works, and say what to mend. Exit 1 if something is wrong."""
    settings = load()
    findings = list(_findings(settings))
    shown = {name: _shown(name, value) for name, value in msgspec.structs.asdict(settings).items()}
    if json:
        typer.echo(jsonlib.dumps({"settings": shown, "findings": [msgspec.to_builtins(one) for one in findings]}))
    else:
        _print(shown, findings)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _findings(settings: Settings) -> Iterator[Finding]:
    yield from _kafka(settings)
    yield _state(settings)
    if settings.schema_registry_url:
        yield _asked("schema registry", lambda: _registry(settings), "is MILLRACE_SCHEMA_REGISTRY_URL right?")
    if settings.lake.startswith("s3://"):
        yield _s3(settings.lake)
    else:
        yield _folder(Path(settings.lake))
    for name in ("hash_key", "deadletter_public_keys"):
        if not getattr(settings, name):
            mend = f"set {configuration.PREFIX}{name.upper()}: {configuration.described()[name]}"
            yield Finding(name, False, "is not set, and the worker needs it", mend)


def _kafka(settings: Settings) -> Iterator[Finding]:
    try:
        problems = check_topics(settings)
    except StreamError as exc:
        yield Finding("kafka", False, str(exc), "is MILLRACE_KAFKA_BOOTSTRAP right, and Kafka running?")
        return
    yield Finding("kafka", True, f"answers at {settings.kafka_bootstrap}")
    for problem in problems:
        yield Finding(f"topic {problem.topic}", False, problem.problem, problem.mend)
    if not problems:
        yield Finding("topics", True, "are right")


def _state(settings: Settings) -> Finding:
    from streams.state import open_state

    def ask() -> str:
        store = open_state(settings)
        try:
            store.ping()
        finally:
            store.close()
        return "answers"

    return _asked("state", ask, "is MILLRACE_REDIS_URL right, and Redis 7 or later running?")


def _registry(settings: Settings) -> str:
    from streams.registry import RegistryClient

    ids = RegistryClient(settings.schema_registry_url, settings.topic_prefix).register()
    return f"has {len(ids)} schemas"


def _asked(part: str, ask: Callable[[], str], mend: str) -> Finding:
    try:
        return Finding(part, True, ask())
    except Exception as exc:
        return Finding(part, False, f"{type(exc).__name__}: {exc}", mend)


def _folder(lake: Path) -> Finding:
    existing = next(parent for parent in (lake, *lake.absolute().parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        return Finding("lake", False, f"{existing} is not writable", "set MILLRACE_LAKE to a writable folder")
    return Finding("lake", True, f"folder {lake} is writable")


def _s3(lake: str) -> Finding:
    """Whether the bucket refuses the second of two conditional writes, which is what keeps two writers apart."""
    where = urllib.parse.urlparse(lake)
    probe = f"{where.path.strip('/')}/_millrace_probe_{uuid.uuid4().hex}".lstrip("/")
    s3 = boto3.client("s3", endpoint_url=os.environ.get("AWS_ENDPOINT_URL") or None)
    try:
        s3.put_object(Bucket=where.netloc, Key=probe, Body=b"1", IfNoneMatch="*")
        try:
            s3.put_object(Bucket=where.netloc, Key=probe, Body=b"2", IfNoneMatch="*")
        except ClientError as exc:
            if exc.response["ResponseMetadata"]["HTTPStatusCode"] == 412:
                return Finding("lake", True, f"bucket {where.netloc} takes conditional writes")
            raise
        finally:
            s3.delete_object(Bucket=where.netloc, Key=probe)
    except (ClientError, BotoCoreError) as exc:
        return Finding("lake", False, str(exc), "do AWS_ENDPOINT_URL, the AWS_* keys and the bucket fit?")
    mend = "use a store with conditional writes: two writers would overwrite each other here"
    return Finding("lake", False, f"bucket {where.netloc} ignores If-None-Match", mend)


def _shown(name: str, value: object) -> object:
    if name.endswith("_url"):
        return re.sub(r"//[^/@]*@", "//…@", str(value))
    return "…" if value and any(word in name for word in _SECRET) else value


def _print(shown: dict[str, object], findings: list[Finding]) -> None:
    console = Console(highlight=False)
    defaults = msgspec.structs.asdict(Settings())
    table = Table("setting", "value", "what it is for", title="Settings (* is not the default)", title_justify="left")
    for name, value in shown.items():
        mark = "" if value == defaults[name] else " *"
        said = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        table.add_row(configuration.PREFIX + name.upper() + mark, said, configuration.described()[name])
    console.print(table)
    for finding in findings:
        console.print(f"{'ok   ' if finding.ok else 'WRONG'} {finding.part}: {finding.says}", markup=False)
        if finding.mend:
            console.print(f"      → {finding.mend}", markup=False)
