"""Errors of the trigger that no part of it has alone.

TriggerError
├── DatabaseRefusedError    a constraint does not take what was written
├── DatabaseUnavailable     the database does not answer: a write may have landed; read before writing again
├── UnknownTargetError      no tuning target has this name
├── UnknownDecisionError    no decision has this id
├── UnknownJobIdError       no decision, signal or launch has this id
├── UnknownModelError       no launch has made this model
├── NotWaitingError         the decision waits for nobody's word (any more)
├── NotHeardError           what somebody said would change nothing, or is not in its form
├── NoDatasetError          no training set can be made of this: the decision is refused
└── DatasetsAway            lake or store do not answer: the same again later

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


class UnknownJobIdError(TriggerError):
    """There is no such job."""


class UnknownModelError(TriggerError):
    """There is no such model."""


class NotWaitingError(TriggerError):
    """What was approved or refused does not wait for it."""


class NotHeardError(TriggerError):
    """A signal that no policy asks for, a metric that is computed, an example that is no sample id."""


class NoDatasetError(TriggerError):
    """Too few samples, a leak, no golden set said: the message says which."""


class DatasetsAway(TriggerError):
    """Nothing was made; what was half made is not seen."""
