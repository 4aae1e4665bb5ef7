"""Errors of the ledger.

LedgerError
├── FencedError             the lease is not ours any more: write nothing, leave the launch to its new holder
├── TransitionError         the launch is not in the state that the writer saw, or may not go where it wants
├── ActiveRunError          the target has another launch that has not ended
├── BudgetSpentError        the month's budget of the target does not cover the cost
├── DecisionTakenError      the decision has a launch with other contents
├── UnknownLaunchError      there is no launch with this key
└── LedgerUnavailable       the database does not answer: a write may have landed; read before writing again
"""

from __future__ import annotations


class LedgerError(Exception):
    """Root of every error that the ledger raises."""


class FencedError(LedgerError):
    """The lease ran out or has a later holder."""


class TransitionError(LedgerError):
    """A step that the state machine does not have, or one from a state that has passed."""


class ActiveRunError(LedgerError):
    """One active run a target. `key` names the one that has not ended."""

    def __init__(self, target: str, key: str) -> None:
        super().__init__(f"target {target}: launch {key} has not ended")
        self.key = key


class BudgetSpentError(LedgerError):
    """The reservation does not fit into what is left of the month, `left_cents`."""

    def __init__(self, target: str, month: str, cost_cents: int, left_cents: int) -> None:
        super().__init__(f"target {target}: {cost_cents} cents do not fit into the {left_cents} left of {month}")
        self.left_cents = left_cents


class DecisionTakenError(LedgerError):
    """A decision launches once."""


class UnknownLaunchError(LedgerError):
    """No launch has this key."""


class LedgerUnavailable(LedgerError):
    """The database does not answer, or gave up a transaction."""
