"""Raw records that were held back (an overflow, a replayed dead letter) come in again through the topic `reentry`.

A record read there has its entry position there: so the positions of an entry partition only grow, and the sink can
tell a replay. Its value is the original's, byte for byte; what the original's own topic said of it travels in headers,
which hold names and numbers and never a value.

A replayed dead letter carries its id as well, also in the topic `replay`: so whoever sends letters again can tell which
are there already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

_SOURCE: Final = "millrace-source"
_RECEIVED_MS: Final = "millrace-received-ms"
_ATTEMPTS: Final = "millrace-attempts"
_LETTER: Final = "millrace-letter"

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


def letter_header(letter_id: str) -> Headers:
    """The header that says which dead letter a record is."""
    return ((_LETTER, letter_id.encode()),)


def letter_of(headers: Iterable[tuple[str, bytes]] | Mapping[str, bytes] | None) -> str | None:
    """The id of the dead letter that a record is; None if it is none."""
    letter = dict(headers or ()).get(_LETTER)
    return None if letter is None else letter.decode("ascii", "replace")


def origin_of(headers: Iterable[tuple[str, bytes]] | Mapping[str, bytes] | None) -> Origin | None:
    """The origin that headers tell; None where they do not, because something else wrote the record."""
    given = dict(headers or ())
    try:
        return Origin(given[_SOURCE].decode(), int(given[_RECEIVED_MS]), int(given[_ATTEMPTS]))
    except (KeyError, ValueError, AttributeError):
        return None
