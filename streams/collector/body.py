"""The bytes of a request: read, decompressed and bounded piece by piece, never whole first."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterable, Callable
from typing import Final

from streams.collector.errors import Refused
from streams.settings import Settings

BODY_S: Final = 30.0
"""How long a sender may take over one body: generous for 8 MiB, too short to hold a slow trickle open for long."""

GZIP_MEMBERS: Final = 1_000
"""Members that one body may be concatenated from; each costs a new inflater, and 20 bytes are enough for one."""

_GZIP: Final = 31  # zlib's window bits for: a gzip header and trailer


class Gunzip:
    """Decompresses a gzip stream, of one member or several, to at most `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._left_bytes = max_bytes
        self._max_bytes = max_bytes
        self._members = 0
        self._member: zlib._Decompress | None = None

    def feed(self, compressed: bytes) -> bytes:
        """The next piece, decompressed. Raises `Refused`: 413 past the limit, 400 for what is no gzip."""
        pieces = []
        while compressed:
            if self._member is None:
                if self._members:
                    compressed = compressed.lstrip(b"\0")  # a writer may pad after a member
                    if not compressed:
                        break
                self._begin_member()
            compressed, piece = self._inflate(compressed)
            pieces.append(piece)
        return b"".join(pieces)

    def finish(self) -> None:
        """Raise `Refused` (400) if the stream has not come to its end."""
        if self._member is not None or not self._members:
            raise Refused(400, "encoding", "the gzip body is truncated")

    def _begin_member(self) -> None:
        self._members += 1
        if self._members > GZIP_MEMBERS:
            raise Refused(400, "encoding", f"the gzip body has more than {GZIP_MEMBERS} members")
        self._member = zlib.decompressobj(_GZIP)

    def _inflate(self, compressed: bytes) -> tuple[bytes, bytes]:
        """What is left of the input after this member or this piece, and what came out."""
        member = self._member
        assert member is not None
        try:
            # One byte more than is allowed tells "full" from "too much"; 0 would mean no bound at all.
            piece = member.decompress(compressed, self._left_bytes + 1)
        except zlib.error as exc:
            raise Refused(400, "encoding", "the body is no gzip, or is corrupt") from exc
        self._left_bytes -= len(piece)
        if self._left_bytes < 0:
            problem = f"the body has more than {self._max_bytes} bytes after gzip"
            raise Refused(413, "decompressed", problem, limit="decompressed")
        if member.eof:
            self._member = None
            return member.unused_data, piece
        return member.unconsumed_tail, piece


def inflater(content_encoding: str, settings: Settings) -> Gunzip | None:
    """What undoes a `Content-Encoding`; None where there is nothing to undo. Raises `Refused` (415)."""
    match content_encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return Gunzip(settings.collector_max_decompressed_bytes)
        case _:
            raise Refused(415, "encoding", "send the body plain or with Content-Encoding: gzip")


async def read_body(
    chunks: AsyncIterable[bytes],
    content_length: str | None,
    gunzip: Gunzip | None,
    hold: Callable[[int], None],
    settings: Settings,
) -> bytes:
    """The decompressed body. `hold` reserves memory for it.

    Raises `Refused`: 413 as soon as a limit is passed, by the announced length already; 400 for broken gzip; 408
    when the body takes too long; 503 when there is no room.
    """
    limit = settings.collector_max_body_bytes
    if content_length is not None and content_length.isdecimal() and int(content_length) > limit:
        raise _too_large(limit)
    pieces, received = [], 0
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in chunks:
                received += len(chunk)
                if received > limit:
                    raise _too_large(limit)
                piece = chunk if gunzip is None else gunzip.feed(chunk)
                hold(len(piece))
                pieces.append(piece)
    except TimeoutError as exc:
        raise Refused(408, "slow", f"the body did not arrive within {BODY_S:.0f} s") from exc
    if gunzip is not None:
        gunzip.finish()
    return b"".join(pieces)


def _too_large(limit: int) -> Refused:
    return Refused(413, "body", f"the body has more than {limit} bytes", limit="body")
