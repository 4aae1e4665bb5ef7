"""What the trigger shows of itself, for the command, the API and the console. Times in epoch milliseconds."""

from __future__ import annotations

from msgspec import Struct

from trainer_trigger.controls.records import Pause
from trainer_trigger.decide import Guard
from trainer_trigger.policies import Finding
from trainer_trigger.watch import Versions


class Step(Struct, frozen=True):
    """A line of a history, of a decision or a launch."""

    at_ms: int
    who: str
    before: str | None
    after: str
    note: str


class DecisionView(Struct, frozen=True, kw_only=True):
    """A decision and what became of it. `stage` is one of `controls.records.Stage`; a no is counted in `times`."""

    decision_id: str
    target: str
    fires: bool
    words: str
    stage: str
    note: str
    times: int
    at_ms: int
    last_ms: int
    config_version: str
    config_hash: str
    versions: Versions
    signals: tuple[str, ...] = ()
    launch_key: str | None = None
    launch_state: str | None = None


class TargetView(Struct, frozen=True, kw_only=True):
    """A target as it stands. `problem` says why it could not be looked at; `seen_ms` when it last was."""

    name: str
    version: str
    hash: str
    base_model: str
    method: str
    launcher: str
    approval: str
    fresh: int
    total: int
    first_seen_ms: int
    seen_ms: int | None
    problem: str
    paused: Pause | None
    last_decision: DecisionView | None
    open_decision: DecisionView | None
    active_launch: str | None
    active_state: str | None
    waiting_signals: tuple[str, ...]
    month: str
    budget_cents: int | None
    spent_cents: int


class Explanation(Struct, frozen=True, kw_only=True):
    """Why a target would train now, or would not: in `words`, by policy and by guard.

    `open_decision`: the one that is carried out first. `seen_ms`: when the trigger last looked at the target.
    """

    target: str
    fires: bool
    words: str
    finding: Finding
    guards: tuple[Guard, ...]
    now_ms: int
    seen_ms: int | None
    problem: str
    open_decision: DecisionView | None


class JobEvent(Struct, frozen=True):
    """A line that the provider told."""

    at_ms: int
    level: str
    message: str


class Curve(Struct, frozen=True):
    """`points` are (optimizer step, value), in order of steps."""

    name: str
    points: tuple[tuple[int, float], ...]


class JobView(Struct, frozen=True, kw_only=True):
    """A wish to train, from the signal or decision to the model.

    `state`: queued, withdrawn, refused, waiting_for_approval, building, or that of the launch (`ledger.State`).
    `words` say what it is about, `note` what was last said of it. `key` is the launch's, `job_id` the provider's.
    `examples`: ids of the samples that were reported with it, for whoever looks into it; nothing is trained by them.
    """

    id: str
    target: str
    state: str
    words: str
    note: str
    created_ms: int
    changed_ms: int
    decision_id: str | None = None
    key: str | None = None
    job_id: str | None = None
    model: str | None = None
    base_model: str | None = None
    attempt: int = 0
    cost_cents: int = 0
    dataset_hash: str | None = None
    dataset_place: str | None = None
    versions: Versions | None = None
    config_version: str | None = None
    config_hash: str | None = None
    examples: tuple[str, ...] = ()
    history: tuple[Step, ...] = ()
    events: tuple[JobEvent, ...] = ()
    curves: tuple[Curve, ...] = ()


class ModelView(Struct, frozen=True, kw_only=True):
    """A model and all that it came from; of a launch that somebody made by hand some fields are empty."""

    model_id: str
    target: str
    base_model: str
    method: str
    dataset_hash: str
    dataset_place: str
    versions: Versions
    config_version: str
    config_hash: str
    training_hash: str
    code: str
    decision_id: str
    key: str
    job_id: str
    created_ms: int
    finished_ms: int
    cost_cents: int
    last_points: tuple[tuple[str, int, float], ...] = ()
    """Of each curve: name, optimizer step, value."""
