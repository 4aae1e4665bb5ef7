from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.collector import body as body_module
from streams.collector.body import GZIP_MEMBERS, Gunzip, read_body
from streams.collector.errors import Refused
from streams.settings import Settings


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.integers(1, 50), st.integers(0, 5))
def test_gzip_comes_out_whole_however_it_is_cut_and_concatenated(
    members: list[bytes], cut_bytes: int, padding_bytes: int
) -> None:
    compressed = b"".join(gzip.compress(member) for member in members) + bytes(padding_bytes)
    gunzip = Gunzip(10_000)
    pieces = [gunzip.feed(compressed[at : at + cut_bytes]) for at in range(0, len(compressed), cut_bytes)]
    gunzip.finish()
    assert b"".join(pieces) == b"".join(members)


@given(st.binary(min_size=1, max_size=300), st.data())
def test_gzip_that_ends_too_early_is_refused(content: bytes, data: st.DataObject) -> None:
    compressed = gzip.compress(content)
    gunzip = Gunzip(10_000)
    with pytest.raises(Refused) as refused:
        gunzip.feed(compressed[: data.draw(st.integers(0, len(compressed) - 1))])
        gunzip.finish()
    assert (refused.value.status, refused.value.why) == (400, "encoding")


@given(st.integers(0, 2000))
def test_the_limit_is_exact(size_bytes: int) -> None:
    compressed = gzip.compress(bytes(size_bytes))
    if size_bytes <= 1000:
        assert len(Gunzip(1000).feed(compressed)) == size_bytes
    else:
        with pytest.raises(Refused) as refused:
            Gunzip(1000).feed(compressed)
        assert refused.value.limit == "decompressed"


def test_a_bomb_never_takes_more_memory_than_the_limit(bomb: bytes) -> None:
    limit = 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(Refused):
            Gunzip(limit).feed(bomb)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(bomb) < 2_000_000
    assert peak_bytes < len(bomb) + 3 * limit  # the input once more, and the output with its parts


def test_many_tiny_members_are_refused() -> None:
    with pytest.raises(Refused) as refused:
        Gunzip(10).feed(gzip.compress(b"") * (GZIP_MEMBERS + 1))
    assert refused.value.status == 400


def test_a_body_that_trickles_in_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "BODY_S", 0.05)

    async def trickle() -> AsyncIterator[bytes]:
        yield b"["
        await asyncio.Event().wait()

    with pytest.raises(Refused) as refused:
        asyncio.run(read_body(trickle(), None, None, lambda _size: None, Settings()))
    assert (refused.value.status, refused.value.why) == (408, "slow")
