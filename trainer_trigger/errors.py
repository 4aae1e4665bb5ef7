"""Errors of the trigger that no part of it has alone.

TriggerError
├── DatabaseRefusedError    a constraint does not take what was written
├── DatabaseUnavailable     the database does not answer: a write may have landed; read before writing again
├── UnknownTargetError      no tuning target has this name
├── UnknownDecisionError    no decision has this id
└── NotWaitingError         the decision waits for nobody's word (any more)

Beside it: `LedgerError` (ledger), `LauncherError` (launchers), `DatasetError` (datasets), `DriftError` (drift).
"""

from __future__ import annotations


class TriggerError(Exception):
    """Root of these."""


class DatabaseRefusedError(TriggerError):
    """A unique key, a check or a trigger of the database said no."""


class DatabaseUnavailable(TriggerError):
    """The database does not answer, or gave up a transaction."""


class UnknownTargetError(TriggerError):
    """The targets file has no such target."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no tuning target {name!r}")
        self.name = name


class UnknownDecisionError(TriggerError):
    """There is no such decision."""


class NotWaitingError(TriggerError):
    """What was approved or refused does not wait for it."""
