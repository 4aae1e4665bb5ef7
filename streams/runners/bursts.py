"""Whose scores come in bursts: for one batch, what the state knows of each person's hour, and what the batch adds."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.events import RedactedEvent
from streams.stages import hold
from streams.stages.join import InteractionLog
from streams.state import StateStore

Fields = dict[str, bytes]


class Bursts:
    """Say for each score in turn whether it is held. `changes` grows by what was let in and must be remembered."""

    def __init__(self, store: StateStore, most: int, scores: Iterable[tuple[RedactedEvent, str | None]]) -> None:
        """`most` a person and hour are let in; `scores` are the batch's events with scores, and whose interactions.

        Raises `StateUnavailable`.
        """
        self._most = most
        self._lanes = {event.event_id: _lanes(event, user) for event, user in scores}
        lanes = sorted({lane for lanes in self._lanes.values() for lane in lanes})
        self._let_in = dict(zip(lanes, map(set, store.load(lanes)), strict=True))
        self.changes: dict[str, Fields] = {}

    def is_over(self, event: RedactedEvent, log: InteractionLog) -> bool:
        """Whether an event is held; `log` is its interaction's before it. What was applied before never is."""
        if not any(score.rater == "user" for score in event.scores) or log.has(event.event_id):
            return False
        lanes = self._lanes[event.event_id]
        if not lanes:
            return hold.is_over(event.event_id, hold.anonymous(log, event), self._most)
        if any(hold.is_over(event.event_id, self._let_in[lane], self._most) for lane in lanes):
            return True
        for lane in lanes:
            self._let_in[lane].add(event.event_id)
            self.changes.setdefault(lane, {})[event.event_id] = b""
        return False


def _lanes(event: RedactedEvent, user: str | None) -> list[str]:
    """Where the state counts the persons whose scores an event brings."""
    return [f"burst:{event.tenant}/{judge}:{hold.hour(event)}" for judge in sorted(hold.judges(event, user))]
