"""Decisions, launches and leases, as a port: `SqlLedger` keeps them in SQLite or PostgreSQL.

A launch is intended before anything is called, is written by the holder of its target's lease only, and every step of
it stays in a history. Each write is one transaction that checks the lease's token, so that a scheduler that slept too
long changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trainer_trigger.ledger.records import (
    NEXT,
    TERMINAL,
    Change,
    Decision,
    Event,
    Intent,
    Launch,
    Lease,
    Point,
    State,
    Transition,
)

__all__ = [
    "NEXT",
    "TERMINAL",
    "Change",
    "Decision",
    "Event",
    "Intent",
    "Launch",
    "Lease",
    "Ledger",
    "Point",
    "State",
    "Transition",
]


class Ledger(Protocol):
    """What schedulers share. Everything may raise LedgerUnavailable; what takes a lease, FencedError."""

    def acquire(self, target: str, holder: str, ttl_ms: int) -> Lease | None:
        """The target's lease for `ttl_ms`, with a new token, or None while another holds it."""

    def renew(self, lease: Lease, ttl_ms: int) -> Lease:
        """The same lease, from now on for `ttl_ms`."""

    def release(self, lease: Lease) -> None:
        """Give the lease back; one that is lost already stays so."""

    def decide(self, decision: Decision) -> None:
        """Record a decision; a decision id that is known is left as it is."""

    def decisions(self, target: str, limit: int = 100) -> list[Decision]:
        """The last decisions of a target, the newest first."""

    def intend(self, lease: Lease, intent: Intent, budget_cents: int | None = None) -> Launch:
        """Record an intent and reserve its cost in this month's budget (None: no limit); a known one is answered.

        Raises ActiveRunError, BudgetSpentError, DecisionTakenError.
        """

    def move(self, lease: Lease, seen: Launch, after: State, note: str = "", change: Change = ...) -> Launch:
        """Go from the state seen to `after`, and write it into the history; the same state only changes fields.

        Raises TransitionError when the launch has moved on since it was seen, or there is no such step.
        """

    def resolve(self, key: str, who: str, after: State, note: str, job_id: str | None = None) -> Launch:
        """A person's word on a launch that is blocked: `launched` with its job, `intended` to begin again, `cancelled`.

        One that is not begun, or unknown, can be cancelled only; where a job may be, its reserved cost counts. Raises
        TransitionError for what no person can decide.
        """

    def progress(self, lease: Lease, key: str, events: Sequence[Event], points: Sequence[Point]) -> None:
        """Keep events and points; those that are known are left as they are."""

    def launch(self, key: str) -> Launch:
        """Raises UnknownLaunchError."""

    def launches(self, target: str | None = None, limit: int = 100) -> list[Launch]:
        """The last launches, the newest first."""

    def due(self) -> list[Launch]:
        """Launches with something to do now: neither over, nor blocked, nor waiting."""

    def history(self, key: str) -> list[Transition]:
        """Every step, the first first."""

    def events(self, key: str) -> list[Event]:
        """What the provider told, in order of time."""

    def curve(self, key: str, name: str) -> list[Point]:
        """A curve in order of steps."""

    def spent_cents(self, target: str, month: str | None = None) -> int:
        """Reserved and settled cost of a target in a month such as 2026-11; default this one (UTC)."""

    def now_ms(self) -> int:
        """The database's time."""

    def close(self) -> None:
        """Close the connections."""
