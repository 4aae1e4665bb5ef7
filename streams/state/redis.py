"""State in Redis (7.0 or later: `SET NX GET`), one script a call.

A batch is some ten thousand keys: as a pipeline, packing a command for each and parsing its answer took the client
twenty times as long. A script is atomic, and Redis has forgotten it after a restart: the client sends it anew then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streams.errors import StateUnavailable
from streams.state import Claim

_CLAIM: Final = """
local held, at = {}, 0
for i = 1, #ARGV - 2, 2 do
  for _ = 1, ARGV[i + 1] do
    at = at + 1
    held[at] = redis.call('SET', KEYS[at], ARGV[i], 'NX', 'GET', 'EX', ARGV[#ARGV])
  end
end
return held
"""
_LOAD: Final = """
local hashes = {}
for i, key in ipairs(KEYS) do
  hashes[i] = redis.call('HGETALL', key)
end
return hashes
"""
_MERGE: Final = """
for i, key in ipairs(KEYS) do
  redis.call('HSET', key, ARGV[2 * i - 1], ARGV[2 * i])
  redis.call('EXPIRE', key, ARGV[#ARGV])
end
"""


class RedisState:
    """`StateStore` on one Redis. `rediss://` in the URL is TLS."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url, socket_timeout=10, socket_connect_timeout=5, retry=Retry(NoBackoff(), 1), health_check_interval=30
        )
        self._claim, self._load, self._merge = map(self._redis.register_script, (_CLAIM, _LOAD, _MERGE))

    def claim(self, claims: Sequence[Claim], ttl_s: int) -> list[list[bytes]]:
        """See `StateStore.claim`."""
        if not claims:
            return []
        keys = [key for claim in claims for key in claim.keys]
        with _answering():
            held = iter(self._claim(keys, [*(part for keys, owner in claims for part in (owner, len(keys))), ttl_s]))
        return [[owner if (holder := next(held)) is None else holder for _ in keys] for keys, owner in claims]

    def holders(self, keys: Sequence[str]) -> list[bytes | None]:
        """See `StateStore.holders`."""
        if not keys:
            return []
        with _answering():
            held: list[bytes | None] = self._redis.mget(keys)  # type: ignore[assignment]  # never decoded
            return held

    def load(self, keys: Sequence[str]) -> list[dict[str, bytes]]:
        """See `StateStore.load`."""
        if not keys:
            return []
        with _answering():
            hashes = self._load(keys, [])
        return [{flat[at].decode(): flat[at + 1] for at in range(0, len(flat), 2)} for flat in hashes]

    def merge(self, changes: Mapping[str, Mapping[str, bytes]], ttl_s: int) -> None:
        """See `StateStore.merge`."""
        if not changes:
            return
        keys: list[str] = []
        arguments: list[str | bytes | int] = []
        for key, fields in changes.items():
            for field in fields.items():
                keys.append(key)
                arguments += field
        with _answering():
            self._merge(keys, [*arguments, ttl_s])

    def ping(self) -> None:
        """See `StateStore.ping`."""
        with _answering():
            self._redis.ping()

    def close(self) -> None:
        """See `StateStore.close`."""
        self._redis.close()


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as exc:
        # Also what looks permanent (OOM, READONLY, LOADING) is the server's state and passes: wait, lose nothing.
        raise StateUnavailable(type(exc).__name__) from exc
