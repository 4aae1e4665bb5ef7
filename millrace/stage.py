"""`millrace stage`: one stage as a filter, NDJSON in and out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
import typer

from schemas.errors import InvalidEvent
from schemas.intake import parse_json
from streams import logs
from streams.errors import SettingError
from streams.stages import dedup as deduping

Filter = Callable[[Mapping[str, Any]], dict[str, Any]]
STAGES = ("redact", "dedup")
_SAMPLE_TEXTS = ("instruction", "input", "output")


def stage(
    name: Annotated[str, typer.Argument(help="redact or dedup.")],
) -> None:
    """Run one stage on stdin, a JSON object a line, to stdout.

    redact reads {"text"} or a sample {"instruction", "input", "output"}, and adds `redacted` and `entities` [{type,
    start, end, score}], for a sample by field. dedup reads {"id", "text"} and, if given, "prompt", and adds
    `duplicate_of` (null or the first one's id) and `similarity`. A bad line is reported on stderr with its number and
    answered with {"error"}; the filter goes on and exits 1 in the end.
    """
    if name not in STAGES:
        raise SettingError("NAME", name, f"must be one of {', '.join(STAGES)}")
    logs.configure("ERROR")
    apply = _redact() if name == "redact" else _dedup()
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


def _redact() -> Filter:
    from streams.redaction.presidio import PresidioAnalyzer
    from streams.redaction.redactor import replaced

    analyzer = PresidioAnalyzer()

    def redact(text: str) -> tuple[str, list[dict[str, Any]]]:
        findings = sorted(analyzer.analyze(text), key=lambda finding: (finding.start, finding.end))
        redacted = replaced(text, findings, lambda finding, _: f"<{finding.type}>")
        return redacted, [finding._asdict() for finding in findings]

    def apply(given: Mapping[str, Any]) -> dict[str, Any]:
        if "text" in given or "output" not in given:
            redacted, entities = redact(_text(given, "text"))
            return {"redacted": redacted, "entities": entities}
        fields = {field: redact(_text(given, field)) for field in _SAMPLE_TEXTS if given.get(field) is not None}
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
