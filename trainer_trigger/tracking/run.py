"""What a tracker is told of a launch."""

from __future__ import annotations

import math

import msgspec
from msgspec import Struct

from trainer_trigger.controls import Controls
from trainer_trigger.errors import UnknownDecisionError
from trainer_trigger.launchers import LaunchRequest
from trainer_trigger.ledger import Launch, Ledger, State
from trainer_trigger.showing import CURVES

PREFIX = "millrace."
"""Of every tag, so that they stand apart from those of others."""

LAUNCH = PREFIX + "launch"
"""The tag with the launch key, by which a run is found again."""


class Run(Struct, frozen=True, kw_only=True):
    """A launch that has ended. `key` is the launch's, 32 hexadecimal digits; times in epoch milliseconds.

    `tags` are its lineage. `points` are (name, optimizer step, value), in order of steps; None is a value that is no
    number, such as a loss that diverged.
    """

    key: str
    target: str
    state: State
    started_ms: int
    ended_ms: int
    parameters: dict[str, str]
    tags: dict[str, str]
    points: tuple[tuple[str, int, float | None], ...]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.target} {self.key[:8]}"


def run_of(launch: Launch, ledger: Ledger, controls: Controls) -> Run:
    """What the ledger knows of it, and the decision that it came from."""
    request = msgspec.json.decode(launch.intent.request, type=LaunchRequest)
    training = request.training
    parameters = {"base_model": training.base_model, "method": training.method}
    parameters |= {name: _text(value) for name, value in training.given.items()}
    curves = [(name, point) for name in CURVES for point in ledger.curve(launch.key, name)]
    points = sorted((point.step, name, point.value) for name, point in curves)
    return Run(
        key=launch.key,
        target=launch.intent.target,
        state=launch.state,
        started_ms=launch.created_ms,
        ended_ms=launch.changed_ms,
        parameters=parameters,
        tags=_tags(launch, request, controls),
        points=tuple((name, step, value if math.isfinite(value) else None) for step, name, value in points),
    )


def _tags(launch: Launch, request: LaunchRequest, controls: Controls) -> dict[str, str]:
    tags: dict[str, object] = {
        "launch": launch.key,
        "target": launch.intent.target,
        "state": launch.state,
        "note": launch.note,
        "model": launch.model,
        "job": launch.job_id,
        "decision": launch.intent.decision_id,
        "dataset_hash": launch.intent.dataset_hash,
        "table_version": launch.intent.table_version,
        "training_hash": launch.intent.configuration_hash,
        "examples": request.train_file.examples,
        "cost_cents": launch.intent.cost_cents if launch.settled_cents is None else launch.settled_cents,
    }
    try:
        outcome = controls.outcome(launch.intent.decision_id)
    except UnknownDecisionError:  # launched by hand
        pass
    else:
        versions = outcome.versions
        tags |= {"config_version": outcome.plan.target.version, "config_hash": outcome.plan.target_hash}
        tags |= {"table_versions": _text(msgspec.to_builtins(versions)), "why": outcome.decision.words}
        if outcome.training_set is not None:
            tags |= {"dataset": outcome.training_set.place, "code": outcome.training_set.code}
    return {PREFIX + name: _text(value) for name, value in tags.items() if value not in {None, ""}}


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
