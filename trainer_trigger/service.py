"""The trigger: its rounds over the targets, and everything that people ask of it or say to it."""

from __future__ import annotations

import hashlib
import logging
import math
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from schemas.targets import Target
from trainer_trigger import metrics, showing
from trainer_trigger.controls import Controls
from trainer_trigger.controls.records import MANUAL, MAX_EXAMPLES, Evaluation, SampleId, Signal, Stage
from trainer_trigger.errors import (
    DatabaseUnavailable,
    NotHeardError,
    NotWaitingError,
    UnknownDecisionError,
    UnknownJobIdError,
    UnknownModelError,
    UnknownTargetError,
)
from trainer_trigger.gather import LAUNCHES
from trainer_trigger.launchers import Launcher, Scheduler, Timing, cancelling
from trainer_trigger.ledger import TERMINAL, Lease, Ledger, State
from trainer_trigger.ledger.errors import FencedError, LedgerUnavailable, UnknownLaunchError
from trainer_trigger.ledger.keeping import kept
from trainer_trigger.policies import leaves
from trainer_trigger.policies.event import hears
from trainer_trigger.policies.performance import SCORE
from trainer_trigger.ports import Datasets
from trainer_trigger.round import Round
from trainer_trigger.views import DecisionView, Explanation, JobView, ModelView, TargetView
from trainer_trigger.watch import Watching

LOGGER: Final = logging.getLogger(__name__)
KIND: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
MAX_REASON_CHARS: Final = 2_000
POLLED: Final = frozenset({State.LAUNCHED, State.RUNNING})
"""The provider is asked to cancel these, and the scheduler sees what it makes of it."""


class Trigger:
    """Any number of processes may share a database: a target is looked at by the one that has its lease.

    `launcher_of` finds the launcher of a target's name; `launcher_problem` says what keeps it from working, or nothing.
    """

    def __init__(
        self,
        targets: Mapping[str, Target],
        ledger: Ledger,
        controls: Controls,
        watch: Watching,
        datasets: Datasets,
        launcher_of: Callable[[str], Launcher],
        who: str,
        *,
        launcher_problem: Callable[[Target], str] = lambda _target: "",
        timing: Timing = Timing(),
        clock: Callable[[], int] | None = None,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._targets = dict(targets)
        self._ledger = ledger
        self._controls = controls
        self._watch = watch
        self._who = who
        self._timing = timing
        self._clock = ledger.now_ms if clock is None else clock
        self._new_id = new_id
        self._round = Round(ledger, controls, watch, datasets, launcher_problem, self._clock, new_id)
        self._scheduler = Scheduler(ledger, launcher_of, who, timing)

    def tick(self) -> None:
        """A round over every target that nobody holds, then a step of every launch that is due.

        Raises LedgerUnavailable and DatabaseUnavailable: the same again later.
        """
        self.decide()
        self._scheduler.tick()
        self._measure()

    def decide(self) -> None:
        """A round over every target that nobody holds: up to the recorded intent, without any call of a launcher.

        What goes wrong with one target is said in its state, and the others go on. Raises as `tick` does.
        """
        for name, target in self._targets.items():
            lease = self._ledger.acquire(name, self._who, self._lease_ms)
            if lease is not None:
                self._visit(lease, name, target)

    @property
    def _lease_ms(self) -> int:
        return round(self._timing.lease_s * 1000)

    def _visit(self, lease: Lease, name: str, target: Target) -> None:
        try:
            with kept(self._ledger, lease, self._lease_ms):
                self._round.go(lease, name, target)
        except FencedError:
            return  # its new holder goes on
        except (LedgerUnavailable, DatabaseUnavailable):
            raise
        except Exception as exc:  # one target must not stop the others, whatever it is
            LOGGER.exception("a target could not be looked at", extra={"fields": {"target": name}})
            self._say(lease, f"{type(exc).__name__}: {exc}")
        self._ledger.release(lease)  # after a crash nobody does: then it runs out

    def _say(self, lease: Lease, problem: str) -> None:
        try:
            self._controls.looked(lease, problem)
        except FencedError:
            return

    def _measure(self) -> None:
        now_ms = self._clock()
        launches = self._ledger.launches(limit=LAUNCHES)
        for state in State:
            metrics.LAUNCHES.labels(str(state)).set(sum(launch.state == state for launch in launches))
        for name, target in self._targets.items():
            state_of = self._controls.state(name)
            seen_ms = state_of.first_seen_ms if state_of.seen_ms is None else state_of.seen_ms
            metrics.WATCH_LAG_SECONDS.labels(name).set(max(0, now_ms - seen_ms) / 1000)
            metrics.PROBLEM.labels(name).set(bool(state_of.problem))
            if target.budget_cents is not None:
                left = target.budget_cents - self._ledger.spent_cents(name)
                metrics.BUDGET_LEFT_CENTS.labels(name).set(left)

    def targets(self) -> list[TargetView]:
        """All of them, in the file's order."""
        return [self.target(name) for name in self._targets]

    def target(self, name: str) -> TargetView:
        """Raises UnknownTargetError."""
        return showing.target(name, self._known(name), self._ledger, self._controls, self._watch, self._clock())

    def explain(self, name: str) -> Explanation:
        """Why it would train now, or would not. No decision is recorded, no drift checked. Raises UnknownTargetError.

        What is new in the lake is read first; where it does not answer, that is said, and what was read before counts.
        """
        target = self._known(name)
        problem, versions = self._round.catch_up(name, target)
        gathered, verdict = self._round.look(name, target, versions, checks=False)
        state, waiting = self._controls.state(name), self._controls.open(name)
        problem = problem or state.problem
        shown = None if waiting is None else showing.decision(waiting, self._ledger)
        return Explanation(
            target=name,
            fires=verdict.fires and waiting is None,
            words=showing.sentence(name, verdict, shown, problem),
            finding=verdict.finding,
            guards=verdict.guards,
            now_ms=gathered.facts.now_ms,
            seen_ms=state.seen_ms,
            problem=problem,
            open_decision=shown,
        )

    def decisions(self, name: str | None = None, limit: int = 100) -> list[DecisionView]:
        """The last ones, the newest first."""
        if name is not None:
            self._known(name)
        return [showing.decision(each, self._ledger) for each in self._controls.outcomes(name, limit)]

    def decision(self, decision_id: str) -> DecisionView:
        """Raises UnknownDecisionError."""
        return showing.decision(self._controls.outcome(decision_id), self._ledger)

    def fire(
        self,
        name: str,
        who: str,
        kind: str = MANUAL,
        reason: str = "",
        examples: Sequence[str] = (),
        request_id: str | None = None,
    ) -> str:
        """Say that a target should train; the id of the signal, which is that of the decision it leads to.

        `manual` overrides policies, debounce, cooldown and the last attempt; any other kind is an event that a policy
        has to ask for. `examples` are sample ids. The same `request_id` is the same signal.

        Raises UnknownTargetError, NotHeardError.
        """
        target = self._known(name)
        if not KIND.fullmatch(kind):
            raise NotHeardError(f"kind {kind!r} is not lower-case letters, digits, dashes, underscores")
        events = [each.event for each in leaves(target.policy) if each.event is not None]
        if kind != MANUAL and not any(hears(rule, kind) for rule in events):
            asked = sorted({each for rule in events for each in rule.kinds})
            listens = f"it asks for {', '.join(asked)}" if asked else "it has no event policy"
            raise NotHeardError(f"no policy of {name} asks for {kind!r}: {listens}; {MANUAL!r} fires by itself")
        if not 0 < len(reason.strip()) <= MAX_REASON_CHARS:
            raise NotHeardError(f"a reason has 1 to {MAX_REASON_CHARS:,} characters")
        if len(examples) > MAX_EXAMPLES:
            raise NotHeardError(f"{len(examples):,} examples, more than {MAX_EXAMPLES:,}")
        for each in examples:
            try:
                msgspec.convert(each, SampleId)
            except msgspec.ValidationError as exc:
                raise NotHeardError("an example is a sample id, tenant/interaction: texts have no place here") from exc
        named = None if request_id is None else hashlib.sha256(msgspec.json.encode([name, request_id])).hexdigest()[:32]
        signal = Signal(
            signal_id=named or self._new_id(),
            target=name,
            kind=kind,
            reason=reason.strip(),
            examples=tuple(examples),
            who=who,
            at_ms=0,
        )
        return self._controls.signal(signal).signal_id

    def approve(self, decision_id: str, who: str, note: str = "") -> DecisionView:
        """Raises UnknownDecisionError, NotWaitingError."""
        return showing.decision(self._controls.settle(decision_id, who, Stage.BUILDING, note), self._ledger)

    def refuse(self, decision_id: str, who: str, note: str = "") -> DecisionView:
        """Of a decision that waits, or whose dataset is being built. Raises UnknownDecisionError, NotWaitingError."""
        outcome = self._controls.outcome(decision_id)
        if outcome.stage != Stage.BUILDING:
            return showing.decision(self._controls.settle(decision_id, who, Stage.REFUSED, note), self._ledger)
        # Under the lease, so that it cannot launch at the same time.
        lease = self._ledger.acquire(outcome.decision.target, who, self._lease_ms)
        if lease is None:
            raise NotWaitingError(
                f"decision {decision_id} is being carried out right now: try again, or cancel its job"
            )
        try:
            launches = self._ledger.launches(outcome.decision.target, limit=LAUNCHES)
            if any(each.intent.decision_id == decision_id for each in launches):
                raise NotWaitingError(f"decision {decision_id} is launched: cancel its job")
            words = f"refused by {who}{f': {note}' if note else ''}"
            return showing.decision(self._controls.move(lease, decision_id, Stage.REFUSED, words), self._ledger)
        finally:
            self._ledger.release(lease)

    def pause(self, name: str, who: str, why: str = "") -> None:
        """Decide and build nothing until it is resumed; what is launched goes on. Raises UnknownTargetError."""
        self._known(name)
        self._controls.pause(name, who, why)

    def resume(self, name: str, who: str) -> None:
        """Raises UnknownTargetError."""
        self._known(name)
        self._controls.resume(name, who)

    def measure(self, name: str, metric: str, value: float, who: str) -> None:
        """Report a number for the performance policy. Raises UnknownTargetError, NotHeardError."""
        target = self._known(name)
        rules = [each.performance for each in leaves(target.policy) if each.performance is not None]
        asked = sorted({rule.metric for rule in rules} - {SCORE})
        if metric not in asked:
            reads = f"they ask for {', '.join(asked)}" if asked else "none asks for a measurement"
            raise NotHeardError(f"no performance policy of {name} asks for {metric!r}: {reads}")
        if not math.isfinite(value):
            raise NotHeardError(f"{metric} is {value}, which is no number")
        self._controls.measure(name, metric, value, who)

    def job(self, job_id: str) -> JobView:
        """By the id of a signal or decision, or a launch's key. Raises UnknownJobIdError."""
        try:
            return showing.job_of(self._controls.outcome(job_id), self._ledger, self._controls, whole=True)
        except UnknownDecisionError:
            pass
        signal = self._controls.find_signal(job_id)
        if signal is not None:
            if signal.decision_id is not None:
                return self.job(signal.decision_id)
            return showing.job_of_signal(signal, self._controls)
        try:
            launch = self._ledger.launch(job_id)
        except UnknownLaunchError as exc:
            raise UnknownJobIdError(f"there is no job {job_id}") from exc
        return self.job(launch.intent.decision_id)

    def jobs(self, name: str | None = None, limit: int = 100) -> list[JobView]:
        """The last ones, the newest first, without their events, curves and histories."""
        names = list(self._targets) if name is None else [name]
        if name is not None:
            self._known(name)
        waiting = [showing.job_of_signal(each, self._controls) for one in names for each in self._controls.signals(one)]
        outcomes = self._controls.outcomes(name, limit, noes=False)
        found = [showing.job_of(each, self._ledger, self._controls, whole=False) for each in outcomes]
        return sorted([*waiting, *found], key=lambda job: -job.created_ms)[:limit]

    def cancel(self, job_id: str, who: str) -> JobView:
        """Withdraw what waits, refuse what is decided, cancel what is launched.

        A job that is lost or blocked is looked for and cancelled first. Raises UnknownJobIdError, LauncherError,
        NotWaitingError where it is over, just being created or worked on.
        """
        job = self.job(job_id)
        if job.state == "queued":
            self._controls.withdraw(job.id, who)
        elif job.state in {Stage.WAITING, Stage.BUILDING}:
            self.refuse(job.id, who, "cancelled")
        elif job.key is None or job.state in TERMINAL or job.state in {Stage.REFUSED, "withdrawn"}:
            raise NotWaitingError(f"job {job_id} is over: {job.state}")
        elif job.state in POLLED and job.job_id is not None:
            self._scheduler.launcher(job.target).cancel(job.job_id)
        else:
            self._end(job.key, job.target, who)
        return self.job(job.id)

    def _end(self, key: str, name: str, who: str) -> None:
        lease = self._ledger.acquire(name, who, self._lease_ms)
        if lease is None:
            raise NotWaitingError(f"launch {key} is being worked on right now; try again in a moment")
        try:
            with kept(self._ledger, lease, self._lease_ms):
                cancelling.cancel(self._ledger, lease, key, self._scheduler)
        finally:
            self._ledger.release(lease)

    def resolve(self, job_id: str, who: str, after: State, note: str, provider_job: str | None = None) -> JobView:
        """A person's word on a blocked launch; see `Ledger.resolve`. Calls no provider.

        Raises UnknownJobIdError, NotWaitingError, TransitionError.
        """
        job = self.job(job_id)
        if job.key is None:
            raise NotWaitingError(f"job {job_id} is {job.state}: it has no launch yet")
        self._ledger.resolve(job.key, who, after, note, provider_job)
        return self.job(job.id)

    def models(self, name: str | None = None, limit: int = 100) -> list[ModelView]:
        """What launches have made, the newest first."""
        launches = self._ledger.launches(name, limit=max(limit, LAUNCHES))
        made = [each for each in launches if each.state == State.SUCCEEDED and each.model is not None]
        return [showing.model_of(each, self._ledger, self._controls) for each in made[:limit]]

    def model(self, model_id: str) -> ModelView:
        """Raises UnknownModelError."""
        for launch in self._ledger.launches(limit=10 * LAUNCHES):
            if launch.model == model_id and launch.state == State.SUCCEEDED:
                return showing.model_of(launch, self._ledger, self._controls)
        raise UnknownModelError(f"there is no model {model_id}")

    def evaluate(self, model_id: str, who: str, suite: str = "default", request_id: str | None = None) -> str:
        """Queue an evaluation; its id. The same `request_id` is the same one. Raises UnknownModelError."""
        self.model(model_id)
        named = hashlib.sha256(msgspec.json.encode([model_id, request_id])).hexdigest()[:32]
        evaluation_id = self._new_id() if request_id is None else named
        evaluation = Evaluation(evaluation_id=evaluation_id, model_id=model_id, suite=suite, who=who, at_ms=0)
        self._controls.evaluate(evaluation)
        return evaluation_id

    def evaluations(self, model_id: str | None = None, limit: int = 100) -> list[Evaluation]:
        """The last ones, the newest first."""
        return self._controls.evaluations(model_id, limit)

    def _known(self, name: str) -> Target:
        if name not in self._targets:
            raise UnknownTargetError(name)
        return self._targets[name]
