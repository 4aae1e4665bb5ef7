"""What people said, and what becomes of each decision, as a port: `SqlControls` keeps it beside the ledger.

A decision and its first stage are one transaction, so a decision that fired is never without what follows from it. What
the trigger writes takes the target's lease, so that one that slept too long changes nothing. What people say does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from trainer_trigger.controls.records import (
    Evaluation,
    Measurement,
    Outcome,
    Pause,
    Signal,
    Stage,
    TargetState,
    TrainingSet,
    Turn,
)
from trainer_trigger.ledger import Decision, Lease
from trainer_trigger.watch import Versions


class Controls(Protocol):
    """Everything may raise DatabaseUnavailable; what takes a lease, FencedError."""

    def state(self, target: str) -> TargetState:
        """Of a target; one that is new is first seen now."""

    def looked(self, lease: Lease, problem: str = "") -> None:
        """The target was looked at, or could not be, and why."""

    def holding(self, lease: Lease, target_hash: str, holds: bool) -> int | None:
        """Since when the policies hold without a break under this configuration; None if they do not."""

    def pause(self, target: str, who: str, why: str) -> None:
        """Nothing of the target is decided or built until it is resumed."""

    def resume(self, target: str, who: str) -> None:
        """Go on; a target that is not paused stays so."""

    def paused(self, target: str) -> Pause | None:
        """The pause that lasts."""

    def signal(self, signal: Signal) -> Signal:
        """Keep a signal; an id that is known is answered with what is there.

        Raises NotHeardError where so many of the target wait that nobody can have meant it.
        """

    def find_signal(self, signal_id: str) -> Signal | None:
        """By its id."""

    def signals(self, target: str) -> list[Signal]:
        """Those that led to nothing yet, the first first."""

    def withdraw(self, signal_id: str, who: str) -> None:
        """Raises NotWaitingError when it has led to a decision already."""

    def measure(self, target: str, metric: str, value: float, who: str) -> None:
        """Keep a measurement."""

    def measurements(self, target: str) -> Mapping[str, Measurement]:
        """The last one of each metric."""

    def record(
        self, lease: Lease, decision: Decision, stage: Stage, cause: str = "", signals: Sequence[str] = ()
    ) -> Outcome:
        """Record a decision with its first stage, and that it answers the signals, in one transaction.

        A no for the same cause as the target's last decision is counted there instead. A decision that is known is
        answered. Raises DatabaseRefusedError when the target has another open decision, and NotWaitingError when a
        signal was withdrawn since it was read: then nothing is recorded.
        """

    def move(
        self,
        lease: Lease,
        decision_id: str,
        after: Stage,
        note: str,
        launch_key: str | None = None,
        training_set: TrainingSet | None = None,
        *,
        in_vain: bool = False,
    ) -> Outcome:
        """Go on to a stage; the same stage changes the note only. Raises NotWaitingError for a step that is none.

        `in_vain`: the events that the decision answered wait again, under new ids.
        """

    def settle(self, decision_id: str, who: str, after: Stage, note: str) -> Outcome:
        """A person's word on a decision that waits for approval: building or refused. Raises NotWaitingError."""

    def pin(self, lease: Lease, decision_id: str, versions: Versions) -> Outcome:
        """Build from these versions; those that are pinned already stay."""

    def told(self, lease: Lease, decision_id: str, *, in_vain: bool = False) -> None:
        """The watch knows how its launch ended. `in_vain`: the events that it answered wait again, under new ids."""

    def untold(self, target: str) -> list[Outcome]:
        """Launched decisions of which the watch was not told, the first first."""

    def outcome(self, decision_id: str) -> Outcome:
        """Raises UnknownDecisionError."""

    def open(self, target: str) -> Outcome | None:
        """The decision that waits for approval or is being built."""

    def outcomes(self, target: str | None = None, limit: int = 100, noes: bool = True) -> list[Outcome]:
        """The last decisions, the newest first; without `noes` those that came to more than a no."""

    def history(self, decision_id: str) -> list[Turn]:
        """Every step, the first first."""

    def evaluate(self, evaluation: Evaluation) -> None:
        """Queue an evaluation; an id that is known is left as it is."""

    def evaluations(self, model_id: str | None = None, limit: int = 100) -> list[Evaluation]:
        """The last ones, the newest first."""
