"""Raw records that were held back (an overflow, a replayed dead letter) come in again through the topic `reentry`.

A record read there has its entry position there: so the positions of an entry partition only grow, and the sink can
tell a replay. Its value is the original's, byte for byte; what the original's own topic said of it travels in headers,
which hold names and numbers and never a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

_SOURCE: Final = "millrace-source"
_RECEIVED_MS: Final = "millrace-received-ms"
_ATTEMPTS: Final = "millrace-attempts"

Headers = tuple[tuple[str, bytes], ...]


class Origin(NamedTuple):
    """Where a record first came in.

    `source`: the raw topic, which decides the tenant. `received_ms`: when Kafka took it there, epoch milliseconds.
    `attempts`: how often it became a dead letter before.
    """

    source: str
    received_ms: int
    attempts: int = 0

    def headers(self) -> Headers:
        """As Kafka headers."""
        return (
            (_SOURCE, self.source.encode()),
            (_RECEIVED_MS, b"%d" % self.received_ms),
            (_ATTEMPTS, b"%d" % self.attempts),
        )


def origin_of(headers: Iterable[tuple[str, bytes]] | Mapping[str, bytes] | None) -> Origin | None:
    """The origin that headers tell; None where they do not, because something else wrote the record."""
    given = dict(headers or ())
    try:
        return Origin(given[_SOURCE].decode(), int(given[_RECEIVED_MS]), int(given[_ATTEMPTS]))
    except (KeyError, ValueError, AttributeError):
        return None
