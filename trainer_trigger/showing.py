"""Draws up what the trigger shows of its targets, decisions, jobs and models."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from schemas.targets import Target
from schemas.training import Training
from trainer_trigger.controls import Controls
from trainer_trigger.controls.records import Outcome, Signal, Stage, TrainingSet, Turn
from trainer_trigger.decide import Verdict
from trainer_trigger.errors import UnknownDecisionError
from trainer_trigger.ledger import TERMINAL, Launch, Ledger, Transition
from trainer_trigger.ledger.errors import UnknownLaunchError
from trainer_trigger.policies.event import said
from trainer_trigger.views import Curve, DecisionView, JobEvent, JobView, ModelView, Step, TargetView
from trainer_trigger.watch import Versions, Watching

CURVES: Final = ("train_loss", "valid_loss", "full_valid_loss", "train_mean_token_accuracy")
"""Those that are shown, where a provider tells them."""


def target(
    name: str, configured: Target, ledger: Ledger, controls: Controls, watch: Watching, now_ms: int
) -> TargetView:
    """A target as it stands."""
    state, counts = controls.state(name), watch.count(name, configured)
    last, waiting = controls.outcomes(name, limit=1), controls.open(name)
    active = next((each for each in ledger.launches(name, limit=1) if each.state not in TERMINAL), None)
    return TargetView(
        name=name,
        version=configured.version,
        hash=configured.hash,
        base_model=configured.training.base_model,
        method=configured.training.method,
        launcher="command" if configured.launcher.openai is None else configured.launcher.openai.provider,
        approval=configured.approval,
        fresh=counts.fresh,
        total=counts.total,
        first_seen_ms=state.first_seen_ms,
        seen_ms=state.seen_ms,
        problem=state.problem,
        paused=controls.paused(name),
        last_decision=decision(last[0], ledger) if last else None,
        open_decision=None if waiting is None else decision(waiting, ledger),
        active_launch=None if active is None else active.key,
        active_state=None if active is None else str(active.state),
        waiting_signals=tuple(each.signal_id for each in controls.signals(name)),
        month=datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m"),
        budget_cents=configured.budget_cents,
        spent_cents=ledger.spent_cents(name),
    )


def decision(outcome: Outcome, ledger: Ledger) -> DecisionView:
    """A decision with the state of its launch."""
    made, plan = outcome.decision, outcome.plan
    launch = _launch(outcome, ledger)
    return DecisionView(
        decision_id=made.decision_id,
        target=made.target,
        fires=made.fires,
        words=outcome.note if outcome.stage == Stage.NO else made.words,
        stage=str(outcome.stage),
        note="" if outcome.stage == Stage.NO else outcome.note,
        times=outcome.times,
        at_ms=made.at_ms,
        last_ms=outcome.last_ms,
        config_version=plan.target.version,
        config_hash=plan.target_hash,
        versions=outcome.versions,
        signals=plan.signals,
        launch_key=outcome.launch_key,
        launch_state=None if launch is None else str(launch.state),
    )


def sentence(name: str, verdict: Verdict, waiting: DecisionView | None, problem: str) -> str:
    """What a colleague would say."""
    away = f" {problem[0].upper()}{problem[1:]}." if problem else ""
    if waiting is not None:
        stands = "waits for approval" if waiting.stage == Stage.WAITING else f"is being carried out ({waiting.note})"
        return f"{name}: decision {waiting.decision_id} {stands}. It fired because {waiting.words}.{away}"
    if verdict.fires:
        return f"{name} would train now: {verdict.words}.{away}"
    return f"{name} does not train now: {verdict.words}.{away}"


def job_of(outcome: Outcome, ledger: Ledger, controls: Controls, *, whole: bool) -> JobView:
    """What a decision came to; `whole`: with events, curves and history."""
    made, plan, launch = outcome.decision, outcome.plan, _launch(outcome, ledger)
    steps: tuple[Step, ...] = ()
    if whole:
        turns = controls.history(made.decision_id)
        # That the launch was recorded, its own history says.
        steps = tuple(_step(each) for each in turns if launch is None or each.after != Stage.LAUNCHED)
        steps += () if launch is None else tuple(map(_step, ledger.history(launch.key)))
    return JobView(
        id=made.decision_id,
        target=made.target,
        state=str(outcome.stage if launch is None else launch.state),
        words=made.words,
        note=outcome.note if launch is None else launch.note,
        created_ms=made.at_ms,
        changed_ms=outcome.last_ms if launch is None else launch.changed_ms,
        decision_id=made.decision_id,
        key=outcome.launch_key,
        job_id=None if launch is None else launch.job_id,
        model=None if launch is None else launch.model,
        base_model=plan.target.training.base_model,
        attempt=0 if launch is None else launch.attempt,
        cost_cents=0 if launch is None else _cost(launch),
        dataset_hash=None if outcome.training_set is None else outcome.training_set.dataset_hash,
        dataset_place=None if outcome.training_set is None else outcome.training_set.place,
        versions=outcome.versions,
        config_version=plan.target.version,
        config_hash=plan.target_hash,
        examples=_examples(plan.signals, controls) if whole else (),
        history=steps,
        events=_events(launch, ledger) if whole and launch is not None else (),
        curves=_curves(launch, ledger) if whole and launch is not None else (),
    )


def job_of_signal(signal: Signal, controls: Controls) -> JobView:
    """A signal that has led to nothing yet: what stands in its way says the target's last decision."""
    last = controls.outcomes(signal.target, limit=1)
    waits = f"it waits: {last[0].note}" if last else "it was not looked at yet"
    withdrawn = signal.withdrawn_by is not None
    return JobView(
        id=signal.signal_id,
        target=signal.target,
        state="withdrawn" if withdrawn else "queued",
        words=said(signal),
        note=f"withdrawn by {signal.withdrawn_by}" if withdrawn else waits,
        created_ms=signal.at_ms,
        changed_ms=signal.at_ms,
        examples=signal.examples,
    )


class _Asked(msgspec.Struct):
    """What a launch's request tells of its model."""

    training: Training | None = None


def model_of(launch: Launch, ledger: Ledger, controls: Controls) -> ModelView:
    """A model and what it came from; of a launch that somebody made by hand, only what its intent tells."""
    try:
        outcome = controls.outcome(launch.intent.decision_id)
    except UnknownDecisionError:
        outcome = None
    plan = None if outcome is None else outcome.plan
    training = (
        msgspec.json.decode(launch.intent.request, type=_Asked).training if plan is None else plan.target.training
    )
    training_set = None if outcome is None else outcome.training_set
    training_set = training_set or TrainingSet(place="", dataset_hash="")
    curves = _curves(launch, ledger)
    return ModelView(
        model_id=launch.model or "",
        target=launch.intent.target,
        base_model="" if training is None else training.base_model,
        method="" if training is None else training.method,
        dataset_hash=launch.intent.dataset_hash,
        dataset_place=training_set.place,
        versions=Versions(samples=launch.intent.table_version) if outcome is None else outcome.versions,
        config_version="" if plan is None else plan.target.version,
        config_hash="" if plan is None else plan.target_hash,
        training_hash=launch.intent.configuration_hash,
        code=training_set.code,
        decision_id=launch.intent.decision_id,
        key=launch.key,
        job_id=launch.job_id or "",
        created_ms=launch.created_ms,
        finished_ms=launch.changed_ms,
        cost_cents=_cost(launch),
        last_points=tuple((curve.name, *curve.points[-1]) for curve in curves),
    )


def _launch(outcome: Outcome, ledger: Ledger) -> Launch | None:
    if outcome.launch_key is None:
        return None
    try:
        return ledger.launch(outcome.launch_key)
    except UnknownLaunchError:
        return None


def _examples(signals: Sequence[str], controls: Controls) -> tuple[str, ...]:
    found = [signal for each in signals if (signal := controls.find_signal(each)) is not None]
    return tuple(dict.fromkeys(example for signal in found for example in signal.examples))


def _cost(launch: Launch) -> int:
    return launch.intent.cost_cents if launch.settled_cents is None else launch.settled_cents


def _step(step: Turn | Transition) -> Step:
    return Step(step.at_ms, step.who, None if step.before is None else str(step.before), str(step.after), step.note)


def _events(launch: Launch, ledger: Ledger) -> tuple[JobEvent, ...]:
    return tuple(JobEvent(each.at_ms, each.level, each.message) for each in ledger.events(launch.key))


def _curves(launch: Launch, ledger: Ledger) -> tuple[Curve, ...]:
    found = ((name, ledger.curve(launch.key, name)) for name in CURVES)
    return tuple(Curve(name, tuple((each.step, each.value) for each in points)) for name, points in found if points)
