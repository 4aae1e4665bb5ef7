"""`millrace stage`: one stage, or several in a row, as a filter: NDJSON in and out."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer

from schemas.errors import InvalidEvent
from schemas.intake import parse_json
from streams import curation, logs
from streams.errors import SettingError
from streams.filters import STAGES, Duplicates, Filter, Findings, Stage, Way
from streams.redaction import Analyzer
from streams.settings import Settings, load


def stage(
    name: Annotated[str, typer.Argument(help=f"{', '.join(STAGES)}.")],
    to: Annotated[str, typer.Option("--to", help="And the stages after it up to this one.")] = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Add `why`, in words; redact: the rule of each finding.")
    ] = False,
    no_names: Annotated[
        bool, typer.Option("--no-names", help="redact: only what stock Presidio finds, and secrets.")
    ] = False,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="redact: leave out findings of patterns below this score.")
    ] = None,
) -> None:
    """Run a stage on stdin, a JSON object a line, to stdout.

    redact reads {"text"} or a sample {"instruction", "input", "output"}, and adds `redacted` and `entities` [{type,
    start, end, score}], for a sample by field; MILLRACE_REDACTION_… settings apply. Secrets have types of their own:
    API_KEY, ACCESS_TOKEN, PRIVATE_KEY, PASSWORD, CONNECTION_STRING; names are PERSON, LOCATION, ORGANIZATION.

    score reads {"scores"} as in an event, and the sample if edits are among them, and adds `score`, `score_low`,
    `score_high` and `confidence`.

    gate reads a sample, or {"messages"}, with whatever an interaction has (model, consent, …), and adds `dropped` (null
    or the reason), `quality`, `gates`, `language`, `origin`. MILLRACE_CURATION applies to both.

    dedup reads {"id", "text"} and, if given, "prompt", and adds `duplicate_of` (null or the first one's id) and
    `similarity`. It knows all that it has read.

    With --to a line is a sample with its scores, and the stages follow each other, until one drops it.

    A bad line is reported on stderr with its number and answered with {"error"}; the filter goes on and exits 1 in the
    end.
    """
    logs.configure("ERROR")
    apply = _filter(_named("NAME", name), _named("--to", to or name), load(), explain, no_names, min_score)
    failed = False
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if not line.strip():
            continue
        try:
            given = parse_json(line)
            if not isinstance(given, dict):
                raise InvalidEvent("", "a line is a JSON object")
            answer = {**given, **apply(given, number)}
        except InvalidEvent as exc:
            failed = True
            sys.stderr.write(f"line {number}: {exc}\n")
            answer = {"error": str(exc)}
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()
    if failed:
        raise typer.Exit(1)


def _filter(
    name: Stage, to: Stage, settings: Settings, explain: bool, no_names: bool, min_score: float | None
) -> Filter:
    if min_score is not None:
        settings = msgspec.structs.replace(settings, redaction_min_score=min_score)
    first, last = STAGES.index(name), STAGES.index(to)
    if last < first:
        raise SettingError("--to", to, f"comes before {name}; the order is {', '.join(STAGES)}")
    analyzer: Analyzer | None = None
    if name == "redact":
        from streams.redaction import configured

        analyzer = configured.as_written(settings) if no_names else configured.detector(settings)
    if first == last and analyzer is not None:
        return Findings(analyzer, settings, explain)
    if first == last and name == "dedup":
        return Duplicates(curation.load(settings.curation), explain)
    return Way(STAGES[first : last + 1], analyzer, settings, explain)


def _named(what: str, name: str) -> Stage:
    for known in STAGES:
        if known == name:
            return known
    raise SettingError(what, name, f"must be one of {', '.join(STAGES)}")
