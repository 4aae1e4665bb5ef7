"""`millrace deadletter`: what could not be processed, and how it gets another try."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console

from millrace.output import JsonOption, LakeOption, existing_lake, print_table
from schemas.codec import Codec
from streams.brokers import GaplessProducer, topic_ids
from streams.errors import BrokerUnavailable, SettingError, StreamError
from streams.lake.delta import DeltaLake
from streams.letters.index import By, Index, Letter, Selection
from streams.letters.journal import SentTo
from streams.letters.keyring import KEY_FILE, Keyring, keyring, readable_by_others
from streams.letters.originals import sealed, shown
from streams.letters.replay import TOPIC_OF_STAGE, Plan, Replayer, Report, plan
from streams.letters.retention import REPLAYED, outdated
from streams.letters.retention import purge as purge_letters
from streams.registry import RegistryClient
from streams.settings import Settings, load

app = typer.Typer(
    name="deadletter",
    help="What could not be processed: list, show, send again, purge. Opening one needs the private key; nothing else "
    "does.",
    no_args_is_help=True,
    add_completion=False,
)

_SHOWN: Final = 50
_TIMES: Final = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]

_Yes = Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would be done.")]
_Ids = Annotated[list[str], typer.Option("--id", help="A letter, or the beginning of its id; repeat for several.")]
_Reasons = Annotated[list[str], typer.Option("--reason", help="Repeat for several, as with all of these.")]
_Stages = Annotated[list[str], typer.Option("--stage", help="redact or curate.")]
_Tenants = Annotated[list[str], typer.Option("--tenant")]
_Sources = Annotated[list[str], typer.Option("--source", help="The topic that they first came in by.")]
_Since = Annotated[datetime | None, typer.Option(formats=_TIMES, metavar="TIME", help="Received then or later; UTC.")]
_Until = Annotated[datetime | None, typer.Option(formats=_TIMES, metavar="TIME", help="Received before; UTC.")]
_States = Annotated[list[str], typer.Option("--state", help="waiting, sent, replayed or failed.")]
_KeyFiles = Annotated[
    list[Path],
    typer.Option("--key-file", envvar=KEY_FILE, help="What `millrace keys pair` printed; repeat for several keys."),
]


@app.command("list")
def list_letters(
    ids: _Ids = [],  # noqa: B006  typer copies it
    reasons: _Reasons = [],  # noqa: B006
    stages: _Stages = [],  # noqa: B006
    tenants: _Tenants = [],  # noqa: B006
    sources: _Sources = [],  # noqa: B006
    states: _States = [],  # noqa: B006
    since: _Since = None,
    until: _Until = None,
    by: Annotated[By | None, typer.Option(help="Count them by this instead.")] = None,
    limit: Annotated[int, typer.Option(min=0, help=f"At most so many; 0: all, with --json, else {_SHOWN}.")] = 0,
    lake: LakeOption = "",
    json: JsonOption = False,
) -> None:
    """List the dead letters, newest first, without opening any. Exit 2 if there is no lake."""
    chosen = _selection(ids, reasons, stages, tenants, sources, states, since, until)
    index = Index(DeltaLake(existing_lake(lake)))
    if by is not None:
        groups = index.groups(by, chosen)
        if json:
            for group in groups:
                _say_json({by: group.value, "letters": group.letters, "size_bytes": group.size_bytes})
        else:
            rows = [[group.value or "", f"{group.letters:,}", f"{group.size_bytes:,}"] for group in groups]
            print_table([by, "letters", "bytes"], rows)
        return
    if json:
        for letter in index.letters(chosen, limit):
            _say_json(letter)
        return
    letters = list(index.letters(chosen, limit or _SHOWN))
    print_table(
        ["id", "received", "stage", "reason", "tenant", "source", "attempts", "state"],
        [
            [one.id, f"{one.received_at:%Y-%m-%d %H:%M}", one.stage, one.reason, one.tenant or "", one.source,
             str(one.attempts), one.state]
            for one in letters
        ],
    )  # fmt: skip
    typer.echo(f"{len(letters):,} of {index.count(chosen):,} letters")


@app.command()
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="A letter's id, or the beginning of it.")],
    key_files: _KeyFiles = [],  # noqa: B006
    raw: Annotated[bool, typer.Option(help="Only the original, byte for byte, to stdout.")] = False,
    lake: LakeOption = "",
    json: JsonOption = False,
) -> None:
    """Show a letter's index, and with a private key its original, which is UNREDACTED.

    Exit 2 if no letter, or more than one, has the id.
    """
    settings = load()
    where = DeltaLake(existing_lake(lake))
    letter = _one(Index(where), letter_id)
    keys = _keys(key_files) if key_files else None
    if raw and keys is None:
        raise SettingError("--key-file", "", f"is required for --raw, or {KEY_FILE}")
    original = None if keys is None else _opened(where, letter, keys)
    if raw and original is not None:
        sys.stdout.buffer.write(original)
        return
    text = None
    if original is not None:
        typer.echo("What follows is unredacted: personal data, as it was said.", err=True)
        with _codec(settings) as codec:
            text = shown(original, letter.stage, codec)
    if json:
        _say_json({**msgspec.to_builtins(letter), **({} if text is None else {"original": text})})
        return
    for name, value in msgspec.to_builtins(letter).items():
        typer.echo(f"{name:<12} {_cell(value)}")
    typer.echo(f"\n{text}" if text is not None else f"\nsealed; --key-file or {KEY_FILE} opens it")


@app.command()
def replay(
    ids: _Ids = [],  # noqa: B006
    reasons: _Reasons = [],  # noqa: B006
    stages: _Stages = [],  # noqa: B006
    tenants: _Tenants = [],  # noqa: B006
    sources: _Sources = [],  # noqa: B006
    since: _Since = None,
    until: _Until = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many, newest first; 0: all.")] = 0,
    again: Annotated[bool, typer.Option("--again", help="Also what was sent long ago and came to nothing.")] = False,
    key_files: _KeyFiles = [],  # noqa: B006
    yes: _Yes = False,
    lake: LakeOption = "",
    json: JsonOption = False,
) -> None:
    """Send letters again, once what made them is mended. Without --yes it only says what it would do.

    What is in the lake by now, or on its way, is left out: the same command again changes nothing. With --yes it needs
    Kafka and the private key. Exit 1 if letters could not be opened.
    """
    settings = load()
    where = DeltaLake(existing_lake(lake))
    chosen = _selection(ids, reasons, stages, tenants, sources, ["waiting", "sent"], since, until)
    keys = _keys(key_files) if key_files else None
    if yes and keys is None:
        raise SettingError("--key-file", "", f"is required to open letters, or {KEY_FILE}")
    index = Index(where)
    planned = plan(index.letters(chosen), settings, keys, again, datetime.now(UTC), limit)
    if not yes or keys is None:
        _say_plan(planned, settings, json)
        return
    report = _send(where, index, settings, keys, planned.send) if planned.send else Report()
    if json:
        _say_json({**msgspec.to_builtins(report), "left_alone": len(planned.refused)})
    else:
        typer.echo(
            f"{report.sent:,} sent · {report.on_the_way:,} sent before, on their way · {report.in_lake:,} in the lake "
            f"by now · {len(report.unopened):,} not opened · {len(planned.refused):,} left alone"
        )
        for name, problem in report.unopened:
            typer.echo(f"millrace: {name}: {problem}", err=True)
        for why_not, count in _why_not(planned):
            typer.echo(f"{count:,} left alone: {why_not}", err=True)
    if report.unopened or not all(keys.opens(letter.key_ids) for letter, _ in planned.refused):
        raise typer.Exit(1)


@app.command()
def purge(
    replayed: Annotated[
        bool, typer.Option("--replayed", help="Also younger ones that are in the lake by now.")
    ] = False,
    yes: _Yes = False,
    lake: LakeOption = "",
    json: JsonOption = False,
) -> None:
    """Remove letters that were received more than MILLRACE_DEADLETTER_DAYS ago, their files too.

    Without --yes it only says how many. Run it daily: nothing else removes them from the lake.
    """
    settings = load()
    where = DeltaLake(existing_lake(lake))
    old = outdated(settings, datetime.now(UTC))
    if yes:
        removed = purge_letters(where, old, replayed)
        if json:
            _say_json({"removed": removed})
        else:
            typer.echo(f"{removed:,} letters removed")
        return
    index = Index(where)
    younger = Selection(states=REPLAYED.states, since=old.until)
    counts = {"outdated": index.count(old), "replayed": index.count(younger) if replayed else 0}
    if json:
        _say_json(counts)
    else:
        more = f" and {counts['replayed']:,} replayed ones" if replayed else ""
        typer.echo(
            f"{counts['outdated']:,} letters of more than {settings.deadletter_days} days{more}; --yes removes them"
        )


def _selection(
    ids: Sequence[str],
    reasons: Sequence[str],
    stages: Sequence[str],
    tenants: Sequence[str],
    sources: Sequence[str],
    states: Sequence[str],
    since: datetime | None,
    until: datetime | None,
) -> Selection:
    return Selection(
        ids=tuple(ids),
        reasons=tuple(reasons),
        stages=tuple(stages),
        tenants=tuple(tenants),
        sources=tuple(sources),
        states=tuple(states),
        since=_utc(since),
        until=_utc(until),
    )


def _utc(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def _keys(files: Sequence[Path]) -> Keyring:
    keys = keyring(files)
    for file in readable_by_others(files):
        typer.echo(f"millrace: {file} can be read by others: chmod 600", err=True)
    return keys


@contextmanager
def _codec(settings: Settings) -> Iterator[Codec]:
    """What reads originals: asks a registry, if there is one, and registers nothing there."""
    if not settings.schema_registry_url:
        yield Codec()
        return
    with closing(RegistryClient(settings.schema_registry_url, settings.topic_prefix)) as registry:
        yield Codec(registry)


def _one(index: Index, letter_id: str) -> Letter:
    found = list(islice(index.letters(Selection(ids=(letter_id,))), 2))
    if len(found) != 1:
        raise SettingError("ID", letter_id, "is the beginning of several ids" if found else "is no letter's id")
    return found[0]


def _opened(lake: DeltaLake, letter: Letter, keys: Keyring) -> bytes:
    held = sealed(lake, [letter])
    try:
        return keys.open(held[letter.id])
    except KeyError:
        raise StreamError(f"{letter.id} was purged in the meantime") from None
    except StreamError as exc:
        raise StreamError(f"{letter.id} cannot be opened: {exc}") from exc


def _send(lake: DeltaLake, index: Index, settings: Settings, keys: Keyring, letters: Sequence[Letter]) -> Report:
    topics = {settings.topic(TOPIC_OF_STAGE[letter.stage]) for letter in letters}
    try:
        known = topic_ids(settings, sorted(topics))
    except BrokerUnavailable as exc:
        raise BrokerUnavailable(f"{exc}; `millrace doctor` says what to mend") from exc
    with _codec(settings) as codec, Console(stderr=True).status("sending") as status:
        replayer = Replayer(lake, index, settings, codec, keys, GaplessProducer(settings), SentTo(settings), known)
        return replayer.send(letters, lambda done, of: status.update(f"sending: {done:,} of {of:,}"))


def _why_not(planned: Plan) -> list[tuple[str, int]]:
    return Counter(why_not for _, why_not in planned.refused).most_common()


def _say_plan(planned: Plan, settings: Settings, json: bool) -> None:
    """What would be sent where, and what not and why."""
    to = Counter((one.stage, one.reason, settings.topic(TOPIC_OF_STAGE[one.stage])) for one in planned.send)
    if json:
        for (stage, reason, topic), count in to.most_common():
            _say_json({"stage": stage, "reason": reason, "topic": topic, "letters": count})
        for why_not, count in _why_not(planned):
            _say_json({"left_alone": why_not, "letters": count})
        return
    rows = [[stage, reason, f"{count:,}", f"to {topic}"] for (stage, reason, topic), count in to.most_common()]
    rows += [["", "", f"{count:,}", f"left alone: {why_not}"] for why_not, count in _why_not(planned)]
    print_table(["stage", "reason", "letters", "would go"], rows)
    typer.echo("Nothing was sent yet; --yes sends them." if planned.send else "There is nothing to send.")


def _say_json(value: Any) -> None:
    typer.echo(msgspec.json.encode(value).decode())


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case list() | tuple():
            return " ".join(map(str, value))
        case {"topic_id": topic_id, "partition": partition, "offset": offset}:
            return f"topic {topic_id}, partition {partition}, offset {offset}"
        case _:
            return str(value)
