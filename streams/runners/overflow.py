"""What is hot goes round: as it came, into the topic `reentry`, which a lane of its own redacts behind the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from schemas.events import FeedbackEvent
from streams import metrics
from streams.brokers import Outgoing
from streams.hot import HotSpots, Traffic
from streams.reentry import Origin
from streams.runners import RawRecord, counted
from streams.settings import Settings


class Diversion:
    """Decides which records of a batch go round. `waiting` says how many records lie behind the batch."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives epoch seconds."""
        self.waiting = 0
        self._topic = settings.topic("reentry")
        self._spots = HotSpots(settings.hot_share, settings.batch_events)
        self._clock = clock

    def divert(
        self, records: Sequence[RawRecord], decoded: Sequence[FeedbackEvent | Exception]
    ) -> list[Outgoing | None]:
        """For each record what is produced instead of redacting it; None for what does not go round."""
        now_s = self._clock()
        there = [
            (at, record, event)
            for at, (record, event) in enumerate(zip(records, decoded, strict=True))
            if isinstance(event, FeedbackEvent)
        ]
        traffic = [_traffic(record, event) for _, record, event in there]
        waited_s = now_s - min((record.timestamp_ms for _, record, _ in there), default=0) / 1_000
        diverted: list[Outgoing | None] = [None] * len(records)
        hot = self._spots.look(traffic, now_s, self.waiting, waited_s)
        for (at, record, event), by in zip(there, hot, strict=True):
            if by is not None:
                counted(metrics.DIVERTED, by)
                diverted[at] = self._as_it_came(record, event)
        return diverted

    def _as_it_came(self, record: RawRecord, event: FeedbackEvent) -> Outgoing:
        """Keyed by interaction: those of a hot tenant spread over the partitions, a hot interaction stays in one."""
        key = f"{event.tenant}/{event.interaction_id or event.event_id}"
        headers = Origin(record.source, record.timestamp_ms, record.attempts).headers()
        return Outgoing(self._topic, key.encode(), record.value or b"", headers=headers)


def _traffic(record: RawRecord, event: FeedbackEvent) -> Traffic:
    interaction = f"{event.tenant}/{event.interaction_id}" if event.interaction_id else ""
    return Traffic(event.tenant, interaction, len(record.value or b""))
