"""`millrace ingest`: files of events to a running collector."""

from __future__ import annotations

import gzip
import itertools
import json as jsonlib
import os
import random
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import httpx2
import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from schemas.events import FeedbackEvent
from schemas.intake import event_to_json
from streams.errors import SettingError, TransientError
from streams.importers import FORMAT_NAMES, BadLine, read_events
from streams.settings import load

_BATCH_EVENTS: Final = 500
_BATCH_BYTES: Final = 4_000_000
_MAX_WAIT_S: Final = 30.0


class Ingested(msgspec.Struct):
    """What became of the lines: accepted by the collector, refused by it, or no events at all."""

    accepted: int = 0
    refused: int = 0
    unreadable: int = 0


def ingest(
    file: Annotated[str, typer.Argument(help="File of events, gzip or plain; - is stdin.")],
    to: Annotated[str, typer.Option(help="The collector, e.g. http://localhost:8080.")],
    key: Annotated[str, typer.Option(help="API key; default MILLRACE_API_KEY.")] = "",
    form: Annotated[str, typer.Option("--format", help=f"What a line is: {', '.join(FORMAT_NAMES)}.")] = "events",
    give_up_s: Annotated[float, typer.Option(help="How long to try again while the collector takes nothing.")] = 300.0,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON object.")] = False,
) -> None:
    """Send a file of events to a running collector, each once acknowledged, with progress.

    Event ids follow from the content, so that a file can be sent again after an interruption: the stream recognises
    what it has. Exit 1 if a line was refused or could not be read, 3 if the collector took nothing for too long.
    """
    if form not in FORMAT_NAMES:
        raise SettingError("--format", form, f"must be one of {', '.join(FORMAT_NAMES)}")
    address = urllib.parse.urlsplit(to)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise SettingError("--to", to, "must be like http://localhost:8080")
    key = key or os.environ.get("MILLRACE_API_KEY", "")
    if not key.isascii():
        raise SettingError("MILLRACE_API_KEY", "…", "is no key: `millrace keys create` makes one")
    if not key:
        raise SettingError("MILLRACE_API_KEY", "", "is required; `millrace keys create` makes one")
    done = Ingested()
    complain = Console(stderr=True, highlight=False, soft_wrap=True)
    with _opened(file) as path, _progress(json) as bar, httpx2.Client(timeout=60) as http:
        task = bar.add_task("sending", total=None)
        events = read_events(path, form, "", load().max_event_bytes)
        for batch in _batches(events, done, complain):
            _send(http, f"{to.rstrip('/')}/v1/events", key, batch, give_up_s, done, complain)
            bar.update(task, description=f"{done.accepted:,} events accepted")
    if json:
        typer.echo(jsonlib.dumps(msgspec.to_builtins(done)))
    else:
        typer.echo(f"{done.accepted:,} accepted · {done.refused:,} refused · {done.unreadable:,} lines unreadable")
    if done.refused or done.unreadable:
        raise typer.Exit(1)


def _batches(
    events: Iterator[FeedbackEvent | BadLine], done: Ingested, complain: Console
) -> Iterator[list[tuple[str, bytes]]]:
    """Event ids with their JSON, within the collector's limits."""
    batch: list[tuple[str, bytes]] = []
    size = 0
    for event in events:
        if isinstance(event, BadLine):
            done.unreadable += 1
            complain.print(f"line {event.number}: {event.problem}", markup=False)
            continue
        body = event_to_json(event)
        if batch and (len(batch) == _BATCH_EVENTS or size + len(body) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((event.event_id, body))
        size += len(body)
    if batch:
        yield batch


def _send(
    http: httpx2.Client,
    url: str,
    key: str,
    batch: Sequence[tuple[str, bytes]],
    give_up_s: float,
    done: Ingested,
    complain: Console,
) -> None:
    """Send until every event of the batch was accepted or refused for good. Raises `TransientError`."""
    end = time.monotonic() + give_up_s
    for attempt in itertools.count():
        status, answers, wait_s = _post(http, url, key, batch)
        left = []
        for (event_id, body), answer in zip(batch, answers, strict=True):
            if answer.get("status") == 202:
                done.accepted += 1
            elif answer.get("status") in (400, 413):
                done.refused += 1
                error = answer.get("error", {})
                complain.print(f"event {event_id}: {error.get('field')}: {error.get('problem')}", markup=False)
            else:
                left.append((event_id, body))
        if not left:
            return
        batch = left
        if time.monotonic() > end:
            raise TransientError(f"the collector at {url} takes nothing (last answer: {status or 'none'})")
        time.sleep(max(wait_s, random.uniform(0.1, min(_MAX_WAIT_S, 0.2 * 2**attempt))))


def _post(
    http: httpx2.Client, url: str, key: str, batch: Sequence[tuple[str, bytes]]
) -> tuple[int, Sequence[dict[str, Any]], float]:
    """HTTP status (0 for no answer), one answer an event, and how long to wait before trying again, in seconds."""
    body = gzip.compress(b"\n".join(body for _, body in batch), compresslevel=1)
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/x-ndjson",
        "Content-Encoding": "gzip",
    }
    unanswered: list[dict[str, Any]] = [{} for _ in batch]
    try:
        answer = http.post(url, content=body, headers=headers)
    except httpx2.HTTPError:
        return 0, unanswered, 0.0
    if answer.status_code in (401, 403):
        raise SettingError(
            "MILLRACE_API_KEY", "…", f"the collector answered {answer.status_code}: key or scope is wrong"
        )
    if answer.status_code == 404:
        raise SettingError("--to", url, "is no collector: it answered 404")
    wait_s = float(answer.headers.get("Retry-After", 0) or 0)
    try:
        events = answer.json()["events"]
    except (ValueError, KeyError, TypeError):
        return answer.status_code, unanswered, wait_s
    return answer.status_code, events if len(events) == len(batch) else unanswered, wait_s


def _progress(quiet: bool) -> Progress:
    console = Console(stderr=True, quiet=quiet)
    return Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console)


class _opened:
    """The path of a file, or of a temporary copy of stdin, which can be read only once."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._copy: tempfile._TemporaryFileWrapper[bytes] | None = None

    def __enter__(self) -> Path:
        if self._file != "-":
            path = Path(self._file)
            if not path.is_file():
                raise SettingError("FILE", self._file, "is no file")
            return path
        self._copy = tempfile.NamedTemporaryFile()
        while block := sys.stdin.buffer.read(1 << 20):
            self._copy.write(block)
        self._copy.flush()
        return Path(self._copy.name)

    def __exit__(self, *_: object) -> None:
        if self._copy is not None:
            self._copy.close()
