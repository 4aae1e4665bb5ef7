"""The HTTP application over a desk.

1. the key, before a byte of the body is read;  2. its rate;  3. its scope;  4. path, query and body, bounded, strict;
5. the key's targets;  6. a change is written down as asked, or is not made;  7. the desk, in a thread;  8. what became
of it is written down;  9. the answer.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from streams.collector.app import presented_key
from streams.collector.limits import Bucket, take
from trainer_trigger.api import openapi
from trainer_trigger.api.audit import AuditLog, Entry, Outcome
from trainer_trigger.api.bodies import Id, Token
from trainer_trigger.api.desk import Desk
from trainer_trigger.api.keys import Key, Keyring
from trainer_trigger.api.problems import ApiProblem, json_response, problem_of
from trainer_trigger.api.routes import BASE, ROUTES, Asked, Page, Route, subject_of, target_of
from trainer_trigger.errors import DatabaseUnavailable, TriggerError

MAX_BODY_BYTES: Final = 512 * 1024
"""As many examples as are allowed, with room."""

BODY_S: Final = 30.0
MAX_DETAIL_CHARS: Final = 2_000
REQUESTS_PER_S: Final = 20.0
"""Of one key; whoever polls a job needs less. Each process counts for itself."""

BURST: Final = 100.0
STRANGERS: Final = ""
"""Requests without a valid key share one bucket: what goes beyond it is not written down, so that nobody can fill the
audit log from outside."""

_LOG: Final = logging.getLogger("millrace.api")


def create_app(
    desk: Desk,
    audit: AuditLog,
    keys: Keyring,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """The application. `clock` tells monotonic seconds."""
    front = Front(desk, audit, keys, clock)
    app = _App(title="Millrace trigger", version="1", description=openapi.DESCRIPTION, docs_url=None, redoc_url=None)

    def endpoint(route: Route) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            return await front.answer(route, request)

        return answer

    async def healthz() -> Response:
        return Response("ok\n", media_type="text/plain")

    async def readyz() -> Response:
        try:
            await run_in_threadpool(audit.entries, 1)
        except DatabaseUnavailable:
            return Response("the database does not answer\n", 503, media_type="text/plain")
        return Response("ready\n", media_type="text/plain")

    for route in ROUTES:
        app.add_api_route(
            BASE + route.path,
            endpoint(route),
            methods=[route.method],
            summary=route.summary,
            operation_id=openapi.operation_id(route),
            status_code=route.status,
            openapi_extra=openapi.operation(route),
        )
    app.add_api_route("/healthz", healthz, summary="The process lives", include_in_schema=False)
    app.add_api_route("/readyz", readyz, summary="The database answers", include_in_schema=False)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _unforeseen)
    return app


class Front:
    """Between HTTP and the desk."""

    def __init__(self, desk: Desk, audit: AuditLog, keys: Keyring, clock: Callable[[], float]) -> None:
        self._desk = desk
        self._audit = audit
        self._keys = keys
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    async def answer(self, route: Route, request: Request) -> Response:
        """The response to a request for a route."""
        try:
            key = await self._authenticate(route, request)  # 1, 2
            if route.scope not in key.scopes:  # 3
                raise await self._denied(route, request, key, "scope", f"this needs a key with the scope {route.scope}")
            asked = await _understood(route, request, key)  # 4
            return await run_in_threadpool(self._serve, route, asked)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except Exception as exc:  # whatever it is, its words stay here
            return problem_of(exc).response()

    async def _authenticate(self, route: Route, request: Request) -> Key:
        presented = presented_key(request.headers)
        key = self._keys.find(presented)
        self._take(STRANGERS if key is None else key.id)
        if key is not None:
            return key
        said = presented.split("_")[1:2] if presented.startswith("mr_") else []
        known = self._keys.named(said[0]) if said else None
        problem = "send a valid API key as Authorization: Bearer … or X-API-Key: …"
        raise await self._denied(route, request, known, "key", problem, status=401)

    def _take(self, key_id: str) -> None:
        now_s = self._clock()
        bucket = self._buckets.get(key_id) or Bucket(BURST, now_s)
        self._buckets[key_id], wait_s = take(bucket, now_s, 1, REQUESTS_PER_S, BURST)
        if wait_s > 0:
            problem = f"more than {REQUESTS_PER_S:.0f} requests a second"
            raise ApiProblem(429, "rate", problem, retry_after_s=wait_s)

    async def _denied(
        self, route: Route, request: Request, key: Key | None, code: str, problem: str, *, status: int = 403
    ) -> ApiProblem:
        # A key that is named but not proved, because its secret is wrong or it is revoked, is told apart in the log.
        words = problem if status == 403 else "no key, an unknown one, a wrong secret, or a revoked key"
        said = request.path_params.get("id", "")
        subject = said if _is(said, Id) else ""
        target = subject if route.about == "target" else ""
        entry = _entry(route, key, secrets.token_hex(8), target, subject, "denied", status, words)
        await run_in_threadpool(self._noted, entry)
        return ApiProblem(status, code, problem)

    def _serve(self, route: Route, asked: Asked) -> Response:
        target = target_of(self._desk, route, asked) if route.action or asked.key.targets else ""
        number, subject = secrets.token_hex(8), subject_of(asked)
        if target and not asked.key.is_for(target):  # 5
            problem = f"this key is not for the target {target}"
            self._noted(_entry(route, asked.key, number, target, subject, "denied", 403, problem))
            raise ApiProblem(403, "target", problem)
        if not route.action:
            return self._shown(route, route.handle(self._desk, self._audit, asked))
        detail = msgspec.json.encode(asked.body).decode()[:MAX_DETAIL_CHARS]
        self._audit.write(_entry(route, asked.key, number, target, subject, "asked", 0, detail))  # 6
        try:
            value = route.handle(self._desk, self._audit, asked)  # 7
        except Exception as exc:
            problem_ = problem_of(exc)
            outcome: Outcome = "failed" if problem_.status >= 500 else "refused"
            self._noted(
                _entry(route, asked.key, number, target, subject, outcome, problem_.status, problem_.detail)
            )  # 8
            raise problem_ from exc
        self._noted(_entry(route, asked.key, number, target, _made(value) or subject, "done", route.status, ""))  # 8
        return self._shown(route, value)  # 9

    @staticmethod
    def _shown(route: Route, value: object) -> Response:
        headers = {}
        if route.status == 202 and (made := _made(value)):
            headers["Location"] = f"{BASE}{route.path if route.path == '/evaluations' else '/jobs'}/{made}"
        return json_response(value, route.status, headers)

    def _noted(self, entry: Entry) -> None:
        """Write down what has happened already; where that fails, the log has it."""
        try:
            self._audit.write(entry)
        except TriggerError as exc:
            fields = {"request": entry.request, "key": entry.key_id, "action": entry.action, "outcome": entry.outcome}
            _LOG.error("the audit log does not take a line", extra={"fields": fields}, exc_info=exc)


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            openapi.complete(super().openapi())
        assert self.openapi_schema is not None
        return self.openapi_schema


async def _understood(route: Route, request: Request, key: Key) -> Asked:
    named = request.path_params.get("id", "")
    if named and not _is(named, Id):
        raise ApiProblem(404, "not_found", "there is nothing by this name")
    query = _query(request, route)
    request_id = request.headers.get("idempotency-key")
    if request_id is not None and not _is(request_id, Token):
        raise ApiProblem(400, "invalid", "1 to 200 visible ASCII characters", field="Idempotency-Key")
    body = None
    if route.body is not None:
        body = _body(await _bytes(request), request.headers.get("content-type"), route)
        said = getattr(body, "request_id", None)
        if said is not None and request_id is not None and said != request_id:
            raise ApiProblem(400, "invalid", "Idempotency-Key and request_id differ", field="request_id")
        request_id = said or request_id
    return Asked(key, named, query, body, request_id)


def _query(request: Request, route: Route) -> msgspec.Struct:
    pairs = request.query_params.multi_items()
    said = dict(pairs)
    if len(said) != len(pairs):
        raise ApiProblem(422, "invalid", "a parameter is there twice")
    try:
        return msgspec.convert(said, route.query, strict=False)
    except msgspec.ValidationError as exc:
        raise _invalid(exc) from exc


def _body(text: bytes, content_type: str | None, route: Route) -> msgspec.Struct:
    assert route.body is not None
    if content_type is not None and content_type.partition(";")[0].strip().lower() != "application/json":
        raise ApiProblem(415, "media_type", "send application/json", headers={"Accept": "application/json"})
    try:
        return msgspec.json.decode(text.strip() or b"{}", type=route.body)
    except msgspec.ValidationError as exc:
        raise _invalid(exc) from exc
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise ApiProblem(400, "malformed", "the body is no JSON") from exc


async def _bytes(request: Request) -> bytes:
    announced = request.headers.get("content-length", "")
    pieces = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                pieces += piece
                if len(pieces) > MAX_BODY_BYTES or (announced.isdecimal() and int(announced) > MAX_BODY_BYTES):
                    raise ApiProblem(413, "too_large", f"the body has more than {MAX_BODY_BYTES:,} bytes")
    except TimeoutError as exc:
        raise ApiProblem(408, "slow", f"the body did not arrive within {BODY_S:.0f} s") from exc
    return bytes(pieces)


def _invalid(exc: msgspec.ValidationError) -> ApiProblem:
    """msgspec's sentence about our own types, and the field that it is about."""
    words, _, place = str(exc).partition(" - at `$")
    field = place.rstrip("`").removeprefix(".")
    if "`" in words and " field `" in words:
        named = words.rsplit("`", 2)[1]
        field = f"{field}.{named}" if field else named
    return ApiProblem(422, "invalid", words[:MAX_DETAIL_CHARS], field=field[:200])


def _is(text: str, kind: Any) -> bool:
    try:
        msgspec.convert(text, kind)
    except msgspec.ValidationError:
        return False
    return True


def _entry(
    route: Route, key: Key | None, number: str, target: str, subject: str, outcome: Outcome, status: int, detail: str
) -> Entry:
    return Entry(
        request=number,
        key_id="" if key is None else key.id,
        key_name="" if key is None else key.name,
        action=route.action or openapi.operation_id(route),
        target=target,
        subject=subject,
        outcome=outcome,
        status=status,
        detail=detail,
    )


def _made(value: object) -> str:
    """The id of what a change has made."""
    return "" if isinstance(value, Page) else str(getattr(value, "id", "") or getattr(value, "evaluation_id", ""))


async def _no_route(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    headers: Mapping[str, str] = exc.headers or {}
    code, words = {
        404: ("not_found", "there is no such route"),
        405: ("method", "this route does not take this method"),
    }.get(exc.status_code, ("http", "the request cannot be taken"))
    return ApiProblem(exc.status_code, code, words, headers=headers).response()


async def _unforeseen(_request: Request, exc: Exception) -> Response:
    return problem_of(exc).response()
