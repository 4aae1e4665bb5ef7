"""What became of every event: one balance, which also tells `flush` when it is done."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class DropReason(str, Enum):
    """Every reason for which the client itself loses an event."""

    INVALID_CALL = "invalid_call"
    """The arguments cannot become an event: a mistake in the app."""
    TOO_LARGE = "too_large"
    """Longer than the longest body that the collector reads."""
    QUEUE_FULL = "queue_full"
    """The disk took nothing for so long that the queue in memory is full."""
    SPOOL_FULL = "spool_full"
    """The collector was away for so long that the spool (or without one, the memory for it) is full."""
    CLOSED = "closed"
    """Handed in after `close`."""
    UNDELIVERED = "undelivered"
    """In memory only when the client was closed."""
    TORN = "torn"
    """Cut off in the spool by a crash of the machine or by damage to the file."""


@dataclass(frozen=True)
class Stats:
    """Counts of events, at one moment, since this process made (or inherited) the client.

    `taken + adopted == queued + spooled + sent + rejected + sum(dropped.values())`, always.
    """

    taken: int = 0
    """Handed in by the app."""
    adopted: int = 0
    """Found in the spool, left there by a process that has ended."""
    queued: int = 0
    """Now in memory, on their way to the spool."""
    spooled: int = 0
    """Now in the spool (or without one, in the memory for it), waiting for the collector."""
    sent: int = 0
    """Accepted by the collector, which answers only when Kafka has them."""
    rejected: int = 0
    """Refused by the collector for good: the event breaks the contract."""
    dropped: Mapping[DropReason, int] = field(default_factory=dict)
    """Lost by the client, by reason."""

    @property
    def waiting(self) -> int:
        """Events without an outcome yet."""
        return self.queued + self.spooled


class Counters:
    """The balance behind `Stats`. Its lock is only ever held for a few additions."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = self._adopted = self._queued = self._spooled = self._sent = self._rejected = 0
        self._dropped: Counter[DropReason] = Counter()
        self._looked = False
        self._given_up = False

    def take(self) -> None:
        """One event went into the queue."""
        with self._changed:
            self._taken += 1
            self._queued += 1

    def refuse(self, reason: DropReason) -> None:
        """One event did not get into the queue."""
        with self._changed:
            self._taken += 1
            self._dropped[reason] += 1

    def spool(self, kept: int, refused: int) -> None:
        """Events left the queue: `kept` are in the spool, `refused` had no room there."""
        with self._changed:
            self._queued -= kept + refused
            self._spooled += kept
            if refused:
                self._dropped[DropReason.SPOOL_FULL] += refused
            self._changed.notify_all()

    def adopt(self, kept: int, torn: int) -> None:
        """The spool was searched for what ended processes left there."""
        with self._changed:
            self._looked = True
            self._adopted += kept + torn
            self._spooled += kept
            if torn:
                self._dropped[DropReason.TORN] += torn
            self._changed.notify_all()

    def settle(self, sent: int, rejected: int) -> None:
        """The collector decided on events, and they left the spool."""
        with self._changed:
            self._spooled -= sent + rejected
            self._sent += sent
            self._rejected += rejected
            self._changed.notify_all()

    def abandon(self, stranded: int) -> None:
        """The client ends with so many events that were in memory only."""
        with self._changed:
            self._dropped[DropReason.UNDELIVERED] += stranded
            self._spooled -= stranded
            self._changed.notify_all()

    def give_up(self) -> None:
        """Waiting longer will not help: let `wait` return."""
        with self._changed:
            self._given_up = True
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the spool has been searched and nothing waits in it or in the queue; True if so."""
        with self._changed:
            self._changed.wait_for(lambda: self._given_up or self._idle(), timeout_s)
            return self._idle()

    def snapshot(self) -> Stats:
        """All counts at one moment."""
        with self._changed:
            return Stats(
                taken=self._taken,
                adopted=self._adopted,
                queued=self._queued,
                spooled=self._spooled,
                sent=self._sent,
                rejected=self._rejected,
                dropped={reason: count for reason, count in self._dropped.items() if count},
            )

    def _idle(self) -> bool:
        return self._looked and self._queued == 0 and self._spooled == 0
