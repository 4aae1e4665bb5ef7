"""One round over one target, under its lease. Any process goes on where another one died.

1. Tell the watch of a launch that has ended: what counts as new begins after its training set, if it succeeded. The
   events that one answered in vain wait again.
2. Read what is new in the lake.
3. Unless a decision is open: decide, and record the decision with its first stage in one transaction. What it fires
   with is pinned in it: table versions (where a person approves, those of then), configuration, the set before.
4. If it fired and nobody has to approve: build its dataset, which has the same bytes whoever builds it, and record it.
5. Record the intent to launch; its cost is reserved with it. A launch of this decision that is there is taken as it is.
6. Record that it is launched.

A training set counts as trained on only when its run has succeeded. So the samples of a failed or cancelled one are new
again without any step back, and until then the active run stands in the way of the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from schemas.targets import Target
from streams.errors import LakeUnavailable
from trainer_trigger import metrics
from trainer_trigger.controls import Controls
from trainer_trigger.controls.records import MANUAL, Outcome, Plan, Stage
from trainer_trigger.decide import Verdict, decide
from trainer_trigger.errors import DatasetsAway, NoDatasetError, NotWaitingError
from trainer_trigger.gather import LAUNCHES, Gathered, gather
from trainer_trigger.launchers import LaunchRequest
from trainer_trigger.launchers.chosen import identity_of
from trainer_trigger.ledger import Decision, Lease, Ledger, State
from trainer_trigger.ledger.errors import ActiveRunError, BudgetSpentError
from trainer_trigger.policies import evaluate
from trainer_trigger.ports import Built, Datasets
from trainer_trigger.watch import Versions, Watching

LOGGER: Final = logging.getLogger(__name__)
ENDED: Final = frozenset({State.FAILED, State.CANCELLED})


class Round:
    """`new_id` makes ids of decisions; `clock` answers epoch milliseconds of the database's time."""

    def __init__(
        self,
        ledger: Ledger,
        controls: Controls,
        watch: Watching,
        datasets: Datasets,
        launcher_problem: Callable[[Target], str],
        clock: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self._ledger = ledger
        self._controls = controls
        self._watch = watch
        self._datasets = datasets
        self._launcher_problem = launcher_problem
        self._clock = clock
        self._new_id = new_id

    def go(self, lease: Lease, name: str, target: Target) -> None:
        """Raises FencedError when the lease was lost, and what the ports raise; the next round goes on from there."""
        self._controls.state(name)
        self._tell(lease, name)  # 1
        problem, versions = self.catch_up(name, target)  # 2
        outcome = self._controls.open(name)
        if outcome is None and versions is not None:
            outcome = self._decide(lease, name, target, versions)  # 3
        if outcome is not None and outcome.stage == Stage.BUILDING:
            self._carry_out(lease, name, target, outcome, versions)
        self._controls.looked(lease, problem)

    def look(self, name: str, target: Target, versions: Versions | None, *, checks: bool) -> tuple[Gathered, Verdict]:
        """What would be decided now; writes nothing of its own, but where it `checks` a window of drift."""
        gathered = gather(
            name,
            target,
            versions,
            self._ledger,
            self._controls,
            self._watch,
            self._launcher_problem,
            self._clock(),
            checks=checks,
        )
        finding = evaluate(target.policy, gathered.facts)
        return gathered, decide(target, finding, gathered.facts, gathered.standing)

    def _tell(self, lease: Lease, name: str) -> None:
        for outcome in self._controls.untold(name):
            assert outcome.launch_key is not None, "the table's check sees to it"
            launch = self._ledger.launch(outcome.launch_key)
            if launch.state == State.SUCCEEDED:
                self._watch.trained(name, outcome.versions, launch.intent.dataset_hash)
            if launch.state == State.SUCCEEDED or launch.state in ENDED:
                self._controls.told(lease, outcome.decision.decision_id, in_vain=launch.state in ENDED)

    def catch_up(self, name: str, target: Target) -> tuple[str, Versions | None]:
        """A problem in words, or the versions. A decision that is open goes on all the same."""
        try:
            return "", self._watch.catch_up(name, target)
        except LakeUnavailable as exc:
            LOGGER.warning("lake away", extra={"fields": {"target": name}})
            return f"the lake does not answer, it is asked again: {exc}", None

    def _decide(self, lease: Lease, name: str, target: Target, versions: Versions) -> Outcome:
        gathered, verdict = self.look(name, target, versions, checks=True)
        since_ms = self._controls.holding(lease, target.hash, verdict.finding.holds)
        standing = msgspec.structs.replace(gathered.standing, holds_since_ms=since_ms)
        facts = gathered.facts
        verdict = decide(target, verdict.finding, facts, standing)
        plan = Plan(
            target=target,
            target_hash=target.hash,
            versions=versions,
            earlier=gathered.earlier,
            fresh=facts.fresh,
            total=facts.total,
            signals=verdict.signals,
            by_person=any(each.kind == MANUAL and each.signal_id in verdict.signals for each in facts.signals),
        )
        answered = verdict.signals if verdict.kind != "no" else ()
        decision = Decision(
            decision_id=answered[0] if answered else self._new_id(),
            target=name,
            fires=verdict.fires,
            words=verdict.words,
            details=msgspec.json.encode(plan).decode(),
        )
        stage = {
            "no": Stage.NO,
            "refused": Stage.REFUSED,
            "fires": Stage.WAITING if verdict.needs_approval else Stage.BUILDING,
        }[verdict.kind]
        try:
            outcome = self._controls.record(lease, decision, stage, verdict.cause, answered)
        except NotWaitingError:  # a wish was withdrawn since it was read
            return self._decide(lease, name, target, versions)
        metrics.DECISIONS.labels(name, verdict.kind).inc()
        if verdict.kind != "no":
            fields = {"target": name, "decision": decision.decision_id, "kind": verdict.kind}
            LOGGER.info("decided", extra={"fields": fields})
        return outcome

    def _carry_out(self, lease: Lease, name: str, target: Target, outcome: Outcome, versions: Versions | None) -> None:
        decision_id, plan = outcome.decision.decision_id, outcome.plan
        launches = self._ledger.launches(name, limit=LAUNCHES)
        mine = next((each for each in launches if each.intent.decision_id == decision_id), None)
        if mine is not None:  # somebody died between 5 and 6
            self._controls.move(lease, decision_id, Stage.LAUNCHED, outcome.note, mine.key)
            return
        pause = self._controls.paused(name)
        if pause is not None:
            self._controls.move(lease, decision_id, Stage.BUILDING, f"{pause.who} paused the target")
            return
        if plan.target.approval == "manual" and outcome.pinned is None:
            if versions is None:
                return  # the lake is away, and which versions it has now is not known
            outcome = self._controls.pin(lease, decision_id, versions)
        try:
            built = self._datasets.build(name, plan.target, outcome.versions, plan.earlier)  # 4
        except NoDatasetError as exc:
            self._controls.move(lease, decision_id, Stage.REFUSED, str(exc), in_vain=True)
            return
        except (DatasetsAway, LakeUnavailable) as exc:
            self._controls.move(lease, decision_id, Stage.BUILDING, f"tried again: {exc}")
            return
        note = f"its dataset is {built.training_set.place}"
        self._controls.move(lease, decision_id, Stage.BUILDING, note, training_set=built.training_set)
        request = _request(name, plan, outcome.versions, built)
        same = [
            each
            for each in launches
            if each.intent.dataset_hash == request.dataset_hash
            and each.intent.configuration_hash == request.training.hash
        ]
        done = next((each for each in same if each.state == State.SUCCEEDED), None)
        if done is not None and not plan.by_person:
            words = f"launch {done.key} has trained the same samples with the same configuration already"
            self._controls.move(lease, decision_id, Stage.REFUSED, words, in_vain=True)
            return
        generations = [each.intent.generation for each in same if each.intent.table_version == request.table_version]
        request = msgspec.structs.replace(request, generation=max(generations, default=-1) + 1)
        intent = request.intent(decision_id, plan.target.cost_cents)
        try:
            launch = self._ledger.intend(lease, intent, target.budget_cents)  # 5
        except ActiveRunError as exc:
            self._controls.move(lease, decision_id, Stage.BUILDING, f"waits: {exc}")
            return
        except BudgetSpentError as exc:
            self._controls.move(lease, decision_id, Stage.REFUSED, str(exc), in_vain=True)
            return
        self._controls.move(lease, decision_id, Stage.LAUNCHED, note, launch.key)  # 6


def _request(name: str, plan: Plan, versions: Versions, built: Built) -> LaunchRequest:
    return LaunchRequest(
        target=name,
        table_version=versions.samples,
        dataset_hash=built.training_set.dataset_hash,
        training=plan.target.training,
        train_file=built.train,
        validation_file=built.validation,
        provider_at=identity_of(plan.target),
    )
