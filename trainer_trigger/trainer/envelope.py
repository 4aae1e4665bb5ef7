"""What every request passes: an id, the key, and an answer in OpenAI's shape whatever breaks."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import secrets
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trainer_trigger.errors import DatabaseUnavailable
from trainer_trigger.trainer.refused import Refused

REQUEST_ID: Final = "x-request-id"
_LOG: Final = logging.getLogger("millrace.trainer")


class Envelope:
    """Around the application. Everything under `/v1` takes the `key`.

    Without a key, which is for loopback, a request must name loopback as its host and come from no web page of another
    site: else any page in a browser on this machine could start a training.
    """

    def __init__(self, app: ASGIApp, key: str = "") -> None:
        self._app = app
        self._key = key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, begun = f"req_{secrets.token_hex(16)}", False

        async def with_id(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            self._admit(scope)
            await self._app(scope, receive, with_id)
        except Exception as exc:
            if begun:  # the connection is cut, which tells the client
                raise
            refused = exc if isinstance(exc, Refused) else _broken(exc, request_id)
            await refused.response(scope, receive, with_id)

    def _admit(self, scope: Scope) -> None:
        """Raises `Refused` (401, 403)."""
        headers = Headers(scope=scope)
        if self._key:
            if not scope["path"].startswith("/v1"):
                return
            scheme, _, given = headers.get("authorization", "").partition(" ")
            right = hmac.compare_digest(given.strip().encode("latin-1"), self._key)
            if scheme.lower() != "bearer" or not right:
                problem = "Incorrect API key provided: send it as Authorization: Bearer …"
                raise Refused(401, problem, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
            return
        origin = headers.get("origin")
        if not is_loopback(_host(headers.get("host", ""))) or (origin is not None and not is_loopback(_of(origin))):
            problem = "Without a key this service answers to loopback only: set MILLRACE_TRAINER_KEY."
            raise Refused(403, problem, code="not_loopback")


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _of(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


def _host(header: str) -> str:
    return _of(f"//{header}")


def _broken(exc: Exception, request_id: str) -> Refused:
    _LOG.error("a request failed", exc_info=exc, extra={"fields": {"request": request_id}})
    if isinstance(exc, DatabaseUnavailable):
        return Refused(503, "The database does not answer: try again.", kind="server_error", code="unavailable")
    if isinstance(exc, OSError) and exc.errno is not None:
        return Refused(507, f"The disk: {exc.strerror}.", kind="server_error", code="storage")
    return Refused(500, f"The service failed; its log names {request_id}.", kind="server_error", code="internal_error")
