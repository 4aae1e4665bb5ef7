"""Interactions for the gates, with everything that does not matter filled in."""

from __future__ import annotations

from typing import Any

from schemas.curation import Default, Gating, Strict
from schemas.events import Interaction, Message, Review, Score
from schemas.outcomes import GateOutcome
from streams.gates import Candidate, candidate
from streams.stages import Drop, Keep
from streams.stages.gate import Gated
from streams.stages.join import Joined, Scored
from streams.stages.normalise import Normalised, normalise

THUMB = Scored(Score("thumbs", value=1.0), 1, "thumb")


def normalised(
    answer: str | Message = "Because.",
    prompt: str = "Why?",
    *,
    system: str | None = None,
    scores: tuple[Scored, ...] = (THUMB,),
    review: Review | None = None,
    consent: bool | None = None,
    pii: dict[str, int] | None = None,
    **fields: Any,
) -> Normalised:
    """One question and its answer, normalised; `fields` are the interaction's."""
    head = () if system is None else (Message("system", system),)
    last = Message("assistant", answer) if isinstance(answer, str) else answer
    body = Interaction((*head, Message("user", prompt), last), **fields)
    kept = normalise(Joined(body, scores, review, consent, pii or {}))
    assert isinstance(kept, Keep)
    return kept.record


def judged(answer: str | Message = "Because.", prompt: str = "Why?", **fields: Any) -> Candidate:
    """What a single gate is given."""
    return candidate(normalised(answer, prompt, **fields))


def mine(extends: type[Default] | type[Strict] = Default, **criteria: Any) -> Gating:
    """The gates with a profile of one's own."""
    return Gating("mine", {"mine": extends(**criteria)})


def kept(verdict: Keep[Gated] | Drop) -> Gated:
    """What passed."""
    assert isinstance(verdict, Keep), verdict
    return verdict.record


def dropped(verdict: Keep[Gated] | Drop) -> Drop:
    """What did not."""
    assert isinstance(verdict, Drop), verdict
    return verdict


def outcome(verdict: Keep[Gated] | Drop, gate: str) -> GateOutcome:
    """What one gate said."""
    gates = verdict.gates if isinstance(verdict, Drop) else verdict.record.gates
    (found,) = (each for each in gates if each.gate == gate)
    return found
