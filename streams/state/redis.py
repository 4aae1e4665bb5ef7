"""State in Redis (7.0 or later: `SET NX GET`), one pipeline a call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streams.errors import StateUnavailable
from streams.state import Claim


class RedisState:
    """`StateStore` on one Redis. `rediss://` in the URL is TLS."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url, socket_timeout=10, socket_connect_timeout=5, retry=Retry(NoBackoff(), 1), health_check_interval=30
        )

    def claim(self, claims: Sequence[Claim], ttl_s: int) -> list[bytes]:
        """See `StateStore.claim`."""
        if not claims:
            return []
        with _answering(), self._redis.pipeline(transaction=True) as pipeline:
            for key, owner in claims:
                pipeline.set(key, owner, nx=True, get=True, ex=ttl_s)
            held = pipeline.execute()
        return [claim.owner if holder is None else holder for claim, holder in zip(claims, held, strict=True)]

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
        with _answering(), self._redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hgetall(key)
            hashes = pipeline.execute()
        return [{name.decode(): value for name, value in fields.items()} for fields in hashes]

    def merge(self, changes: Mapping[str, Mapping[str, bytes]], ttl_s: int) -> None:
        """See `StateStore.merge`."""
        if not changes:
            return
        with _answering(), self._redis.pipeline(transaction=True) as pipeline:
            for key, fields in changes.items():
                pipeline.hset(key, mapping=dict(fields))  # type: ignore[arg-type]  # its dict is invariant
                pipeline.expire(key, ttl_s)
            pipeline.execute()

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
