"""Up to where a partition may be committed: pure bookkeeping of what was delivered and what was acknowledged.

Faust 0.15.3 keeps the acknowledged offsets and the gaps between them, and commits past unprocessed events
(faust-streaming issue #606; its mend, PR #707, is in no release). Here it is the other way round: kept is what was
delivered and not yet acknowledged. Then a gap needs no bookkeeping, whoever made it: an offset that Kafka never
delivers (compacted, aborted, a transaction's marker) is never open.
"""

from __future__ import annotations


class OffsetLedger:
    """One partition in one assignment: an offset is open from its delivery to its acknowledgement.

    `committed` is what Kafka is known to hold: the next offset that the group would read, None for nothing at all.
    """

    __slots__ = ("_next", "_open", "_position", "committed")

    def __init__(self, committed: int | None) -> None:
        self.committed = committed
        self._position = committed
        self._next = committed
        self._open: dict[int, None] = {}  # an ordered set: new offsets only ever grow

    def deliver(self, offset: int) -> bool:
        """Note a record that Kafka handed over; False when it was acknowledged before and need not be processed."""
        if self._next is None or offset >= self._next:
            self._open[offset] = None
            self._next = offset + 1
            return True
        return offset in self._open

    def acknowledge(self, offset: int) -> bool:
        """Close an offset, whatever others are open; False when it was not open."""
        return self._open.pop(offset, -1) is None

    def advance(self, position: int) -> None:
        """Note that Kafka has nothing to deliver below `position` that it did not deliver already."""
        if self._next is None or position > self._next:
            self._next = position

    @property
    def position(self) -> int | None:
        """What may be committed: the first open offset, else one past the last known; None while none is known."""
        first = next(iter(self._open), self._next)
        if first is not None and (self._position is None or first > self._position):
            self._position = first
        return self._position

    @property
    def next(self) -> int | None:
        """One past the last offset that was delivered or passed over; None while none is known."""
        return self._next

    @property
    def open(self) -> int:
        """How many offsets were delivered and not acknowledged."""
        return len(self._open)
