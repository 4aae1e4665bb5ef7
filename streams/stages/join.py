"""join: the events of one interaction, in the order in which they were applied, and what they say together.

The log only grows. The state *as of* an event is the log up to it, so that a replayed event brings about the same
outcome again, whatever has arrived since.
"""

from __future__ import annotations

from msgspec import Struct

from schemas.events import Interaction, RedactedEvent, Review, Score
from schemas.reasons import Reason
from streams.stages import Drop, Keep, Wait


class InteractionLog(Struct, frozen=True):
    """All events applied to one interaction, oldest application first; its length is the revision."""

    events: tuple[RedactedEvent, ...] = ()

    def apply(self, event: RedactedEvent) -> tuple[InteractionLog, int]:
        """The log with the event in it and the event's revision; one that is there already changes nothing."""
        for revision, applied in enumerate(self.events, start=1):
            if applied.event_id == event.event_id:
                return self, revision
        return InteractionLog((*self.events, event)), len(self.events) + 1

    def has(self, event_id: str) -> bool:
        """Whether an event was applied."""
        return any(event.event_id == event_id for event in self.events)

    def as_of(self, revision: int) -> InteractionLog:
        """The log as it was at a revision."""
        return InteractionLog(self.events[:revision])


def user_of(log: InteractionLog) -> str | None:
    """Whose interaction it is, as a keyed hash: what the last event that said so was told."""
    users = [event.interaction.user for event in log.events if event.interaction is not None]
    return users[-1] if users else None


class Scored(Struct, frozen=True):
    """A score that stands, with the event time and id that order it among others."""

    score: Score
    occurred_at: int
    event_id: str


class Joined(Struct, frozen=True):
    """One interaction with the feedback that stands: retracted scores are gone, the latest word counts.

    Latest is by event time, then event id, so that every order of arrival ends at the same.
    """

    interaction: Interaction
    scores: tuple[Scored, ...]
    review: Review | None
    consent: bool | None
    pii: dict[str, int]


def join(log: InteractionLog, now: int = 0, window: int | None = None) -> Keep[Joined] | Wait | Drop:
    """What the events of a log say together.

    Waits without an interaction or without any feedback ever, the latter for `window` µs from when Kafka took the
    interaction until `now`. Drops what was retracted, refused or rejected.
    """
    ordered = sorted(log.events, key=lambda event: (event.occurred_at, event.event_id))
    bodies = [event for event in ordered if event.interaction is not None]
    if not bodies:
        return Wait()
    latest = bodies[-1]
    assert latest.interaction is not None
    retracted = {event.retraction.of for event in ordered if event.retraction is not None}
    review = next((event.review for event in reversed(ordered) if event.review is not None), None)
    words = [event for event in ordered if event.consent is not None and event.consent.user is None]
    # Of two words of the same time the withdrawal counts.
    words.sort(key=lambda event: (event.occurred_at, event.consent is not None and not event.consent.granted))
    last_word = words[-1].consent if words else None
    consent = latest.interaction.consent if last_word is None else last_word.granted
    scores = tuple(
        Scored(score, event.occurred_at, event.event_id)
        for event in ordered
        if event.event_id not in retracted
        for score in event.scores
    )
    if consent is False:
        return Drop(Reason.CONSENT_WITHDRAWN)
    if review is not None and review.decision == "reject":
        return Drop(Reason.REVIEW_REJECTED)
    if not scores and not (review is not None and review.decision == "edit"):
        if any(map(_is_feedback, ordered)):
            return Drop(Reason.FEEDBACK_RETRACTED)
        overdue = window is not None and now - latest.received_at >= window
        return Drop(Reason.NO_FEEDBACK) if overdue else Wait()
    pii: dict[str, int] = {}
    for event in ordered:
        for kind, count in event.pii.items():
            pii[kind] = pii.get(kind, 0) + count
    return Keep(
        Joined(
            interaction=latest.interaction,
            scores=scores,
            review=review,
            consent=consent,
            pii=pii,
        )
    )


def _is_feedback(event: RedactedEvent) -> bool:
    """Whether an event by itself makes a sample of its interaction."""
    return bool(event.scores) or (event.review is not None and event.review.decision == "edit")
