"""What must be remembered between batches: claims, and the events of each interaction.

One port, `StateStore`, with a Redis adapter for production and a SQLite twin for the embedded run. Everything has a
TTL; nothing here is the truth, which is the lake: if the state is lost, nothing else is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from streams.settings import Settings


class Claim(NamedTuple):
    """Keys, and the owner who wants each of them."""

    keys: Sequence[str]
    owner: bytes


class StateStore(Protocol):
    """Every method raises `StateUnavailable` when the store does not answer; the caller tries the same again."""

    def claim(self, claims: Sequence[Claim], ttl_s: int) -> list[list[bytes]]:
        """Give each key to its claimant unless somebody has it, in order and all at once; returns who holds each.

        One list a claim, in the order of its keys.
        """
        ...

    def holders(self, keys: Sequence[str]) -> list[bytes | None]:
        """Who holds each key, without claiming it."""
        ...

    def load(self, keys: Sequence[str]) -> list[dict[str, bytes]]:
        """The fields of each hash; an unknown one is empty."""
        ...

    def merge(self, changes: Mapping[str, Mapping[str, bytes]], ttl_s: int) -> None:
        """Add or replace fields of hashes and start their TTL anew; no field is ever deleted but by the TTL."""
        ...

    def ping(self) -> None:
        """Return if the store answers."""
        ...

    def close(self) -> None:
        """Let go of connections and files."""
        ...


def open_state(settings: Settings) -> StateStore:
    """The store that the settings name: `state_file` if set, else `redis_url`."""
    if settings.state_file:
        from streams.state.sqlite import SqliteState

        return SqliteState(settings.state_file)
    from streams.state.redis import RedisState

    return RedisState(settings.redis_url)
