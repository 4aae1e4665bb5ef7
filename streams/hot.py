"""Which tenant or interaction takes so much of the traffic that the others wait for it. Pure: time comes in.

Counted is only while the process is behind: without a backlog nobody waits for anybody. Memory is bounded by the
space-saving sketch of Metwally et al. (2005), its counts decayed exponentially, so that what was long ago fades.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

By = Literal["tenant", "interaction"]

HALF_LIFE_S: Final = 10.0
LATE_S: Final = 1.0
"""Records wait for less than this where nobody is behind."""
_LEAST_BATCHES: Final = 2
"""A batch may hold mostly one partition's records, and a partition one interaction's."""
EVENT_WEIGHT: Final = 1_000
"""What an event costs beside its bytes, in bytes: some texts' worth."""
_CAPACITY: Final = 64
"""Names that are counted at once: a count is too high by a 64th of the whole at most."""
_LARGEST_SCALE: Final = 1e100


class DecayedCounts:
    """The heaviest names, each with bounds of its weight; weights halve every `half_life_s`."""

    def __init__(self, capacity: int = _CAPACITY, half_life_s: float = HALF_LIFE_S) -> None:
        self._capacity = capacity
        self._half_life_s = half_life_s
        self._since_s = 0.0
        self._total = 0.0
        self._counts: dict[str, tuple[float, float]] = {}  # name → weight at most, and by how much that may be too much

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, name: str, weight: float, now_s: float) -> None:
        """Count a name. Times must not go backwards."""
        scaled = weight * self._scale(now_s)
        self._total += scaled
        if (held := self._counts.get(name)) is not None:
            self._counts[name] = (held[0] + scaled, held[1])
        elif len(self._counts) < self._capacity:
            self._counts[name] = (scaled, 0.0)
        else:
            lightest = min(self._counts, key=lambda each: self._counts[each][0])
            least = self._counts.pop(lightest)[0]
            self._counts[name] = (least + scaled, least)

    def share(self, name: str) -> float:
        """At least this part of the whole is the name's, in [0, 1]."""
        weight, excess = self._counts.get(name, (0.0, 0.0))
        return (weight - excess) / self._total if self._total > 0 else 0.0

    def others(self, name: str, now_s: float) -> float:
        """At least this weight, as of now, is not the name's."""
        if (held := self._counts.get(name)) is not None:
            most = held[0]
        else:
            most = min(weight for weight, _ in self._counts.values()) if len(self._counts) == self._capacity else 0.0
        return max(0.0, self._total - most) / self._scale(now_s)

    def _scale(self, now_s: float) -> float:
        """What counts now is multiplied, instead of dividing all that counted before."""
        if not self._counts:
            self._since_s, self._total = now_s, 0.0
        scale = math.pow(2.0, min(1_000.0, (now_s - self._since_s) / self._half_life_s))
        if scale > _LARGEST_SCALE:
            self._counts = {name: (weight / scale, excess / scale) for name, (weight, excess) in self._counts.items()}
            self._total /= scale
            self._since_s, scale = now_s, 1.0
        return scale


class Traffic(NamedTuple):
    """An event as `HotSpots` sees it. `interaction` names its tenant too; empty where there is none."""

    tenant: str
    interaction: str
    size_bytes: int


class HotSpots:
    """Says of each event of a batch whether it is one of a hot tenant or interaction.

    Hot is what takes more than `share` of a backlog while somebody else is in it. A backlog begins with a batch that
    has waited for `LATE_S` and another batch behind it, and ends when there is less than a batch left.
    """

    def __init__(self, share: float, batch_events: int) -> None:
        """With a `share` of 1 nothing is ever hot."""
        self._share = share
        self._batch_events = batch_events
        self._forget()

    def look(self, events: Sequence[Traffic], now_s: float, waiting: int, waited_s: float) -> list[By | None]:
        """By what each event is hot, None for what is not.

        `waiting`: records behind this batch; `waited_s`: for how long its oldest record has been in Kafka.
        """
        if waiting < self._batch_events:
            self._forget()
        elif waited_s >= LATE_S:
            self._behind = True
        if not self._behind or self._share >= 1:
            return [None] * len(events)
        for event in events:
            weight = EVENT_WEIGHT + event.size_bytes
            self._tenants.add(event.tenant, weight, now_s)
            self._interactions.add(event.interaction, weight, now_s)
        self._events += len(events)
        if self._events < _LEAST_BATCHES * self._batch_events:
            return [None] * len(events)
        tenants = self._hot(self._tenants, {event.tenant for event in events}, now_s)
        interactions = self._hot(self._interactions, {event.interaction for event in events} - {""}, now_s)
        return [
            "interaction" if event.interaction in interactions else "tenant" if event.tenant in tenants else None
            for event in events
        ]

    def _hot(self, counts: DecayedCounts, names: set[str], now_s: float) -> set[str]:
        return {
            name
            for name in names
            if counts.share(name) > self._share and counts.others(name, now_s) >= EVENT_WEIGHT / 2
        }

    def _forget(self) -> None:
        self._tenants, self._interactions = DecayedCounts(), DecayedCounts()
        self._events = 0
        self._behind = False
