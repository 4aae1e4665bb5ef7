"""Whether a target trains now: what the policies found, against all that may stand in the way. Pure.

| guard | stands in the way | a person's fire |
|---|---|---|
| paused | while somebody has paused the target | waits for it |
| active run | while a launch of the target has not ended | waits for it |
| minimum | the training set would be below `min_samples`, at least 100 | is refused |
| golden set | the target says neither a golden set and a harm suite nor `none` | is refused |
| budget | the month's budget does not cover `cost_cents` | is refused |
| launcher | it cannot work as it is configured | is refused |
| cooldown | `cooldown_hours` after the last run began | overrides it |
| debounce | until the policies have held for `debounce_minutes` | overrides it |
| last attempt | the last one was refused or failed, and nothing has changed since | overrides it |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final, Literal

import msgspec
from msgspec import Struct

from schemas.targets import MIN_SAMPLES, DatasetPlan, Target
from trainer_trigger.controls.records import MANUAL, Pause
from trainer_trigger.policies.event import told
from trainer_trigger.policies.facts import Facts, Finding, ago, counted

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
RETRY_MS: Final = HOUR_MS
"""So long a refused attempt rests even where new samples arrive all the time: a build reads the whole lake."""

Kind = Literal["fires", "no", "refused"]


class Active(Struct, frozen=True):
    """The launch that has not ended: its key, state, and note."""

    key: str
    state: str
    note: str = ""


class Refusal(Struct, frozen=True, kw_only=True):
    """How the last attempt ended, if badly, and what it was made of."""

    words: str
    at_ms: int
    target_hash: str
    fresh: int
    total: int
    by_person: bool = False


class Standing(Struct, frozen=True, kw_only=True):
    """What the guards look at. `began_ms`: of the last run, whatever became of it; `holds_since_ms`: the policies.

    `budget_left_cents` is None without a budget. `earlier`: there is a training set that was trained on. `lake` and
    `launcher` say what is wrong there, where something is.
    """

    paused: Pause | None = None
    active: Active | None = None
    budget_left_cents: int | None = None
    month: str = ""
    began_ms: int | None = None
    holds_since_ms: int | None = None
    refusal: Refusal | None = None
    earlier: bool = False
    lake: str = ""
    launcher: str = ""


class Guard(Struct, frozen=True):
    """One of the guards: whether it lets pass, and why."""

    name: str
    passes: bool
    words: str


class Verdict(Struct, frozen=True, kw_only=True):
    """`refused` answers a person's fire that cannot be. `in_the_way` are the guards that do not pass, in order.

    `signals` are the ids of those that this answers. `cause` is the same as long as the same things decide.
    """

    kind: Kind
    words: str
    finding: Finding
    guards: tuple[Guard, ...]
    signals: tuple[str, ...]
    needs_approval: bool
    cause: str

    @property
    def fires(self) -> bool:
        return self.kind == "fires"

    @property
    def in_the_way(self) -> tuple[Guard, ...]:
        return tuple(guard for guard in self.guards if not guard.passes)


def decide(target: Target, finding: Finding, facts: Facts, standing: Standing) -> Verdict:
    """A target trains when its policies hold, or a person fired, and every guard lets it pass."""
    fired = [signal for signal in facts.signals if signal.kind == MANUAL]
    guards = tuple(check(target, finding, facts, standing, bool(fired)) for check in GUARDS)
    stopped = [guard for guard in guards if not guard.passes]
    wanted = bool(fired) or finding.holds
    kind: Kind = "fires" if wanted and not stopped else "no"
    if fired and stopped and not {guard.name for guard in stopped} & WAITED_FOR:
        kind = "refused"
    why = " and ".join([*([told(fired)] if fired else []), *([finding.words] if finding.holds else [])])
    hindered = "; ".join(guard.words for guard in stopped)
    needs_approval = target.approval == "manual"
    if kind == "fires":
        words = f"{why}{'; a person has to approve it' if needs_approval else ''}"
    elif wanted:
        words = f"{why}; but {hindered}"
    else:
        words = f"{finding.words}{f'; besides, {hindered}' if stopped else ''}"
    # A person is told that it cannot be; what a policy has heard waits on.
    heard = finding.signals if kind != "refused" else ()
    signals = dict.fromkeys([*(signal.signal_id for signal in fired), *heard]) if wanted else {}
    return Verdict(
        kind=kind,
        words=words,
        finding=finding,
        guards=guards,
        signals=tuple(signals),
        needs_approval=needs_approval,
        cause=_cause(target, finding, guards, bool(fired)),
    )


def _paused(_target: Target, _finding: Finding, facts: Facts, standing: Standing, _fired: bool) -> Guard:
    pause = standing.paused
    if pause is None:
        return Guard("paused", True, "it is not paused")
    why = f": {pause.why}" if pause.why else ""
    return Guard("paused", False, f"{pause.who} paused it {ago(facts.now_ms - pause.at_ms)} ago{why}")


def _active(_target: Target, _finding: Finding, _facts: Facts, standing: Standing, _fired: bool) -> Guard:
    run = standing.active
    if run is None:
        return Guard("active run", True, "no run is active")
    note = f" ({run.note})" if run.note else ""
    return Guard("active run", False, f"launch {run.key} is {run.state.replace('_', ' ')}{note}")


def _minimum(target: Target, _finding: Finding, facts: Facts, standing: Standing, _fired: bool) -> Guard:
    least = max(target.min_samples, MIN_SAMPLES)
    size = _size(target.dataset, facts, earlier=standing.earlier)
    enough = size >= least
    samples = f"{facts.fresh:,} new samples" if standing.earlier else f"{facts.total:,} samples"
    words = f"{samples} make a training set of about {size:,}, at least {least:,} are needed"
    lake = f" ({standing.lake})" if standing.lake and not enough else ""
    return Guard("minimum", enough, f"{words}{lake}")


def _size(plan: DatasetPlan, facts: Facts, *, earlier: bool) -> int:
    """About how many lines the builder would train on: all that are there, later the new ones and their replay."""
    new = facts.fresh if earlier else facts.total
    older = min(facts.total - new, new * plan.replay / (1 - plan.replay)) if earlier else 0
    taken = (new + older) * (1 - plan.holdout.share)
    if plan.max_samples is not None:
        taken = min(taken, plan.max_samples)
    return int(taken * (1 - plan.validation) + 1e-6)  # 100 lines are 100, however they are rounded


def _golden(target: Target, _finding: Finding, _facts: Facts, _standing: Standing, _fired: bool) -> Guard:
    unsaid = [name for name in ("golden", "harm") if getattr(target.dataset, name) is None]
    if not unsaid:
        return Guard("golden set", True, "golden set and harm suite are said")
    how = " and ".join(f"`dataset.{name}`: a path, or `none`" for name in unsaid)
    return Guard("golden set", False, f"the target does not say {how}")


def _budget(target: Target, _finding: Finding, _facts: Facts, standing: Standing, _fired: bool) -> Guard:
    left = standing.budget_left_cents
    if left is None:
        return Guard("budget", True, "there is no budget to keep to")
    fits = target.cost_cents <= left
    words = f"a run costs {target.cost_cents:,} cents, {left:,} of {target.budget_cents:,} are left in {standing.month}"
    return Guard("budget", fits, words)


def _launcher(_target: Target, _finding: Finding, _facts: Facts, standing: Standing, _fired: bool) -> Guard:
    return Guard("launcher", not standing.launcher, standing.launcher or "the launcher is configured")


def _cooldown(target: Target, _finding: Finding, facts: Facts, standing: Standing, fired: bool) -> Guard:
    if standing.began_ms is None:
        return Guard("cooldown", True, "nothing has run yet")
    passed_ms = facts.now_ms - standing.began_ms
    left_ms = round(target.cooldown_hours * HOUR_MS) - passed_ms
    began = f"the last run began {ago(passed_ms)} ago"
    if left_ms <= 0:
        return Guard("cooldown", True, began)
    cools = f"{began}, and the cooldown of {counted(target.cooldown_hours, 'hour')} has {ago(left_ms)} left"
    return Guard("cooldown", fired, f"{cools}; a person overrides it" if fired else cools)


def _debounce(target: Target, finding: Finding, facts: Facts, standing: Standing, fired: bool) -> Guard:
    if not finding.holds:
        return Guard("debounce", True, "nothing holds that could settle")
    since_ms = facts.now_ms if standing.holds_since_ms is None else standing.holds_since_ms
    held_ms = max(0, facts.now_ms - since_ms)
    words = f"the policies hold since {ago(held_ms)}"
    if held_ms >= round(target.debounce_minutes * MINUTE_MS):
        return Guard("debounce", True, words)
    words = f"{words} and must for {counted(target.debounce_minutes, 'minute')}"
    return Guard("debounce", fired, f"{words}; a person overrides it" if fired else words)


def _last_attempt(target: Target, _finding: Finding, facts: Facts, standing: Standing, fired: bool) -> Guard:
    last = standing.refusal
    if last is None:
        return Guard("last attempt", True, "no attempt went wrong")
    wait_ms = max(RETRY_MS, round(target.cooldown_hours * HOUR_MS)) if last.by_person else RETRY_MS
    rested = facts.now_ms - last.at_ms >= wait_ms
    changed = (facts.fresh, facts.total) != (last.fresh, last.total)
    words = f"the last attempt ended {ago(facts.now_ms - last.at_ms)} ago: {last.words}"
    if last.target_hash != target.hash:
        return Guard("last attempt", True, f"{words}; the configuration is another now")
    if changed and rested:
        return Guard("last attempt", True, f"{words}; the samples are others now")
    if fired:
        return Guard("last attempt", True, f"{words}; a person overrides it")
    until = f", and {ago(wait_ms)} have passed" if not rested else ""
    return Guard("last attempt", False, f"{words}; again when the samples have changed{until}, or the configuration")


GUARDS: Final[tuple[Callable[[Target, Finding, Facts, Standing, bool], Guard], ...]] = (
    _paused,
    _active,
    _minimum,
    _golden,
    _budget,
    _launcher,
    _cooldown,
    _debounce,
    _last_attempt,
)
WAITED_FOR: Final = frozenset({"paused", "active run"})
"""What passes by itself, or by a word: a person's fire waits for it."""


def _cause(target: Target, finding: Finding, guards: tuple[Guard, ...], fired: bool) -> str:
    said = [target.hash, _holds(finding), [guard.name for guard in guards if not guard.passes], fired]
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:16]


def _holds(finding: Finding) -> list[object]:
    return [finding.policy, finding.holds, [_holds(child) for child in finding.children]]
