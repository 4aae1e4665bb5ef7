"""Cross-origin requests: which web pages may send, and only with a key of scope `browser`.

A key of scope `write` belongs on a server. Its answers carry no CORS headers, so a page that uses one by mistake
finds out at once: its requests fail in every browser.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

ALLOWED_HEADERS: Final = "Authorization, Content-Encoding, Content-Type, X-API-Key"
PREFLIGHT_S: Final = 600
"""How long a browser may remember a preflight; Chromium's own upper bound is 7200."""


class Cors:
    """The answers to browsers for the configured `origins`; `*` is any."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._origins = frozenset(origins)

    def allows(self, origin: str | None) -> bool:
        """Whether pages of this origin may send."""
        return origin is not None and ("*" in self._origins or origin in self._origins)

    def preflight(self, origin: str | None) -> Response:
        """The answer to OPTIONS: whether a page may send at all. No key is known at this point."""
        if not self.allows(origin):
            return Response("this origin may not send\n", 403, headers={"Vary": "Origin"})
        headers = {
            **self.headers(origin),
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": str(PREFLIGHT_S),
        }
        return Response(status_code=204, headers=headers)

    def headers(self, origin: str | None) -> Mapping[str, str]:
        """What lets a page of this origin read the answer; nothing for others."""
        if origin is None or not self.allows(origin):
            return {"Vary": "Origin"} if self._origins else {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": "Retry-After",
            "Vary": "Origin",
        }
