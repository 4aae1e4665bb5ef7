"""The HTTP application: a request to events, events to Kafka, a status for each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, ParamSpec, TypeVar, get_args

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from schemas.codec import Codec
from schemas.errors import IncompatibleSchemaError
from schemas.events import FeedbackEvent
from streams.brokers import Outgoing
from streams.collector import openapi
from streams.collector.answers import (
    ACCEPTED,
    UNACKNOWLEDGED,
    EventAnswer,
    Fault,
    events_response,
    refused_response,
)
from streams.collector.batches import split
from streams.collector.body import inflater, read_body
from streams.collector.cors import Cors
from streams.collector.errors import Refused, Why
from streams.collector.keys import Key, Keyring
from streams.collector.limits import ROOM_FACTOR, RateLimiter, Room
from streams.collector.publisher import Publisher
from streams.collector.verdicts import Bad, Good, judge
from streams.errors import RegistryUnavailable
from streams.metrics import RECEIVED, REFUSED, Health
from streams.settings import Settings

PATHS: Final = ("/v1/events", "/api/v1/fine-tuning/feedback")
"""Where events go; the second is what some apps post feedback to already."""

LARGE_BYTES: Final = 16_384
"""A larger body is worked on in a thread, so that it holds up the others for no more than a few ms."""

_NDJSON: Final = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
)
_LOG: Final = logging.getLogger("millrace.collector")
_ROLE: Final = "collector"
_AUDITED: Final = frozenset({"tenant", "scope"})
"""Why an event is refused that may be an attempt to do what its key may not: each is logged."""
_UNSENT: Final = Fault("", "Kafka did not acknowledge it in time: send it again, with the same event_id")

P = ParamSpec("P")
R = TypeVar("R")


def create_app(
    settings: Settings,
    publisher: Publisher,
    keys: Keyring,
    health: Health,
    clock: Callable[[], float],
    codec: Codec | None = None,
) -> FastAPI:
    """The application. `clock` tells monotonic seconds; without a `codec` events are written in single-object Avro.

    `health` is only shown; who runs the application keeps it true.
    """
    for word in _words(Why):
        REFUSED.labels(word)  # so that a rate over it has its zero before the first refusal
    intake = Intake(settings, publisher, keys, clock, codec or Codec())
    cors = Cors(settings.collector_cors_origins)
    app = _App(title="Millrace collector", version="1", description=openapi.DESCRIPTION, redoc_url=None)

    async def post_events(request: Request) -> Response:
        response, key = await intake.answer(request)
        if key is None or key.scope == "browser":
            response.headers.update(cors.headers(request.headers.get("origin")))
        return response

    async def preflight(request: Request) -> Response:
        return cors.preflight(request.headers.get("origin"))

    async def healthz() -> Response:
        return Response("ok\n", media_type="text/plain")

    async def readyz() -> Response:
        problem = health.problem
        return Response(f"{problem or 'ready'}\n", 503 if problem else 200, media_type="text/plain")

    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    for path in PATHS:
        app.add_api_route(
            path,
            post_events,
            methods=["POST"],
            summary="Send events",
            openapi_extra=openapi.operation(),
            status_code=202,
        )
        app.add_api_route(path, preflight, methods=["OPTIONS"], include_in_schema=False)
    app.add_api_route("/healthz", healthz, summary="The process lives")
    app.add_api_route("/readyz", readyz, summary="Kafka answers", responses={503: {"description": "It does not: why"}})
    app.add_api_route("/metrics", metrics, summary="Prometheus metrics")
    return app


class Intake:
    """The way of one request:

    1. the key, before a byte of the body is read;  2. the body, bounded;  3. one text an event;  4. the key's rate;
    5. a verdict for each event;  6. the good ones to Kafka;  7. a status for each, 202 only where acknowledged.
    """

    def __init__(
        self, settings: Settings, publisher: Publisher, keys: Keyring, clock: Callable[[], float], codec: Codec
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._keys = keys
        self._codec = codec
        self._rate = RateLimiter(settings, clock)
        self._room = Room(ROOM_FACTOR * settings.collector_max_decompressed_bytes)

    async def answer(self, request: Request) -> tuple[Response, Key | None]:
        """The response, and whose request it was."""
        key = None
        try:
            key = self._authenticate(request.headers)  # 1
            with self._room.lease() as hold:
                return await self._take(request, key, hold), key
        except Refused as refused:
            REFUSED.labels(refused.why).inc()
            return refused_response(refused), key
        except ClientDisconnect:
            REFUSED.labels("slow").inc()
            return Response(status_code=400), key  # nobody reads it

    def _authenticate(self, headers: Headers) -> Key:
        key = self._keys.find(presented_key(headers))
        if key is None:
            raise Refused(401, "key", "send a valid API key as Authorization: Bearer … or X-API-Key: …")
        return key

    async def _take(self, request: Request, key: Key, hold: Callable[[int], None]) -> Response:
        self._rate.take(key.id, 1)
        body = await self._body(request, hold)  # 2
        large = len(body) > LARGE_BYTES
        lines = request.headers.get("content-type", "").partition(";")[0].strip().lower() in _NDJSON
        most = self._settings.collector_max_batch_events
        texts = await _run(large, split, body, lines=lines, max_events=most)  # 3
        self._rate.take(key.id, len(texts) - 1)  # 4
        verdicts = await _run(large, judge, texts, key, self._settings.max_event_bytes)  # 5
        events = [verdict.event for verdict in verdicts if isinstance(verdict, Good)]
        acknowledged = iter(await self._publish(events, threaded=large))  # 6
        told = [
            _refuse(index, said, key) if isinstance(said, Bad) else _tell(index, said.event, next(acknowledged))
            for index, said in enumerate(verdicts)
        ]
        return events_response(told)  # 7

    async def _body(self, request: Request, hold: Callable[[int], None]) -> bytes:
        gunzip = inflater(request.headers.get("content-encoding", ""), self._settings)
        return await read_body(request.stream(), request.headers.get("content-length"), gunzip, hold, self._settings)

    async def _publish(self, events: Sequence[FeedbackEvent], *, threaded: bool) -> list[bool]:
        # The codec may have to ask the schema registry, which must not stop the event loop.
        threaded = threaded or bool(self._settings.schema_registry_url)
        try:
            async with asyncio.timeout(self._settings.collector_ack_s):
                records = await _run(threaded, outgoing, events, self._codec, self._settings.topic("events"))
        except (RegistryUnavailable, IncompatibleSchemaError, TimeoutError):  # no fault of the sender's
            return [False] * len(events)
        return await self._publisher.publish(records)


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            super().openapi()["components"] = openapi.components()
        assert self.openapi_schema is not None
        return self.openapi_schema


def presented_key(headers: Headers) -> str:
    """The key in `Authorization: Bearer …`, else in `X-API-Key`; empty if there is none."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "").strip()


def outgoing(events: Sequence[FeedbackEvent], codec: Codec, topic: str) -> list[Outgoing]:
    """The Kafka records of the events: an interaction and its scores share a key, so they keep their order.

    Raises `RegistryUnavailable`, and `IncompatibleSchemaError` where a registry does not take our schema.
    """
    return [
        Outgoing(topic, f"{event.tenant}/{event.interaction_id or event.event_id}".encode(), codec.encode(event))
        for event in events
    ]


def _refuse(index: int, verdict: Bad, key: Key) -> EventAnswer:
    REFUSED.labels(verdict.why).inc()
    if verdict.why in _AUDITED:
        fields = {"why": verdict.why, "key": key.id, "tenant": key.tenant, "field": verdict.fault.field}
        _LOG.warning("denied", extra={"fields": fields})
    return EventAnswer(index, verdict.event_id, verdict.status, verdict.fault)


def _tell(index: int, event: FeedbackEvent, acknowledged: bool) -> EventAnswer:
    if not acknowledged:
        REFUSED.labels("unacknowledged").inc()
        return EventAnswer(index, event.event_id, UNACKNOWLEDGED, _UNSENT)
    RECEIVED.labels(_ROLE, event.kind).inc()
    return EventAnswer(index, event.event_id, ACCEPTED)


async def _run(threaded: bool, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    return await asyncio.to_thread(work, *args, **kwargs) if threaded else work(*args, **kwargs)


def _words(literal: object) -> list[str]:
    return [word for part in get_args(literal) for word in (_words(part) or [part])]
