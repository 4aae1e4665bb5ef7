"""Gathers what policies and guards are asked about, from the watch, the controls and the ledger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from schemas.targets import Drift, Target
from streams.errors import LakeUnavailable, SettingError
from trainer_trigger.controls import Controls
from trainer_trigger.controls.records import Outcome, Stage
from trainer_trigger.decide import Active, Refusal, Standing
from trainer_trigger.drift.errors import DriftError
from trainer_trigger.errors import DatabaseRefusedError, DatabaseUnavailable, DatasetsAway
from trainer_trigger.ledger import TERMINAL, Launch, Ledger, State
from trainer_trigger.policies import Facts, leaves
from trainer_trigger.policies.performance import SCORE
from trainer_trigger.watch import DriftState, Versions, Watching

LOGGER: Final = logging.getLogger(__name__)
LAUNCHES: Final = 200
"""So many of a target's last launches are looked at."""

LOOKED_BACK: Final = 20
"""And so many decisions, for the last that fired: between them lie only fires of persons that were refused."""


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """Facts for the policies, the standing for the guards, and the target's last launches, the newest first."""

    facts: Facts
    standing: Standing
    launches: tuple[Launch, ...]

    @property
    def earlier(self) -> str | None:
        """The hash of the last training set that was trained on."""
        done = (launch.intent.dataset_hash for launch in self.launches if launch.state == State.SUCCEEDED)
        return next(done, None)


def gather(
    name: str,
    target: Target,
    versions: Versions | None,
    ledger: Ledger,
    controls: Controls,
    watch: Watching,
    launcher_problem: Callable[[Target], str],
    now_ms: int,
    *,
    checks: bool,
) -> Gathered:
    """`versions` are those that the watch has just read; None where it could not. `checks`: drift's next window."""
    state = controls.state(name)
    clusters = watch.count(name, target)
    rules = list(leaves(target.policy))
    launches = tuple(ledger.launches(name, limit=LAUNCHES))
    last_model_ms = next((each.changed_ms for each in launches if each.state == State.SUCCEEDED), None)
    facts = Facts(
        now_ms=now_ms,
        first_seen_ms=state.first_seen_ms,
        last_run_ms=next((each.created_ms for each in launches if _counts(each)), None),
        last_model_ms=last_model_ms,
        fresh=clusters.fresh,
        total=clusters.total,
        drift={
            each.drift: _drift(watch, name, target, each.drift, checks=checks)
            for each in rules
            if each.drift is not None
        },
        production={
            each.performance: watch.production(name, target, each.performance.samples, last_model_ms)
            for each in rules
            if each.performance is not None and each.performance.metric == SCORE
        },
        measurements=controls.measurements(name),
        signals=tuple(controls.signals(name)),
    )
    budget = target.budget_cents
    active = next((each for each in launches if each.state not in TERMINAL), None)
    standing = Standing(
        paused=controls.paused(name),
        active=None if active is None else Active(active.key, active.state, active.note),
        budget_left_cents=None if budget is None else budget - ledger.spent_cents(name),
        month=datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m"),
        began_ms=next((each.created_ms for each in launches if each.job_id is not None), None),
        holds_since_ms=state.holds_since_ms if state.holds_hash == target.hash else None,
        refusal=_refusal(controls, launches, controls.outcomes(name, LOOKED_BACK, noes=False)),
        lake="the lake has no samples yet" if versions is not None and versions.samples < 0 else "",
        launcher=launcher_problem(target),
        earlier=last_model_ms is not None,
    )
    return Gathered(facts=facts, standing=standing, launches=launches)


def _drift(watch: Watching, name: str, target: Target, rule: Drift, *, checks: bool) -> DriftState:
    """A check that fails is said, and leaves the other policies alone, whatever it is: an embedding is the user's."""
    try:
        return watch.drift(name, target, rule, checks=checks)
    except (DatabaseUnavailable, DatabaseRefusedError):
        raise
    except Exception as exc:
        LOGGER.warning("drift could not be checked", exc_info=True, extra={"fields": {"target": name}})
        known = isinstance(exc, (DriftError, DatasetsAway, LakeUnavailable, SettingError))
        why = str(exc) if known else f"{type(exc).__name__}: {exc}"
        return DriftState(kind="not enough data", reason=why, window_rows=0, needed=rule.rows, reference_rows=0)


def _counts(launch: Launch) -> bool:
    """A run that was not in vain: it goes on, or has succeeded. One that failed gives its samples and its turn back."""
    return launch.job_id is not None and launch.state not in {State.FAILED, State.CANCELLED}


def _refusal(controls: Controls, launches: Sequence[Launch], last: Sequence[Outcome]) -> Refusal | None:
    outcome = next((each for each in last if each.decision.fires), None)
    if outcome is None:
        return None
    if outcome.stage == Stage.REFUSED:
        words, at_ms = outcome.note, outcome.last_ms
        by_person = outcome.note.startswith(f"refused by {controls.history(outcome.decision.decision_id)[-1].who}")
    else:
        launch = next((each for each in launches if each.key == outcome.launch_key), None)
        if launch is None or launch.state not in {State.FAILED, State.CANCELLED}:
            return None
        words, at_ms = f"launch {launch.key} {launch.state}: {launch.note or 'no reason given'}", launch.changed_ms
        by_person = launch.state == State.CANCELLED
    plan = outcome.plan
    return Refusal(
        words=words,
        at_ms=at_ms,
        target_hash=plan.target_hash,
        fresh=plan.fresh,
        total=plan.total,
        by_person=by_person,
    )
