"""Stages as filters, for `millrace stage`: one line of JSON in, what the stages say of it out.

A line is read as the sample of an app: `{instruction, input, output}` or `{messages}` with whatever else an interaction
has, or `{interaction: …}`; with `score` or `scores`, if there are any. redact and dedup alone read bare texts as well.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, get_args

import msgspec

from schemas.curation import Curation
from schemas.errors import InvalidEvent
from schemas.events import FeedbackEvent, Position, RedactedEvent
from schemas.intake import event_from_json
from streams import curation
from streams.errors import RedactionError
from streams.redaction import Analyzer, policy
from streams.redaction.hashing import KeyedHasher
from streams.redaction.redactor import Redactor
from streams.runners import duplicates
from streams.settings import Settings
from streams.stages import Drop, dedup, score
from streams.stages.gate import Gates
from streams.stages.join import Joined, Scored
from streams.stages.normalise import Numbering, normalise
from streams.stages.redact import redact as redact_event
from streams.state.sqlite import SqliteState

Stage = Literal["redact", "score", "gate", "dedup"]
STAGES: Final[Sequence[Stage]] = get_args(Stage)

Filter = Callable[[Mapping[str, Any], int], dict[str, Any]]
"""From a line and its number to what is added to it. Raises `InvalidEvent`."""

_PARTS: Final = ("interaction", "score", "scores", "review", "consent")
_TEXTS: Final = ("instruction", "input", "output")
_ENTITY: Final = ("type", "start", "end", "score")
_STREAM_S: Final = 36_500 * 86_400
"""Longer than any stream: what a filter has read it knows to the end."""


class Findings:
    """redact alone: what is found in a text, or in the texts of a sample, and what stands there instead."""

    def __init__(self, analyzer: Analyzer, settings: Settings, explain: bool) -> None:
        self._analyzer = analyzer
        self._redactor = _redactor(analyzer, _hasher(settings), settings)
        self._explain = explain

    def __call__(self, given: Mapping[str, Any], number: int) -> dict[str, Any]:
        """`redacted` and `entities`; for a sample by field."""
        numbering, known = Numbering(), dict[str, str]()
        try:
            if "text" in given or "output" not in given:
                redacted, entities = self._redact(_text(given, "text"), numbering, known)
                return {"redacted": redacted, "entities": entities}
            fields = {
                field: self._redact(_text(given, field), numbering, known)
                for field in _TEXTS
                if given.get(field) is not None
            }
        except RedactionError as exc:
            raise InvalidEvent("", str(exc)) from exc
        return {
            "redacted": {field: text for field, (text, _) in fields.items()},
            "entities": [{"field": field, **entity} for field, (_, found) in fields.items() for entity in found],
        }

    def _redact(self, text: str, numbering: Numbering, known: dict[str, str]) -> tuple[str, list[dict[str, Any]]]:
        redacted = numbering.number(self._redactor.replace(text, "", "", Counter(), known))
        findings = sorted(self._analyzer.analyze(text), key=lambda finding: (finding.start, finding.end, finding.type))
        entities = [finding._asdict() for finding in findings]
        return redacted, entities if self._explain else [{key: each[key] for key in _ENTITY} for each in entities]


class Duplicates:
    """dedup alone: of bare texts by id, whose near duplicate each is, among all that came before."""

    def __init__(self, rules: Curation, explain: bool) -> None:
        self._threshold = rules.dedup.threshold
        self._store = SqliteState(":memory:")
        self._explain = explain

    def __call__(self, given: Mapping[str, Any], number: int) -> dict[str, Any]:
        """`duplicate_of` and `similarity`, null where there is none."""
        name = str(given.get("id", ""))
        if not name:
            raise InvalidEvent("id", "is required")
        prompt = _text(given, "prompt") if given.get("prompt") is not None else ""
        return self.find(name, dedup.Said("", prompt, _text(given, "text")))

    def find(self, name: str, said: dedup.Said) -> dict[str, Any]:
        """The same for what a sample said."""
        (verdict,) = duplicates.find(self._store, [(name, said)], self._threshold, _STREAM_S)
        duplicate = verdict.duplicate
        answer: dict[str, Any] = {
            "duplicate_of": None if duplicate is None else duplicate.of,
            "similarity": None if duplicate is None else duplicate.similarity,
        }
        if self._explain:
            answer["why"] = [dedup.explain(name, verdict.compared, self._threshold)]
        return answer


class Way:
    """Several stages, each on what the one before made of a sample; they end where one drops it (`dropped`)."""

    def __init__(self, stages: Sequence[Stage], analyzer: Analyzer | None, settings: Settings, explain: bool) -> None:
        """`analyzer` is what redact finds with, if that is one of the stages."""
        self._stages = stages
        self._explain = explain
        self._hasher = _hasher(settings)
        self._redactor = None if analyzer is None else _redactor(analyzer, self._hasher, settings)
        self._rules = rules = curation.load(settings.curation)
        self._gates = Gates(rules.gates, policy.parse(settings.redaction_policy)) if "gate" in stages else None
        self._duplicates = Duplicates(rules, explain) if "dedup" in stages else None

    def __call__(self, given: Mapping[str, Any], number: int) -> dict[str, Any]:
        """What each stage says, and with `explain` why."""
        event = self._redacted(_event(given, number), number)
        answer: dict[str, Any] = {}
        if "redact" in self._stages:
            answer |= {"redacted": msgspec.to_builtins(event.interaction), "pii": event.pii}
        if "score" in self._stages:
            answer |= self._score(event)
        if self._gates is not None or self._duplicates is not None:
            answer |= self._curate(event, answer.pop("why", []))
        return answer

    def _redacted(self, event: FeedbackEvent, number: int) -> RedactedEvent:
        entry = Position("line", 0, number)
        if self._redactor is not None:
            verdict = redact_event(event, entry, event.occurred_at, self._redactor, self._hasher)
            if isinstance(verdict, Drop):
                raise InvalidEvent("", verdict.reason)
            return verdict.record
        names = set(RedactedEvent.__struct_fields__) & set(FeedbackEvent.__struct_fields__)
        as_it_is = {name: getattr(event, name) for name in names}
        return RedactedEvent(**as_it_is, received_at=0, clock="ok", entry=entry, digest="", redactor="")

    def _score(self, event: RedactedEvent) -> dict[str, Any]:
        combined = score.combine(_scored(event), self._rules.scores, event.interaction)
        answer: dict[str, Any] = {
            "score": combined.score,
            "score_low": combined.low,
            "score_high": combined.high,
            "confidence": combined.confidence,
        }
        return answer | self._why(score.explain(combined))

    def _curate(self, event: RedactedEvent, why: list[str]) -> dict[str, Any]:
        if event.interaction is None:
            raise InvalidEvent("messages", "a sample is required: messages, or instruction and output")
        consent = event.interaction.consent if event.consent is None else event.consent.granted
        normalised = normalise(
            Joined(event.interaction, _scored(event), event.review, consent, event.pii), self._rules.normalise
        )
        if isinstance(normalised, Drop):
            return _dropped(normalised) | self._why([*why, f"dropped: {normalised.reason}"])
        answer: dict[str, Any] = {"dropped": None}
        if self._gates is not None:
            verdict = self._gates(normalised.record)
            why = [*why, *self._gates.explain(verdict)]
            if isinstance(verdict, Drop):
                return _dropped(verdict) | self._why(why)
            gated = verdict.record
            answer |= {"quality": gated.quality, "gates": msgspec.to_builtins(gated.gates)}
            answer |= {"language": gated.language, "origin": gated.origin, "awaits_review": gated.awaits_review}
        if self._duplicates is not None:
            answer |= self._duplicates.find(event.interaction_id, dedup.said_by(event.tenant, normalised.record))
        return answer | self._why([*why, *answer.get("why", [])])

    def _why(self, lines: list[str]) -> dict[str, Any]:
        return {"why": lines} if self._explain else {}


def _hasher(settings: Settings) -> KeyedHasher:
    return KeyedHasher(settings.hash_key or secrets.token_hex(32))


def _redactor(analyzer: Analyzer, hasher: KeyedHasher, settings: Settings) -> Redactor:
    return Redactor(analyzer, hasher, settings.max_text_chars, policy.parse(settings.redaction_policy))


def _event(given: Mapping[str, Any], number: int) -> FeedbackEvent:
    """The event that a line stands for: of an app's own, or a sample as one."""
    name = str(given.get("id") or given.get("interaction_id") or f"line {number}")
    parts = {part: given[part] for part in _PARTS if part in given}
    if isinstance(given.get("consent"), bool):
        del parts["consent"]  # it is the interaction's own
    if "interaction" not in given and ("messages" in given or "output" in given):
        parts["interaction"] = {key: value for key, value in given.items() if key not in parts}
    return event_from_json({"event_id": name, "interaction_id": name, **parts})


def _scored(event: RedactedEvent) -> tuple[Scored, ...]:
    return tuple(Scored(each, event.occurred_at, f"{event.event_id}/{at:09}") for at, each in enumerate(event.scores))


def _dropped(drop: Drop) -> dict[str, Any]:
    return {"dropped": drop.reason, "gates": msgspec.to_builtins(drop.gates)}


def _text(given: Mapping[str, Any], field: str) -> str:
    text = given.get(field)
    if not isinstance(text, str):
        raise InvalidEvent(field, "must be a text")
    return text
