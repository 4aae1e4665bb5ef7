"""From a verdict to the outcome that is written: a sample's revision or a rejection, with its lineage."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from schemas.events import Position, RedactedEvent
from schemas.outcomes import Outcome, Rejection, Sample, SourceEvent
from schemas.reasons import Reason
from streams.stages import Drop, dedup, gate, normalise, score
from streams.stages.gate import Gated
from streams.stages.join import InteractionLog

RULES: Final = " ".join((normalise.VERSION, score.VERSION, gate.VERSION, dedup.VERSION))
"""Lineage of an outcome: the versions of the stages; with it goes that of the curation file."""


class Applied(Struct, frozen=True):
    """One event applied to its interaction: where it entered, when, the log as of it, and under which rules."""

    event: RedactedEvent
    entry: Position
    received_at: int
    log: InteractionLog
    rules: str


def sample_id(event: RedactedEvent) -> str:
    """The sample of an interaction, the same for all its revisions."""
    return f"{event.tenant}/{event.interaction_id}"


def sampled(applied: Applied, gated: Gated, combined: score.Combined, duplicate: dedup.Duplicate | None) -> Outcome:
    """The outcome for an interaction that became a sample."""
    normalised, joined = gated.normalised, gated.normalised.joined
    interaction = joined.interaction
    sample = Sample(
        instruction=normalised.instruction,
        system=normalised.system,
        input=normalised.input,
        output=normalised.output,
        messages=normalised.messages,
        prompt_id=normalise.prompt_id(
            applied.event.tenant, interaction.role, normalised.messages[:-1], normalised.tools
        ),
        tools=normalised.tools,
        score=combined.score,
        score_low=combined.low,
        score_high=combined.high,
        confidence=combined.confidence,
        scores=tuple(held.score for held in joined.scores),
        quality=gated.quality,
        gates=gated.gates,
        origin=gated.origin,
        reviewed=gated.reviewed,
        awaits_review=gated.awaits_review,
        profile=gated.profile,
        rejected_output=normalised.rejected_output,
        preferred_over=combined.preferred_over,
        duplicate_of=None if duplicate is None else duplicate.of,
        similarity=None if duplicate is None else duplicate.similarity,
        cluster=sample_id(applied.event) if duplicate is None else duplicate.of,
        role=interaction.role,
        task_type=interaction.task_type,
        intent=interaction.intent,
        difficulty=interaction.difficulty,
        language=gated.language,
        model=interaction.model,
        model_version=interaction.model_version,
        variant=interaction.variant,
        user=interaction.user,
        tags=interaction.tags,
        consent=joined.consent,
        sensitive=interaction.sensitive,
        pii=joined.pii,
    )
    return _outcome(applied, sample=sample)


def rejected(applied: Applied, drop: Drop, stage: str) -> Outcome:
    """The outcome for an interaction that a stage dropped."""
    return _outcome(
        applied, rejection=Rejection(reason=drop.reason, stage=stage, scope="interaction", gates=drop.gates)
    )


def conflict(applied: Applied) -> Outcome:
    """The outcome for an event whose id another event already has; its interaction stays as it was."""
    return _outcome(applied, rejection=Rejection(reason=Reason.ID_CONFLICT, stage="claim", scope="event"))


def held(applied: Applied) -> Outcome:
    """The outcome for a score that is held; its interaction stays as it was."""
    return _outcome(applied, rejection=Rejection(reason=Reason.BURST_HELD, stage="hold", scope="event"))


def _outcome(applied: Applied, sample: Sample | None = None, rejection: Rejection | None = None) -> Outcome:
    event = applied.event
    return Outcome(
        sample_id=sample_id(event),
        revision=len(applied.log.events),
        tenant=event.tenant,
        interaction_id=event.interaction_id,
        event_id=event.event_id,
        entry=applied.entry,
        occurred_at=event.occurred_at,
        received_at=applied.received_at,
        sources=tuple(SourceEvent(source.event_id, source.entry) for source in applied.log.events),
        redactor=event.redactor,
        rules=applied.rules,
        sample=sample,
        rejection=rejection,
    )
