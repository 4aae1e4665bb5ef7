"""The originals of dead letters: read from the lake, opened, and shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import pyarrow.dataset as ds

from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.events import FeedbackEvent, Position, RedactedEvent
from schemas.outcomes import SealedCopy
from schemas.tables import DEAD_LETTERS
from streams.errors import LakeUnavailable
from streams.lake.ports import Lake
from streams.letters.index import Letter, letter_id
from streams.redaction.sealing import Sealed

CHUNK_BYTES: Final = 16_777_216
CHUNK_LETTERS: Final = 500
_ENTRY: Final = ("entry_topic_id", "entry_partition", "entry_offset")
_PREVIEW_BYTES: Final = 512
_HEX_WIDTH: Final = 16


def chunks(letters: Sequence[Letter]) -> Iterator[list[Letter]]:
    """Letters that lie near each other in the lake, few enough to be in memory at once with their originals."""
    chunk: list[Letter] = []
    size_bytes = 0
    for letter in sorted(letters, key=lambda letter: (letter.received_at, letter.id)):
        if chunk and (len(chunk) == CHUNK_LETTERS or size_bytes + letter.size_bytes > CHUNK_BYTES):
            yield chunk
            chunk, size_bytes = [], 0
        chunk.append(letter)
        size_bytes += letter.size_bytes
    if chunk:
        yield chunk


def sealed(lake: Lake, letters: Sequence[Letter]) -> Mapping[str, Sealed]:
    """The sealed originals of a chunk by letter id, as far as the lake still has them. Raises `LakeUnavailable`."""
    store = lake.find(DEAD_LETTERS)
    if store is None:
        return {}
    wanted = {letter.id for letter in letters}
    days = ds.field("day").isin(sorted({letter.received_at.date() for letter in letters}))
    offsets = ds.field("entry_offset").isin(sorted({letter.entry.offset for letter in letters}))
    found: dict[str, Sealed] = {}
    try:
        batches = store.dataset().to_batches(
            columns=[*_ENTRY, "sealed", "original"],
            filter=days & offsets,
            batch_size=CHUNK_LETTERS,
            batch_readahead=1,
            fragment_readahead=1,
            use_threads=False,
        )
        for batch in batches:
            for row in batch.to_pylist():
                name = letter_id(Position(*(row[column] for column in _ENTRY)))
                if name in wanted:
                    copies = tuple(SealedCopy(copy["key_id"], copy["box"]) for copy in row["sealed"])
                    found[name] = Sealed(copies, row["original"])
    except OSError as exc:
        raise LakeUnavailable(f"{DEAD_LETTERS.name}: {type(exc).__name__}") from exc
    return found


def event_in(original: bytes, stage: str, codec: Codec) -> FeedbackEvent | RedactedEvent | None:
    """The event in an original, None if it cannot be read. Raises what the schema registry raises when it is away."""
    try:
        return codec.decode(original, FeedbackEvent) if stage == "redact" else codec.decode(original, RedactedEvent)
    except SchemaError:
        return None


def shown(original: bytes, stage: str, codec: Codec) -> str:
    """An original as a person can read it: the event as JSON, else text, else the first bytes in hex.

    It cannot steer a terminal: control characters are written out.
    """
    event = event_in(original, stage, codec)
    if event is not None:
        said = json.dumps(_jsonable(msgspec.to_builtins(event)), indent=2, ensure_ascii=False)
        return _harmless(said)
    try:
        text = original.decode()
    except UnicodeDecodeError:
        text = "\x00"
    if all(character.isprintable() or character in "\n\r\t" for character in text):
        return _harmless(text)
    return _hex(original)


def _jsonable(value: Any) -> Any:
    """Without what an event leaves empty."""
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items() if item not in (None, (), [], {}, "")}
    return [_jsonable(item) for item in value] if isinstance(value, list | tuple) else value


def _harmless(text: str) -> str:
    return "".join(
        character if character.isprintable() or character == "\n" else character.encode("unicode_escape").decode()
        for character in text
    )


def _hex(original: bytes) -> str:
    lines = [
        f"{start:08x}  {original[start : start + _HEX_WIDTH].hex(' '):<{3 * _HEX_WIDTH}} "
        + "".join(chr(byte) if 32 <= byte < 127 else "." for byte in original[start : start + _HEX_WIDTH])
        for start in range(0, min(len(original), _PREVIEW_BYTES), _HEX_WIDTH)
    ]
    if len(original) > _PREVIEW_BYTES:
        lines.append(f"… {len(original):,} bytes in all")
    return "\n".join(lines)
