"""hold: of a burst of scores by one person, what comes after the first so many in an hour is held for a person to see.

Held is no verdict: the event is in `events`, its interaction stays as it was, and `millrace held release` lets it in.
Who was let in is remembered by event id, so that a replay finds its own place and never a second one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from schemas.events import RedactedEvent
from streams.stages.join import InteractionLog

HOUR_US: Final = 3_600_000_000


def hour(event: RedactedEvent) -> int:
    """The hour that an event is counted in, since 1970; by event time, so that a backfill is no burst."""
    return event.occurred_at // HOUR_US


def judges(event: RedactedEvent, user: str | None) -> frozenset[str]:
    """The persons whose scores an event brings, as keyed hashes; `user` is its interaction's, if known.

    Experts, models and metrics judge by the thousand and are no burst.
    """
    found = {score.by or user for score in event.scores if score.rater == "user"}
    return frozenset(judge for judge in found if judge is not None)


def is_over(event_id: str, let_in: Collection[str], most: int) -> bool:
    """Whether an event comes after the first `most`, of which `let_in` are the ids."""
    return event_id not in let_in and len(let_in) >= most


def anonymous(log: InteractionLog, event: RedactedEvent) -> frozenset[str]:
    """Ids of the events that brought users' scores to an interaction in the hour of `event`, and it among them if so.

    For scores of which nobody knows whose they are: they count by interaction.
    """
    return frozenset(
        other.event_id
        for other in log.events
        if hour(other) == hour(event) and any(score.rater == "user" for score in other.scores)
    )
