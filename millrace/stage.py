"""`millrace stage`: one stage as a filter, NDJSON in and out."""

from __future__ import annotations

import secrets
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
import typer

from schemas.errors import InvalidEvent
from schemas.intake import parse_json
from streams import logs
from streams.errors import RedactionError, SettingError
from streams.settings import load
from streams.stages import dedup as deduping

Filter = Callable[[Mapping[str, Any]], dict[str, Any]]
STAGES = ("redact", "dedup")
_SAMPLE_TEXTS = ("instruction", "input", "output")
_ENTITY = ("type", "start", "end", "score")


def stage(
    name: Annotated[str, typer.Argument(help="redact or dedup.")],
    explain: Annotated[bool, typer.Option("--explain", help="redact: tell the rule of each finding.")] = False,
    no_names: Annotated[
        bool, typer.Option("--no-names", help="redact: only what stock Presidio finds, and secrets.")
    ] = False,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="redact: leave out findings of patterns below this score.")
    ] = None,
) -> None:
    """Run one stage on stdin, a JSON object a line, to stdout.

    redact reads {"text"} or a sample {"instruction", "input", "output"}, and adds `redacted` and `entities` [{type,
    start, end, score}], for a sample by field; MILLRACE_REDACTION_… settings apply. Secrets have types of their own:
    API_KEY, ACCESS_TOKEN, PRIVATE_KEY, PASSWORD, CONNECTION_STRING; names are PERSON, LOCATION, ORGANIZATION.

    dedup reads {"id", "text"} and, if given, "prompt", and adds `duplicate_of` (null or the first one's id) and
    `similarity`.

    A bad line is reported on stderr with its number and
    answered with {"error"}; the filter goes on and exits 1 in the end.
    """
    if name not in STAGES:
        raise SettingError("NAME", name, f"must be one of {', '.join(STAGES)}")
    logs.configure("ERROR")
    apply = _redact(explain, no_names, min_score) if name == "redact" else _dedup()
    failed = False
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if not line.strip():
            continue
        try:
            given = parse_json(line)
            if not isinstance(given, dict):
                raise InvalidEvent("", "a line is a JSON object")
            answer = {**given, **apply(given)}
        except InvalidEvent as exc:
            failed = True
            sys.stderr.write(f"line {number}: {exc}\n")
            answer = {"error": str(exc)}
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()
    if failed:
        raise typer.Exit(1)


def _redact(explain: bool, no_names: bool, min_score: float | None) -> Filter:
    from streams.redaction import configured, policy
    from streams.redaction.hashing import KeyedHasher
    from streams.redaction.redactor import Redactor
    from streams.stages.normalise import Numbering

    settings = load()
    if min_score is not None:
        settings = msgspec.structs.replace(settings, redaction_min_score=min_score)
    analyzer = configured.as_written(settings) if no_names else configured.detector(settings)
    hasher = KeyedHasher(settings.hash_key or secrets.token_hex(32))
    redactor = Redactor(analyzer, hasher, settings.max_text_chars, policy.parse(settings.redaction_policy))

    def redact(text: str, numbering: Numbering, known: dict[str, str]) -> tuple[str, list[dict[str, Any]]]:
        redacted = numbering.number(redactor.replace(text, "", "", Counter(), known))
        findings = sorted(analyzer.analyze(text), key=lambda finding: (finding.start, finding.end, finding.type))
        entities = [finding._asdict() for finding in findings]
        return redacted, entities if explain else [{key: each[key] for key in _ENTITY} for each in entities]

    def apply(given: Mapping[str, Any]) -> dict[str, Any]:
        numbering, known = Numbering(), dict[str, str]()
        try:
            if "text" in given or "output" not in given:
                redacted, entities = redact(_text(given, "text"), numbering, known)
                return {"redacted": redacted, "entities": entities}
            fields = {
                field: redact(_text(given, field), numbering, known)
                for field in _SAMPLE_TEXTS
                if given.get(field) is not None
            }
        except RedactionError as exc:
            raise InvalidEvent("", str(exc)) from exc
        return {
            "redacted": {field: text for field, (text, _) in fields.items()},
            "entities": [{"field": field, **entity} for field, (_, found) in fields.items() for entity in found],
        }

    return apply


def _dedup() -> Filter:
    owners: dict[str, str] = {}
    prints: dict[str, deduping.Fingerprint] = {}

    def apply(given: Mapping[str, Any]) -> dict[str, Any]:
        name = str(given.get("id", ""))
        if not name:
            raise InvalidEvent("id", "is required")
        prompt = _text(given, "prompt") if given.get("prompt") is not None else ""
        own = deduping.fingerprint(prompt, _text(given, "text"))
        token = deduping.owner_token(name, own)
        prints.setdefault(token, own)
        held = [owners.setdefault(f"{row}:{band}", token) for row, band in enumerate(own.bands())]
        duplicate = deduping.decide(name, own, held, prints)
        return {
            "duplicate_of": None if duplicate is None else duplicate.of,
            "similarity": None if duplicate is None else duplicate.similarity,
        }

    return apply


def _text(given: Mapping[str, Any], field: str) -> str:
    text = given.get(field)
    if not isinstance(text, str):
        raise InvalidEvent(field, "must be a text")
    return text
