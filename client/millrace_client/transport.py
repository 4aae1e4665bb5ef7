"""One POST to the collector: the port (`Transport`) and the adapter over urllib.

A connection per batch, on purpose: there is no pooled socket that a forked child could share with its parent,
or that the collector could have closed meanwhile; and at one batch a second the handshake does not count.
"""

from __future__ import annotations

import gzip
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from functools import cached_property
from http.client import HTTPException, HTTPMessage
from typing import IO, Final, Literal, Protocol
from urllib.parse import urlsplit

from millrace_client.version import VERSION

EVENTS_PATH: Final = "/v1/events"

_GZIP_FROM_BYTES: Final = 2048
"""Below this a body fits into two network packets anyway."""

_GZIP_LEVEL: Final = 3
"""Chat text shrinks to about a third at every level; the higher ones only cost the app's CPU."""

_MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
"""1,000 verdicts with an error each are well under 1 MiB; whatever sends more is no collector."""


_BROKEN: Final = (
    ConnectionResetError,
    ConnectionAbortedError,
    BrokenPipeError,
    HTTPException,
    ssl.SSLEOFError,
)
"""The connection stood and then fell: some servers cut an upload off that they find too long."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, whatever its status. `retry_after` is that header as it came."""

    status: int
    body: bytes = b""
    retry_after: str | None = None


@dataclass(frozen=True)
class Unreachable:
    """No HTTP answer. `cause` tells whether the batch may have had a part in it (`timeout`, `broken`)."""

    cause: Literal["no_url", "connect", "timeout", "broken"]
    error: str = ""
    """The type of the error, never its text."""


class Transport(Protocol):
    """Sends a batch. Called by one thread at a time; may block for its own timeout; may not raise."""

    def post(self, body: bytes) -> Answer | Unreachable:
        """Send `body`, a JSON array of events in UTF-8, and say what came of it."""


class HttpTransport:
    """Posts to `{url}/v1/events` with the key as bearer token.

    Proxies and certificates come from the environment, as everywhere in urllib (`HTTPS_PROXY`, `NO_PROXY`,
    `SSL_CERT_FILE`). Redirects are not followed: the key would travel to whoever they name.
    """

    def __init__(self, url: str, api_key: str, timeout_s: float) -> None:
        self._url = url.rstrip("/") + EVENTS_PATH
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._gzip = True
        self._usable = _is_http(url)

    def post(self, body: bytes) -> Answer | Unreachable:
        """As in `Transport`; the body goes compressed when it is large and the collector has not refused
        that."""
        if not self._usable:
            return Unreachable("no_url")
        compress = self._gzip and len(body) >= _GZIP_FROM_BYTES
        answer = self._post(body, compress)
        if compress and isinstance(answer, Answer) and answer.status == 415:
            self._gzip = False
            answer = self._post(body, compress=False)
        return answer

    @cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        """Made once, in the sending thread: reading the system's certificates takes tens of milliseconds."""
        secure = urllib.request.HTTPSHandler(context=ssl.create_default_context())
        return urllib.request.build_opener(_NoRedirect, secure)

    def _post(self, body: bytes, compress: bool) -> Answer | Unreachable:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"millrace-client/{VERSION}",
        }
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        if compress:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
        try:
            request = urllib.request.Request(self._url, data=body, headers=headers, method="POST")
            try:
                with self._opener.open(request, timeout=self._timeout_s) as response:
                    return _answer(response.status, response.headers, response)
            except urllib.error.HTTPError as refusal:
                with refusal:
                    return _answer(refusal.code, refusal.headers, refusal)
        except (OSError, HTTPException, ValueError) as exc:
            return _unreachable(exc)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        return None


class _Readable(Protocol):
    def read(self, n: int = -1, /) -> bytes: ...


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _answer(status: int, headers: Message, response: _Readable) -> Answer:
    body = response.read(_MAX_ANSWER_BYTES + 1)
    return Answer(status, body if len(body) <= _MAX_ANSWER_BYTES else b"", headers.get("Retry-After"))


def _unreachable(exc: OSError | HTTPException | ValueError) -> Unreachable:
    reason = exc.reason if isinstance(exc, urllib.error.URLError) else exc
    name = type(reason).__name__
    if isinstance(reason, TimeoutError):
        return Unreachable("timeout", name)
    broken = isinstance(reason, _BROKEN)
    return Unreachable("broken" if broken else "connect", name)
