"""Every error as one shape: `application/problem+json` (RFC 9457), without a word of an exception that is not our own.

`type` is about:blank, so `title` is the status's phrase; `code` is the word for programs, `detail` the sentence for
people, `field` the part of the request that is to blame.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct
from starlette.responses import Response

from streams.errors import TransientError
from trainer_trigger import errors
from trainer_trigger.launchers.errors import (
    LauncherUnavailable,
    LaunchRefusedError,
    LaunchStateUnknownError,
    UnknownJobError,
)
from trainer_trigger.ledger import errors as ledger

MEDIA_TYPE: Final = "application/problem+json"
RETRY_S: Final = 5.0
"""When to come again where a dependency is away and does not say for how long."""

_LOG: Final = logging.getLogger("millrace.api")


class Problem(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What went wrong with a request."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str = ""


class ApiProblem(Exception):
    """Ends a request with this problem; `retry_after_s` says when to come again."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        field: str = "",
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field
        self.retry_after_s = retry_after_s
        self.headers = headers or {}

    def response(self) -> Response:
        """As it is sent."""
        headers = dict(self.headers)
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        problem = Problem(
            type="about:blank",
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            code=self.code,
            field=self.field,
        )
        return json_response(problem, self.status, headers, MEDIA_TYPE)


class _Known(NamedTuple):
    status: int
    code: str
    detail: str | None = None
    """None: the exception's own words, which we have written ourselves."""


_AWAY: Final = "it does not answer; what was asked may have been done: look, or ask again with the same request_id"
_DATABASE: Final = _Known(503, "database_unavailable", f"the database: {_AWAY}")
_HELD: Final = _Known(503, "busy", "another scheduler works on the target at this moment: ask again")
_STATE: Final = _Known(409, "conflict", "it is not in a state for that, or not any more: read it again")

KNOWN: Final[Mapping[type[Exception], _Known]] = {
    errors.UnknownTargetError: _Known(404, "unknown_target"),
    errors.UnknownDecisionError: _Known(404, "unknown_decision"),
    errors.UnknownJobIdError: _Known(404, "unknown_job"),
    errors.UnknownModelError: _Known(404, "unknown_model"),
    errors.NotWaitingError: _Known(409, "not_waiting"),
    errors.NotHeardError: _Known(422, "not_heard"),
    errors.NoDatasetError: _Known(409, "no_dataset"),
    errors.DatasetsAway: _Known(503, "datasets_unavailable", f"the lake or the store of datasets: {_AWAY}"),
    errors.DatabaseRefusedError: _STATE,
    errors.DatabaseUnavailable: _DATABASE,
    ledger.UnknownLaunchError: _Known(404, "unknown_job"),
    ledger.TransitionError: _STATE,
    ledger.ActiveRunError: _Known(409, "active_run"),
    ledger.BudgetSpentError: _Known(409, "budget_spent"),
    ledger.DecisionTakenError: _STATE,
    ledger.FencedError: _HELD,
    ledger.LedgerUnavailable: _DATABASE,
    LaunchRefusedError: _Known(409, "launch_refused", "the provider does not take it"),
    LaunchStateUnknownError: _Known(503, "launch_unknown", "the provider did not say what became of it: look again"),
    LauncherUnavailable: _Known(503, "provider_unavailable", f"the provider: {_AWAY}"),
    UnknownJobError: _Known(409, "provider_job_unknown", "the provider does not know this job (any more)"),
    TransientError: _Known(503, "dependency_unavailable", f"a dependency, such as the lake: {_AWAY}"),
}


def problem_of(exc: Exception) -> ApiProblem:
    """The problem for an exception; one that nobody foresaw is a 500 whose words stay in the log."""
    if isinstance(exc, ApiProblem):
        return exc
    for kind in type(exc).__mro__:
        known = KNOWN.get(kind)
        if known is not None:
            retry_after_s = None
            if known.status == 503:
                told = getattr(exc, "retry_after_s", None)
                retry_after_s = RETRY_S if told is None else told
            detail = str(exc) if known.detail is None else known.detail
            return ApiProblem(known.status, known.code, detail, retry_after_s=retry_after_s)
    _LOG.error("a request failed", exc_info=exc)
    return ApiProblem(500, "internal", "something went wrong here; the log says what")


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None, media_type: str = "application/json"
) -> Response:
    """JSON that no cache keeps and no browser takes for anything else."""
    guarded = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})}
    return Response(msgspec.json.encode(value), status, headers=guarded, media_type=media_type)
