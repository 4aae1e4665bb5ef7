"""What must be remembered between batches: claims, the events of each interaction, and who said what first.

One port, `StateStore`, with a Redis adapter for production and a SQLite twin for the embedded run. Everything has a
TTL; nothing here is the truth, which is the lake: if the state is lost, nothing else is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from streams.settings import Settings


class Claim(NamedTuple):
    """Keys, and the owner who wants each of them."""

    keys: Sequence[str]
    owner: bytes


BAND_BYTES: Final = 8
NODE_NAMES: Final = 4
"""Names that a node holds before the next ones go deeper."""

LEVELS: Final = 6
"""Nodes on a path; what finds the last one full is not placed in that band."""


class Document(NamedTuple):
    """What is placed in the bands' forest: under its name a record, and `BAND_BYTES` for each band.

    All names of a store are equally long.
    """

    name: bytes
    record: bytes
    bands: bytes


class Placed(NamedTuple):
    """`record`: of who had the name first, None if that is the document itself.

    `shared`: the names placed before it in the nodes that it came through, once for each node; none for a document
    whose name is another's, because that one is in all its bands.
    """

    record: bytes | None
    shared: list[bytes]


class StateStore(Protocol):
    """Every method raises `StateUnavailable` when the store does not answer; the caller tries the same again."""

    def claim(self, claims: Sequence[Claim], ttl_s: int) -> list[list[bytes]]:
        """Give each key to its claimant unless somebody has it, in order and all at once; returns who holds each.

        One list a claim, in the order of its keys.
        """
        ...

    def load(self, keys: Sequence[str]) -> list[dict[str, bytes]]:
        """The fields of each hash; an unknown one is empty."""
        ...

    def merge(self, changes: Mapping[str, Mapping[str, bytes]], ttl_s: int) -> None:
        """Add or replace fields of hashes and start their TTL anew; no field is ever deleted but by the TTL."""
        ...

    def place(self, documents: Sequence[Document], ttl_s: int) -> list[Placed]:
        """Put each document into the forest, in order and all at once.

        A band's path leads from its own node to that of it and the next band, of it and the next two, and so on, in a
        ring. A document is placed in the first that holds fewer than `NODE_NAMES`; it meets those before it there and
        in the full ones above. One placed before meets the same again, and no later ones. What is placed stays for
        `ttl_s` to twice as long: state is let go by windows of `ttl_s`, and a name that stood in the last window keeps
        its place there.
        """
        ...

    def records(self, names: Sequence[bytes]) -> list[bytes | None]:
        """What was placed under each name."""
        ...

    def ping(self) -> None:
        """Return if the store answers."""
        ...

    def close(self) -> None:
        """Let go of connections and files."""
        ...


def paths(bands: bytes) -> list[list[bytes]]:
    """The nodes of each band, from its own down."""
    ring = bands + bands[: (LEVELS - 1) * BAND_BYTES]
    return [
        [ring[start : start + depth * BAND_BYTES] for depth in range(1, LEVELS + 1)]
        for start in range(0, len(bands), BAND_BYTES)
    ]


def open_state(settings: Settings) -> StateStore:
    """The store that the settings name: `state_file` if set, else `redis_url`."""
    if settings.state_file:
        from streams.state.sqlite import SqliteState

        return SqliteState(settings.state_file)
    from streams.state.redis import RedisState

    return RedisState(settings.redis_url)
