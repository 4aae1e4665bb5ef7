"""redact: a raw event becomes a redacted one. The PII boundary: it fails closed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from schemas.events import (
    Clock,
    Consent,
    Erasure,
    FeedbackEvent,
    Interaction,
    Position,
    RedactedEvent,
    Review,
    Score,
)
from schemas.reasons import Reason
from streams.errors import RedactionError
from streams.redaction.hashing import KeyedHasher
from streams.redaction.redactor import InteractionRedactor, Redactor
from streams.stages import Drop, Keep

EARLIEST_OCCURRED_AT: Final = 1_262_304_000_000_000
"""2010-01-01T00:00Z in epoch µs: no app of ours is older; an unset clock says 1970."""

LATEST_AHEAD: Final = 86_400_000_000
"""24 h in µs: how far ahead of Kafka's time an app's clock may be, time zone mistakes included."""


def redact(
    event: FeedbackEvent, entry: Position, received_at: int, redactor: Redactor, hasher: KeyedHasher
) -> Keep[RedactedEvent] | Drop:
    """Redact one event that entered at `entry` and that Kafka took at `received_at` (epoch µs)."""
    within = redactor.within(event.tenant, event.interaction_id)
    try:
        known = -1
        while known < len(within.known):  # a value that a later text gave away may stand in an earlier one
            known = len(within.known)
            within.counts.clear()
            interaction, scores, review = _texts(event, within)
    except RedactionError:
        return Drop(Reason.REDACTION_FAILED)
    occurred_at, clock = bound(event.occurred_at, received_at)
    consent = event.consent and Consent(event.consent.granted, within.user(event.consent.user))
    erasure = event.erasure and Erasure(redactor.person(event.tenant, event.erasure.user))
    return Keep(
        RedactedEvent(
            event_id=event.event_id,
            source=event.source,
            occurred_at=occurred_at,
            received_at=received_at,
            clock=clock,
            tenant=event.tenant,
            interaction_id=event.interaction_id,
            entry=entry,
            digest=hasher.body(event),
            redactor=redactor.version,
            pii=dict(within.counts),
            interaction=interaction,
            scores=scores,
            retraction=event.retraction,
            review=review,
            consent=consent,
            erasure=erasure,
        )
    )


def _texts(
    event: FeedbackEvent, within: InteractionRedactor
) -> tuple[Interaction | None, tuple[Score, ...], Review | None]:
    interaction = None if event.interaction is None else within.interaction(event.interaction)
    scores = tuple(within.score(score) for score in event.scores)
    return interaction, scores, None if event.review is None else within.review(event.review)


def texts_of(event: FeedbackEvent) -> Iterator[str]:
    """The texts of an event that are looked at whole, as they are; what is inside JSON is not among them."""
    for message in event.interaction.messages if event.interaction is not None else ():
        if message.content:
            yield message.content
        yield from (part.text for part in message.parts if part.text)
    yield from (score.text for score in event.scores if score.text)
    if event.review is not None:
        yield from filter(None, (event.review.output, event.review.comment))


def bound(occurred_at: int, received_at: int) -> tuple[int, Clock]:
    """The event time to use, and whether the app's clock was off: a time out of bounds becomes `received_at`."""
    if occurred_at == 0:
        return received_at, "ok"
    if occurred_at < EARLIEST_OCCURRED_AT:
        return received_at, "past"
    if occurred_at > received_at + LATEST_AHEAD:
        return received_at, "future"
    return occurred_at, "ok"
