"""Outcomes and dead letters for tests, with everything that does not matter filled in."""

from __future__ import annotations

from typing import Any

from schemas.events import Message, Position, Score
from schemas.outcomes import DeadLetter, GateOutcome, Outcome, Rejection, Sample, SealedCopy, SourceEvent
from schemas.reasons import Reason
from tests.events import NOW_US


def sample(**fields: Any) -> Sample:
    """A sample that passed everything."""
    filled: dict[str, Any] = {
        "instruction": "question",
        "input": "",
        "output": "answer",
        "messages": (Message("user", "question"), Message("assistant", "answer")),
        "tools": None,
        "score": 1.0,
        "confidence": 0.5,
        "scores": (Score("thumbs", 1.0),),
        "quality": 0.9,
        "gates": (GateOutcome("length", "quality", True, None, 12.0),),
        "origin": "base",
        "rejected_output": None,
        "preferred_over": (),
        "duplicate_of": None,
        "similarity": None,
        "cluster": "c",
        "role": None,
        "task_type": None,
        "intent": None,
        "language": "en",
        "model": "m",
        "model_version": None,
        "variant": None,
        "user": None,
        "tags": (),
        "consent": None,
        "sensitive": False,
        "pii": {"PERSON": 1},
    }
    return Sample(**{**filled, **fields})


def outcome(
    interaction_id: str,
    revision: int = 1,
    at: int = 0,
    entry: Position | None = None,
    rejected: Reason | None = None,
    scope: str = "interaction",
    tenant: str = "t",
    received_at: int | None = None,
    **fields: Any,
) -> Outcome:
    """A sample's revision, or with `rejected` a rejection, of the event at raw offset `at`."""
    entry = Position("raw", 0, at) if entry is None else entry
    event_id = f"{interaction_id}-{revision}"
    rejection = None if rejected is None else Rejection(reason=rejected, stage="gate", scope=scope)  # type: ignore[arg-type]
    return Outcome(
        sample_id=f"{tenant}/{interaction_id}",
        revision=revision,
        tenant=tenant,
        interaction_id=interaction_id,
        event_id=event_id,
        entry=entry,
        occurred_at=NOW_US + at * 1_000_000,
        received_at=NOW_US + at * 1_000_000 if received_at is None else received_at,
        sources=(SourceEvent(event_id, entry),),
        redactor="test",
        rules="test",
        sample=sample(**fields) if rejection is None else None,
        rejection=rejection,
    )


def letter(at: int = 0, entry: Position | None = None, stage: str = "redact", **fields: Any) -> DeadLetter:
    """A sealed dead letter of the record at raw offset `at`."""
    filled: dict[str, Any] = {
        "entry": Position("raw", 0, at) if entry is None else entry,
        "topic": "feedback.events",
        "reason": Reason.UNDECODABLE,
        "stage": stage,
        "received_at": NOW_US + at * 1_000_000,
        "sealed": (SealedCopy("key", b"box"),),
        "original": b"original",
    }
    return DeadLetter(**{**filled, **fields})


def copies_of(column: list[dict[str, Any]]) -> tuple[SealedCopy, ...]:
    """The column `sealed` of a row of `dead_letters` as it was before it became a row."""
    return tuple(SealedCopy(copy["key_id"], copy["box"]) for copy in column)
