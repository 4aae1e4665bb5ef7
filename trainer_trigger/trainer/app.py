"""The HTTP application: OpenAI's fine-tuning API, and the chat completions of what was tuned."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, BinaryIO, Final, TypeVar

import msgspec
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from trainer_trigger.trainer import chat as completions
from trainer_trigger.trainer import files as uploads
from trainer_trigger.trainer.chat import Chat
from trainer_trigger.trainer.envelope import Envelope
from trainer_trigger.trainer.errors import TrainerError
from trainer_trigger.trainer.files import Files
from trainer_trigger.trainer.jobs import Jobs, listing
from trainer_trigger.trainer.models import Models
from trainer_trigger.trainer.multipart import boundary_of
from trainer_trigger.trainer.refused import Refused, json_response
from trainer_trigger.trainer.sql import Page, Store, UnknownCursorError
from trainer_trigger.trainer.tables import Status

DESCRIPTION: Final = """\
The fine-tuning API of OpenAI, for base models on this machine's disk: upload a file, create a job, read its events,
and ask the tuned model. Every error has OpenAI's shape, `{"error": {"message", "type", "param", "code"}}`.
"""

MAX_JSON_BYTES: Final = 4 * 1024 * 1024
BODY_S: Final = 30.0
PAGE: Final = 20
MOST: Final = 1_000
GONE_S: Final = 0.5
FILES_PAGE: Final = 10_000
SEND_BYTES: Final = 256 * 1024
METADATA: Final = "metadata["

T = TypeVar("T")
Route = tuple[str, str, Callable[..., Any], str]
"""Method, path, handler, and what it is for."""


def create_app(
    store: Store,
    files: Files,
    jobs: Jobs,
    models: Models,
    chat: Chat,
    key: str = "",
    problem: Callable[[], str | None] = lambda: None,
) -> FastAPI:
    """The application. Without a `key` it answers to loopback's names only; `problem` says why it is not ready."""
    app = FastAPI(title="Millrace trainer", version="1", description=DESCRIPTION, redoc_url=None)
    for method, path, handler, summary in (
        *_file_routes(files),
        *_job_routes(jobs),
        *_model_routes(models, chat),
        *_other_routes(store, chat, problem),
    ):
        app.add_api_route(path, handler, methods=[method], summary=summary)
    app.add_exception_handler(TrainerError, _trainer_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_middleware(Envelope, key=key)
    return app


def _file_routes(files: Files) -> tuple[Route, ...]:
    async def upload(request: Request) -> Response:
        boundary = boundary_of(request.headers.get("content-type", ""))
        chunks = aiter(request.stream())
        try:
            file = await files.upload(chunks, boundary, _announced(request))
        except Refused as refused:
            if refused.status == 413:
                await _drain(chunks)
            raise
        return json_response(uploads.shown(file))

    def listed(request: Request) -> Response:
        page = page_of(request.query_params, FILES_PAGE, FILES_PAGE, others=("purpose",))
        rows, more = files.listed(page, request.query_params.get("purpose"))
        return json_response(listing([uploads.shown(row) for row in rows], more))

    def one(file_id: str) -> Response:
        return json_response(uploads.shown(files.find(file_id)))

    def content(file_id: str) -> Response:
        size_bytes = files.find(file_id).size_bytes
        headers = {"content-length": str(size_bytes), "x-content-type-options": "nosniff"}
        return StreamingResponse(_pieces(files.open(file_id)), headers=headers, media_type="application/octet-stream")

    def delete(file_id: str) -> Response:
        files.delete(file_id)
        return json_response({"id": file_id, "object": "file", "deleted": True})

    return (
        ("POST", "/v1/files", upload, "Upload a file of examples: multipart with `purpose` and `file`"),
        ("GET", "/v1/files", listed, "List files"),
        ("GET", "/v1/files/{file_id}", one, "One file"),
        ("GET", "/v1/files/{file_id}/content", content, "The bytes of a file"),
        ("DELETE", "/v1/files/{file_id}", delete, "Delete a file; no job can be created with it any more"),
    )


def _job_routes(jobs: Jobs) -> tuple[Route, ...]:
    async def create(request: Request) -> Response:
        body = await _json(request)
        return json_response(await run_in_threadpool(jobs.create, body))

    def listed(request: Request) -> Response:
        query = request.query_params
        wanted = {name[len(METADATA) : -1]: value for name, value in query.items() if _is_metadata(name)}
        page = page_of(query, PAGE, MOST, others=("metadata", *filter(_is_metadata, query)))
        return json_response(jobs.listed(page, wanted, bare=query.get("metadata") == "null"))

    def one(job_id: str) -> Response:
        return json_response(jobs.shown(job_id))

    def cancel(job_id: str) -> Response:
        return json_response(jobs.cancel(job_id))

    def pause(job_id: str) -> Response:
        raise jobs.refuse_pause(job_id, "paused")

    def resume(job_id: str) -> Response:
        raise jobs.refuse_pause(job_id, "resumed")

    def events(job_id: str, request: Request) -> Response:
        return json_response(jobs.events(job_id, page_of(request.query_params, PAGE, MOST)))

    def checkpoints(job_id: str, request: Request) -> Response:
        return json_response(jobs.checkpoints(job_id, page_of(request.query_params, PAGE, MOST)))

    return (
        ("POST", "/v1/fine_tuning/jobs", create, "Create a job"),
        ("GET", "/v1/fine_tuning/jobs", listed, "List jobs, by `metadata[key]=value` too"),
        ("GET", "/v1/fine_tuning/jobs/{job_id}", one, "One job"),
        ("POST", "/v1/fine_tuning/jobs/{job_id}/cancel", cancel, "Cancel a job"),
        ("POST", "/v1/fine_tuning/jobs/{job_id}/pause", pause, "Refused: jobs cannot be paused"),
        ("POST", "/v1/fine_tuning/jobs/{job_id}/resume", resume, "Refused: jobs cannot be paused"),
        ("GET", "/v1/fine_tuning/jobs/{job_id}/events", events, "What a job tells: messages and losses"),
        ("GET", "/v1/fine_tuning/jobs/{job_id}/checkpoints", checkpoints, "The checkpoints of a finished job"),
    )


def _model_routes(models: Models, chat: Chat) -> tuple[Route, ...]:
    def listed() -> Response:
        return json_response({"object": "list", "data": models.listed()})

    def one(model: str) -> Response:
        return json_response(models.shown(model))

    def delete(model: str) -> Response:
        models.delete(model)
        return json_response({"id": model, "object": "model", "deleted": True})

    async def complete(request: Request) -> Response:
        ask = completions.read(await _json(request))
        model = await run_in_threadpool(models.find, ask.model)
        if ask.stream:
            events = await _unless_gone(request, chat.stream(ask, model))
            return StreamingResponse(events, headers={"cache-control": "no-cache"}, media_type="text/event-stream")
        return json_response(await _unless_gone(request, chat.answer(ask, model)))

    return (
        ("GET", "/v1/models", listed, "List base models and tuned ones"),
        ("GET", "/v1/models/{model:path}", one, "One model"),
        ("DELETE", "/v1/models/{model:path}", delete, "Delete a tuned model"),
        ("POST", "/v1/chat/completions", complete, "Ask a model"),
    )


def _other_routes(store: Store, chat: Chat, problem: Callable[[], str | None]) -> tuple[Route, ...]:
    async def healthz() -> Response:
        return Response("ok\n", media_type="text/plain")

    def readyz() -> Response:
        told = problem()
        return Response(f"{told or 'ready'}\n", 503 if told else 200, media_type="text/plain")

    def metrics() -> Response:
        return Response(_metrics(store, chat), media_type=CONTENT_TYPE_LATEST)

    return (
        ("GET", "/healthz", healthz, "The process lives"),
        ("GET", "/readyz", readyz, "Jobs can be taken and trained"),
        ("GET", "/metrics", metrics, "Prometheus metrics"),
    )


def page_of(query: Mapping[str, str], usual: int, most: int, others: tuple[str, ...] = ()) -> Page:
    """The page that a query asks for. Raises `Refused` (400), also for a parameter that means nothing."""
    for name in query:
        if name not in {"limit", "after", "order", *others}:
            raise Refused(400, f"Unknown parameter: '{name[:64]}'.", param=name[:64], code="unknown_parameter")
    limit, order = query.get("limit", str(usual)), query.get("order", "desc")
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 7 and 1 <= int(limit) <= most):
        raise Refused(400, f"'limit' is not between 1 and {most}.", param="limit", code="invalid_value")
    if order not in {"asc", "desc"}:
        raise Refused(400, "'order' is not one of ['asc', 'desc'].", param="order", code="invalid_value")
    return Page(int(limit), query.get("after") or None, order == "desc")


def _is_metadata(name: str) -> bool:
    return name.startswith(METADATA) and name.endswith("]")


def _announced(request: Request) -> int | None:
    told = request.headers.get("content-length", "")
    return int(told) if told.isdecimal() else None


async def _json(request: Request) -> Any:
    """The body's JSON. Raises `Refused`: 413, 408, 400."""
    too_large = Refused(413, f"The body has more than {MAX_JSON_BYTES} bytes.", code="request_too_large")
    if (_announced(request) or 0) > MAX_JSON_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_JSON_BYTES:
                    raise too_large
    except TimeoutError as exc:
        raise Refused(408, f"The body did not arrive within {BODY_S:.0f} s.", code="timeout") from exc
    try:
        return msgspec.json.decode(bytes(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Refused(400, "The body is no JSON.", code="invalid_json") from exc


async def _unless_gone(request: Request, answer: Coroutine[Any, Any, T]) -> T:
    """The answer, which is given up when the client goes away. Raises ClientDisconnect then."""
    task = asyncio.create_task(answer)
    try:
        while not (await asyncio.wait({task}, timeout=GONE_S))[0]:
            if await request.is_disconnected():
                raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read on for a while what is thrown away, so that a client that is still sending comes to read the answer."""
    try:
        async with asyncio.timeout(BODY_S):
            async for _ in chunks:
                continue
    except (TimeoutError, ClientDisconnect):
        return


async def _pieces(content: BinaryIO) -> AsyncIterator[bytes]:
    with content:
        while piece := await asyncio.to_thread(content.read, SEND_BYTES):
            yield piece


def _metrics(store: Store, chat: Chat) -> bytes:
    registry = CollectorRegistry()
    counted, tokens = store.counts()
    by_state = Gauge("millrace_trainer_jobs", "Jobs by state.", ("state",), registry=registry)
    for status in Status:
        by_state.labels(status).set(counted.get(status, 0))
    Gauge("millrace_trainer_trained_tokens", "Tokens of all jobs that have ended.", registry=registry).set(tokens)
    answered = Gauge("millrace_trainer_completion_tokens", "Tokens answered since the start.", registry=registry)
    answered.set(chat.tokens)
    return generate_latest(registry)


async def _trainer_error(_request: Request, exc: Exception) -> Response:
    match exc:
        case Refused():
            return exc.response
        case UnknownCursorError():
            return Refused.of(exc).response
        case TrainerError():
            return Refused(500, exc.message, kind="server_error", code=exc.failure_code).response
    raise exc


async def _http_error(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    words = {404: "There is nothing at this address.", 405: "This address does not take this method."}
    code = {404: "unknown_url", 405: "method_not_allowed"}.get(exc.status_code)
    message = words.get(exc.status_code, exc.detail)
    return Refused(exc.status_code, message, code=code, headers=exc.headers).response


async def _gone(_request: Request, _exc: Exception) -> Response:
    return Refused(400, "The request was broken off.", code="disconnected").response  # nobody reads it
