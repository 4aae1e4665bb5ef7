"""The three wire forms of a record: Confluent framing, Avro single-object encoding, and (events only) JSON.

    0x00 + 4-byte schema id + Avro      Confluent: what a schema registry's clients write
    0xC3 0x01 + 8-byte fingerprint + Avro   single-object: self-describing without a registry
    {…}                                 JSON, as the collector takes it; for producers without Avro

A reader takes all three; a writer uses the first with a registry and the second without.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeVar

from schemas import avro
from schemas.errors import UndecodableRecord, UnknownSchemaError
from schemas.events import FeedbackEvent, RedactedEvent
from schemas.intake import event_from_json, parse_json
from schemas.outcomes import DeadLetter, Outcome

R = TypeVar("R", FeedbackEvent, RedactedEvent, Outcome, DeadLetter)

CONFLUENT_MAGIC: Final = 0x00
SINGLE_OBJECT_MAGIC: Final = b"\xc3\x01"


class SchemaIds(Protocol):
    """What a schema registry knows. Adapter: `streams.registry`."""

    def id_of(self, subject: str) -> int:
        """The id under which the newest version of `subject` is registered."""
        ...

    def text_of(self, schema_id: int) -> str:
        """The schema text of an id; raises `UnknownSchemaError` if the registry has none."""
        ...


class Codec:
    """Records to and from the bytes of a Kafka message value."""

    def __init__(self, registry: SchemaIds | None = None) -> None:
        self._registry = registry
        self._writers: dict[int, Any] = {}

    def encode(self, record: avro.Record) -> bytes:
        """Frame and encode a record."""
        version = avro.current(type(record))
        if self._registry is None:
            return SINGLE_OBJECT_MAGIC + version.fingerprint + avro.encode(record)
        return struct.pack(">bI", CONFLUENT_MAGIC, self._registry.id_of(version.subject)) + avro.encode(record)

    def decode(self, value: bytes, record: type[R]) -> R:
        """Decode a message value in whichever wire form it has.

        Raises `UndecodableRecord`, `UnknownSchemaError`, `InvalidEvent`; and whatever the registry raises when it is
        away, which is no fault of the record.
        """
        if value[:2] == SINGLE_OBJECT_MAGIC and len(value) >= 10:
            version = avro.by_fingerprint().get(value[2:10])
            if version is None:
                raise UnknownSchemaError(f"fingerprint {value[2:10].hex()}")
            return avro.decode(value[10:], version.parsed, record)
        if value[:1] == b"\x00" and len(value) >= 5:
            return avro.decode(value[5:], self._writer(int.from_bytes(value[1:5], "big")), record)
        if record is FeedbackEvent and value[:64].lstrip()[:1] == b"{":
            return event_from_json(parse_json(value))  # type: ignore[return-value]  # R is FeedbackEvent here
        raise UndecodableRecord("neither Confluent framing, nor Avro single-object encoding, nor a JSON object")

    def _writer(self, schema_id: int) -> Any:
        if schema_id not in self._writers:
            if self._registry is None:
                raise UnknownSchemaError(f"schema id {schema_id}, and no schema registry is configured")
            self._writers[schema_id] = avro.parse(self._registry.text_of(schema_id))
        return self._writers[schema_id]


def schema_name(value: bytes) -> str | None:
    """The schema id or fingerprint that a message value announces, for the index of a dead letter.

    None where it reads as text: then nobody announced a schema, and the index would quote the record. One
    fingerprint in 2,800 does too.
    """
    if value[:2] == SINGLE_OBJECT_MAGIC and len(value) >= 10:
        return None if _reads_as_text(value[2:10]) else value[2:10].hex()
    if value[:1] == b"\x00" and len(value) >= 5:
        return None if _reads_as_text(value[1:5]) else str(int.from_bytes(value[1:5], "big"))
    return None


def _reads_as_text(announced: bytes) -> bool:
    return announced.isascii() and announced.decode().isprintable()


def newest_schemas() -> Mapping[str, str]:
    """Subject → text of its newest version: what the services register and check on start."""
    return {subject: avro.versions(subject)[-1].text for subject in avro.SUBJECTS.values()}
