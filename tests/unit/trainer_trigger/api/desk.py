"""A desk in memory, which the API's tests stand before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from trainer_trigger.controls.records import Evaluation, Pause
from trainer_trigger.errors import (
    NotWaitingError,
    UnknownDecisionError,
    UnknownJobIdError,
    UnknownModelError,
    UnknownTargetError,
)
from trainer_trigger.policies import Finding
from trainer_trigger.views import Curve, DecisionView, Explanation, JobView, ModelView, TargetView
from trainer_trigger.watch import Versions

VERSIONS = Versions(samples=3, rejected=1, events=7)


class FakeDesk:
    """Two targets, a decision that waits for approval and a model of each. `fails` is what every call raises."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.fails: Exception | None = None
        self.paused: dict[str, Pause | None] = {"support": None, "sales": None}
        self.made = {
            f"job-{name}": JobView(
                id=f"job-{name}",
                target=name,
                state="waiting_for_approval",
                words="500 new samples",
                note="",
                created_ms=1,
                changed_ms=2,
                dataset_hash="ab",
                dataset_place="datasets/x",
                versions=VERSIONS,
                curves=(Curve("train_loss", ((1, 2.5), (2, 1.5))),),
            )
            for name in self.paused
        }
        self.queued: list[Evaluation] = []

    def targets(self) -> list[TargetView]:
        self._call("targets")
        return [self._target(name) for name in self.paused]

    def target(self, name: str) -> TargetView:
        self._call("target", name)
        return self._target(name)

    def explain(self, name: str) -> Explanation:
        self._call("explain", name)
        self._target(name)
        finding = Finding(policy="volume", holds=False, words="3 of 500 new samples")
        return Explanation(
            target=name,
            fires=False,
            words=f"{name} does not train now",
            finding=finding,
            guards=(),
            now_ms=5,
            seen_ms=4,
            problem="",
            open_decision=None,
        )

    def decisions(self, name: str | None = None, limit: int = 100) -> list[DecisionView]:
        self._call("decisions", name, limit)
        return [_decision(job) for job in self.made.values() if name in {None, job.target}][:limit]

    def decision(self, decision_id: str) -> DecisionView:
        self._call("decision", decision_id)
        if decision_id not in self.made:
            raise UnknownDecisionError(f"there is no decision {decision_id}")
        return _decision(self.made[decision_id])

    def fire(
        self,
        name: str,
        who: str,
        kind: str = "manual",
        reason: str = "",
        examples: Sequence[str] = (),
        request_id: str | None = None,
    ) -> str:
        self._call("fire", name, who, kind, reason, tuple(examples), request_id)
        self._target(name)
        job_id = f"job-{name}-{request_id or len(self.made)}"
        new = JobView(id=job_id, target=name, state="queued", words=reason, note="", created_ms=3, changed_ms=3)
        self.made.setdefault(job_id, new)
        return job_id

    def approve(self, decision_id: str, who: str, note: str = "") -> DecisionView:
        return self._settle(decision_id, "approve", who, "building", note)

    def refuse(self, decision_id: str, who: str, note: str = "") -> DecisionView:
        return self._settle(decision_id, "refuse", who, "refused", note)

    def pause(self, name: str, who: str, why: str = "") -> None:
        self._call("pause", name, who, why)
        self._target(name)
        self.paused[name] = Pause(who, 1, why)

    def resume(self, name: str, who: str) -> None:
        self._call("resume", name, who)
        self._target(name)
        self.paused[name] = None

    def measure(self, name: str, metric: str, value: float, who: str) -> None:
        self._call("measure", name, metric, value, who)
        self._target(name)

    def job(self, job_id: str) -> JobView:
        self._call("job", job_id)
        if job_id not in self.made:
            raise UnknownJobIdError(f"there is no job {job_id}")
        return self.made[job_id]

    def jobs(self, name: str | None = None, limit: int = 100) -> list[JobView]:
        self._call("jobs", name, limit)
        return [job for job in self.made.values() if name in {None, job.target}][:limit]

    def cancel(self, job_id: str, who: str) -> JobView:
        self.made[job_id] = msgspec.structs.replace(self.job(job_id), state="cancelled")
        self._call("cancel", job_id, who)
        return self.made[job_id]

    def models(self, name: str | None = None, limit: int = 100) -> list[ModelView]:
        self._call("models", name, limit)
        return [_model(each) for each in self.paused if name in {None, each}][:limit]

    def model(self, model_id: str) -> ModelView:
        self._call("model", model_id)
        name = model_id.removeprefix("ft:llama/")
        if name not in self.paused:
            raise UnknownModelError(f"there is no model {model_id}")
        return _model(name)

    def evaluate(self, model_id: str, who: str, suite: str = "default", request_id: str | None = None) -> str:
        self.model(model_id)
        self._call("evaluate", model_id, who, suite, request_id)
        made = Evaluation(evaluation_id=f"e{len(self.queued)}", model_id=model_id, suite=suite, who=who, at_ms=1)
        self.queued.insert(0, made)
        return made.evaluation_id

    def evaluations(self, model_id: str | None = None, limit: int = 100) -> list[Evaluation]:
        self._call("evaluations", model_id, limit)
        return [each for each in self.queued if model_id in {None, each.model_id}][:limit]

    def changes(self) -> list[str]:
        """The names of the calls that change something."""
        changing = {"fire", "approve", "refuse", "pause", "resume", "measure", "cancel", "evaluate"}
        return [call[0] for call in self.calls if call[0] in changing]

    def _call(self, *said: object) -> None:
        self.calls.append(said)
        if self.fails is not None:
            raise self.fails

    def _settle(self, decision_id: str, what: str, who: str, state: str, note: str) -> DecisionView:
        self._call(what, decision_id, who, note)
        job = self.made[decision_id]
        if job.state != "waiting_for_approval":
            raise NotWaitingError(f"decision {decision_id} is {job.state}")
        self.made[decision_id] = msgspec.structs.replace(job, state=state)
        return _decision(self.made[decision_id])

    def _target(self, name: str) -> TargetView:
        if name not in self.paused:
            raise UnknownTargetError(name)
        return TargetView(
            name=name,
            version="v1",
            hash="cd",
            base_model="llama",
            method="supervised",
            launcher="millrace",
            approval="manual",
            fresh=3,
            total=120,
            first_seen_ms=1,
            seen_ms=2,
            problem="",
            paused=self.paused[name],
            last_decision=None,
            open_decision=None,
            active_launch=None,
            active_state=None,
            waiting_signals=(),
            month="2026-11",
            budget_cents=None,
            spent_cents=0,
        )


def _decision(job: JobView) -> DecisionView:
    return DecisionView(
        decision_id=job.id,
        target=job.target,
        fires=True,
        words=job.words,
        stage=job.state,
        note=job.note,
        times=1,
        at_ms=1,
        last_ms=1,
        config_version="v1",
        config_hash="cd",
        versions=VERSIONS,
    )


def _model(name: str) -> ModelView:
    return ModelView(
        model_id=f"ft:llama/{name}",
        target=name,
        base_model="llama",
        method="supervised",
        dataset_hash="ab",
        dataset_place="datasets/x",
        versions=VERSIONS,
        config_version="v1",
        config_hash="cd",
        training_hash="ef",
        code="0" * 40,
        decision_id=f"job-{name}",
        key="k",
        job_id="ftjob-1",
        created_ms=1,
        finished_ms=2,
        cost_cents=3,
        last_points=(("train_loss", 2, 1.5),),
    )
