"""What can be asked: each route with its scope, what it takes and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeVar

from msgspec import Struct

from trainer_trigger.api.audit import AuditLog, Entry
from trainer_trigger.api.bodies import (
    MOST,
    Agreed,
    AuditListing,
    Body,
    Empty,
    Fire,
    Listing,
    Measured,
    NewEvaluation,
    NewJob,
    Pausing,
    Refusal,
)
from trainer_trigger.api.desk import Desk
from trainer_trigger.api.keys import Key, Scope
from trainer_trigger.api.problems import ApiProblem
from trainer_trigger.controls.records import Evaluation
from trainer_trigger.errors import UnknownModelError
from trainer_trigger.views import DecisionView, Explanation, JobView, ModelView, TargetView

BASE: Final = "/api/v1/fine-tuning"


class Asked(Struct, frozen=True):
    """A request that was understood: who, the part of the path, query and body."""

    key: Key
    id: str
    query: Any
    body: Any
    request_id: str | None


class Page(Struct, frozen=True):
    """`next` is the `after` of the next page, None at the end."""

    data: Sequence[Struct]
    next: str | int | None


class Route(Struct, frozen=True, kw_only=True):
    """`about` says what the path's part (or the body) names, so that a key that is for some targets only is held to it.

    `action` is its name in the audit log; a route without changes nothing.
    """

    method: Literal["GET", "POST"]
    path: str
    scope: Scope
    summary: str
    handle: Callable[[Desk, AuditLog, Asked], Struct | Page]
    answers: type[Struct]
    many: bool = False
    query: type[Body] = Empty
    body: type[Body] | None = None
    about: Literal["target", "job", "model", "decision", "evaluation", "nothing"] = "nothing"
    action: str = ""
    status: int = 200


T = TypeVar("T", bound=Struct)


def target_of(desk: Desk, route: Route, asked: Asked) -> str:
    """The target that a request is about; empty where it is about none."""
    match route.about:
        case "target":
            return asked.body.target if isinstance(asked.body, NewJob) else asked.id
        case "job":
            return desk.job(asked.id).target
        case "decision":
            return desk.decision(asked.id).target
        case "model":
            return desk.model(subject_of(asked)).target
        case "evaluation":
            return desk.model(_evaluation(desk, asked.id).model_id).target
        case _:
            return getattr(asked.query, "target", None) or ""


def subject_of(asked: Asked) -> str:
    """What the request names: a job, decision, model or target."""
    match asked.body:
        case NewJob(target=target):
            return target
        case NewEvaluation(model_id=model_id):
            return model_id
    return asked.id


def _new_job(desk: Desk, _audit: AuditLog, asked: Asked) -> JobView:
    body: NewJob = asked.body
    key = asked.key.who
    return desk.job(desk.fire(body.target, key, body.kind, body.reason, body.examples, asked.request_id))


def _fire(desk: Desk, _audit: AuditLog, asked: Asked) -> JobView:
    body: Fire = asked.body
    key = asked.key.who
    return desk.job(desk.fire(asked.id, key, body.kind, body.reason, body.examples, asked.request_id))


def _jobs(desk: Desk, _audit: AuditLog, asked: Asked) -> Page:
    return _page(desk.jobs(asked.query.target, MOST), asked, lambda job: job.id, lambda job: job.target)


def _models(desk: Desk, _audit: AuditLog, asked: Asked) -> Page:
    return _page(desk.models(asked.query.target, MOST), asked, lambda each: each.model_id, lambda each: each.target)


def _decisions(desk: Desk, _audit: AuditLog, asked: Asked) -> Page:
    found = desk.decisions(asked.query.target, MOST)
    return _page(found, asked, lambda each: each.decision_id, lambda each: each.target)


def _targets(desk: Desk, _audit: AuditLog, asked: Asked) -> Page:
    return Page([each for each in desk.targets() if asked.key.is_for(each.name)], None)


def _evaluations(desk: Desk, _audit: AuditLog, asked: Asked) -> Page:
    targets: dict[str, str] = {}

    def target(each: Evaluation) -> str:
        if each.model_id not in targets:
            try:
                targets[each.model_id] = desk.model(each.model_id).target
            except UnknownModelError:  # older than what is looked through
                targets[each.model_id] = ""
        return targets[each.model_id]

    found = desk.evaluations(limit=MOST)
    if asked.query.target is not None:
        found = [each for each in found if target(each) == asked.query.target]
    return _page(found, asked, lambda each: each.evaluation_id, target)


def _evaluate(desk: Desk, _audit: AuditLog, asked: Asked) -> Evaluation:
    body: NewEvaluation = asked.body
    return _evaluation(desk, desk.evaluate(body.model_id, asked.key.who, body.suite, asked.request_id))


def _pause(desk: Desk, _audit: AuditLog, asked: Asked) -> TargetView:
    desk.pause(asked.id, asked.key.who, asked.body.why)
    return desk.target(asked.id)


def _resume(desk: Desk, _audit: AuditLog, asked: Asked) -> TargetView:
    desk.resume(asked.id, asked.key.who)
    return desk.target(asked.id)


def _measure(desk: Desk, _audit: AuditLog, asked: Asked) -> Measured:
    desk.measure(asked.id, asked.body.metric, asked.body.value, asked.key.who)
    told: Measured = asked.body
    return told


def _audited(_desk: Desk, audit: AuditLog, asked: Asked) -> Page:
    query: AuditListing = asked.query
    if asked.key.targets and query.target is None:
        raise ApiProblem(403, "target", "this key is for some targets only: name one", field="target")
    lines = audit.entries(query.limit + 1, query.after, query.target)
    more = lines[query.limit :]
    return Page(lines[: query.limit], lines[query.limit - 1].number if more else None)


def _evaluation(desk: Desk, evaluation_id: str) -> Evaluation:
    for each in desk.evaluations(limit=MOST):
        if each.evaluation_id == evaluation_id:
            return each
    raise ApiProblem(404, "unknown_evaluation", f"there is no evaluation {evaluation_id}")


def _page(found: Sequence[T], asked: Asked, id_of: Callable[[T], str], target_of: Callable[[T], str]) -> Page:
    if asked.key.targets:
        found = [each for each in found if asked.key.is_for(target_of(each))]
    first = 0
    if asked.query.after is not None:
        ids = [id_of(each) for each in found]
        if asked.query.after not in ids:
            raise ApiProblem(422, "unknown_cursor", f"none of the last {MOST:,} has this id", field="after")
        first = ids.index(asked.query.after) + 1
    shown = found[first : first + asked.query.limit]
    return Page(shown, id_of(shown[-1]) if shown and first + len(shown) < len(found) else None)


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="POST",
        path="/jobs",
        scope="fire",
        summary="Ask for a fine-tune",
        handle=_new_job,
        answers=JobView,
        body=NewJob,
        about="target",
        action="job.create",
        status=202,
    ),
    Route(
        method="GET",
        path="/jobs",
        scope="read",
        summary="The last jobs",
        handle=_jobs,
        answers=JobView,
        many=True,
        query=Listing,
    ),
    Route(
        method="GET",
        path="/jobs/{id}",
        scope="read",
        summary="A job: state, dataset, history, events, loss curves",
        handle=lambda desk, _audit, asked: desk.job(asked.id),
        answers=JobView,
        about="job",
    ),
    Route(
        method="POST",
        path="/jobs/{id}/cancel",
        scope="fire",
        summary="Withdraw, refuse or cancel a job, wherever it stands",
        handle=lambda desk, _audit, asked: desk.cancel(asked.id, asked.key.who),
        answers=JobView,
        body=Empty,
        about="job",
        action="job.cancel",
    ),
    Route(
        method="GET",
        path="/models",
        scope="read",
        summary="The models that were made",
        handle=_models,
        answers=ModelView,
        many=True,
        query=Listing,
    ),
    Route(
        method="GET",
        path="/models/{id:path}",
        scope="read",
        summary="A model and all that it came from",
        handle=lambda desk, _audit, asked: desk.model(asked.id),
        answers=ModelView,
        about="model",
    ),
    Route(
        method="POST",
        path="/evaluations",
        scope="fire",
        summary="Queue an evaluation",
        handle=_evaluate,
        answers=Evaluation,
        body=NewEvaluation,
        about="model",
        action="evaluation.create",
        status=202,
    ),
    Route(
        method="GET",
        path="/evaluations",
        scope="read",
        summary="The last evaluations",
        handle=_evaluations,
        answers=Evaluation,
        many=True,
        query=Listing,
    ),
    Route(
        method="GET",
        path="/evaluations/{id}",
        scope="read",
        summary="An evaluation",
        handle=lambda desk, _audit, asked: _evaluation(desk, asked.id),
        answers=Evaluation,
        about="evaluation",
    ),
    Route(
        method="GET",
        path="/targets",
        scope="read",
        summary="The tuning targets as they stand",
        handle=_targets,
        answers=TargetView,
        many=True,
    ),
    Route(
        method="GET",
        path="/targets/{id}",
        scope="read",
        summary="A tuning target as it stands",
        handle=lambda desk, _audit, asked: desk.target(asked.id),
        answers=TargetView,
        about="target",
    ),
    Route(
        method="GET",
        path="/targets/{id}/explain",
        scope="read",
        summary="Why it would train now, or would not",
        handle=lambda desk, _audit, asked: desk.explain(asked.id),
        answers=Explanation,
        about="target",
    ),
    Route(
        method="POST",
        path="/targets/{id}/fire",
        scope="fire",
        summary="Report an event",
        handle=_fire,
        answers=JobView,
        body=Fire,
        about="target",
        action="target.fire",
        status=202,
    ),
    Route(
        method="POST",
        path="/targets/{id}/measurements",
        scope="fire",
        summary="Report a number for the performance policy",
        handle=_measure,
        answers=Measured,
        body=Measured,
        about="target",
        action="target.measure",
        status=202,
    ),
    Route(
        method="POST",
        path="/targets/{id}/pause",
        scope="admin",
        summary="Decide and build nothing until it is resumed",
        handle=_pause,
        answers=TargetView,
        body=Pausing,
        about="target",
        action="target.pause",
    ),
    Route(
        method="POST",
        path="/targets/{id}/resume",
        scope="admin",
        summary="Go on",
        handle=_resume,
        answers=TargetView,
        body=Empty,
        about="target",
        action="target.resume",
    ),
    Route(
        method="GET",
        path="/decisions",
        scope="read",
        summary="The last decisions, also every no",
        handle=_decisions,
        answers=DecisionView,
        many=True,
        query=Listing,
    ),
    Route(
        method="GET",
        path="/decisions/{id}",
        scope="read",
        summary="A decision",
        handle=lambda desk, _audit, asked: desk.decision(asked.id),
        answers=DecisionView,
        about="decision",
    ),
    Route(
        method="POST",
        path="/decisions/{id}/approve",
        scope="approve",
        summary="Let a decision that waits go on",
        handle=lambda desk, _audit, asked: desk.approve(asked.id, asked.key.who, asked.body.note),
        answers=DecisionView,
        body=Agreed,
        about="decision",
        action="decision.approve",
    ),
    Route(
        method="POST",
        path="/decisions/{id}/refuse",
        scope="approve",
        summary="Let a decision that waits, or is being built, not go on",
        handle=lambda desk, _audit, asked: desk.refuse(asked.id, asked.key.who, asked.body.note),
        answers=DecisionView,
        body=Refusal,
        about="decision",
        action="decision.refuse",
    ),
    Route(
        method="GET",
        path="/audit",
        scope="admin",
        summary="Who changed what, and who was denied",
        handle=_audited,
        answers=Entry,
        many=True,
        query=AuditListing,
    ),
)
