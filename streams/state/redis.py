"""State in Redis (7.0 or later: `SET NX GET`), one script a call.

A batch is some ten thousand keys: as a pipeline, packing a command for each and parsing its answer took the client
twenty times as long. A script is atomic, and Redis has forgotten it after a restart: the client sends it anew then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streams.errors import StateUnavailable
from streams.state import BAND_BYTES, LEVELS, NODE_NAMES, Claim, Document, Placed

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

_PLACE: Final = """
local names, levels, band = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local window = math.floor(redis.call('TIME')[1] / ARGV[4])
local ends = string.format('%d', (window + 2) * ARGV[4])
local now = string.format('near:%d:', window)
local before = string.format('near:%d:', window - 1)
if redis.call('EXISTS', before) == 0 then before = nil end
redis.call('SET', now, '', 'EXAT', ends)

-- Whether the name is in a node's names, and adds those before it to what it shares.
local function meet(shared, held, name)
  for at = 1, #held, #name do
    local other = string.sub(held, at, at + #name - 1)
    if other == name then return true end
    shared[#shared + 1] = other
  end
  return false
end

-- The shard of a node: small ones take a fifth of the memory, and a window's end frees little at a time.
local function shard_of(prefix, node)
  local high, low = string.byte(node, 1, 2)
  return prefix .. (high * 16 + math.floor(low / 16))
end

-- Whether the name stands on a band's path in the window before.
local function known(shared, name, ring, start)
  for depth = 1, levels do
    local node = string.sub(ring, start, start + depth * band - 1)
    local held = redis.call('HGET', shard_of(before, node), node)
    if not held then return false end
    if meet(shared, held, name) then return true end
    if #held < names * #name then return false end
  end
  return false
end

local function place(shared, name, ring, start)
  for depth = 1, levels do
    local node = string.sub(ring, start, start + depth * band - 1)
    local shard = shard_of(now, node)
    if redis.call('HSETNX', shard, node, name) == 1 then
      local nodes = redis.call('HLEN', shard)
      if nodes == 1 then redis.call('EXPIREAT', shard, ends) end
      -- A longer listpack would be searched from end to end: one long field makes it a hash table.
      if nodes == 128 then redis.call('HSET', shard, string.rep('-', 65), '') end
      return
    end
    local held = redis.call('HGET', shard, node)
    if meet(shared, held, name) then return end
    if #held < names * #name then
      redis.call('HSET', shard, node, held .. name)
      return
    end
  end
end

local placed = {}
for at = 5, #ARGV, 3 do
  local name, record, bands = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local first, shared = redis.call('SET', 'said:' .. name, record, 'NX', 'GET', 'EXAT', ends), {}
  if not first or first == record then
    first = false
    local ring = bands .. string.sub(bands, 1, (levels - 1) * band)
    for start = 1, #bands, band do
      if not (before and known(shared, name, ring, start)) then place(shared, name, ring, start) end
    end
  end
  placed[#placed + 1] = first
  placed[#placed + 1] = table.concat(shared)
end
return placed
"""


class RedisState:
    """`StateStore` on one Redis. `rediss://` in the URL is TLS."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url, socket_timeout=10, socket_connect_timeout=5, retry=Retry(NoBackoff(), 1), health_check_interval=30
        )
        scripts = (_CLAIM, _LOAD, _MERGE, _PLACE)
        self._claim, self._load, self._merge, self._place = map(self._redis.register_script, scripts)

    def claim(self, claims: Sequence[Claim], ttl_s: int) -> list[list[bytes]]:
        """See `StateStore.claim`."""
        if not claims:
            return []
        keys = [key for claim in claims for key in claim.keys]
        with _answering():
            held = iter(self._claim(keys, [*(part for keys, owner in claims for part in (owner, len(keys))), ttl_s]))
        return [[owner if (holder := next(held)) is None else holder for _ in keys] for keys, owner in claims]

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

    def place(self, documents: Sequence[Document], ttl_s: int) -> list[Placed]:
        """See `StateStore.place`."""
        if not documents:
            return []
        with _answering():
            answers = self._place([], [NODE_NAMES, LEVELS, BAND_BYTES, ttl_s, *chain.from_iterable(documents)])
        width = len(documents[0].name)
        return [
            Placed(record, [shared[at : at + width] for at in range(0, len(shared), width)])
            for record, shared in zip(answers[::2], answers[1::2], strict=True)
        ]

    def records(self, names: Sequence[bytes]) -> list[bytes | None]:
        """See `StateStore.records`."""
        if not names:
            return []
        with _answering():
            found: list[bytes | None] = self._redis.mget([b"said:" + name for name in names])  # type: ignore[assignment]
            return found

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
