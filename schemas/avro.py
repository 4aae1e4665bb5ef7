"""The Avro files in `wire/`, and records as Avro bytes.

A file `NAME.vN.avsc` is frozen once it is released: a change is a new version, and each version must read what all
earlier ones wrote (BACKWARD_TRANSITIVE). Logical types are for other readers; here a time stays an int.
"""

from __future__ import annotations

import io
import json
import re
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import fastavro
import msgspec
from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas.errors import IncompatibleSchemaError, InvalidEvent, UndecodableRecord
from schemas.events import FeedbackEvent, RedactedEvent
from schemas.outcomes import DeadLetter, Outcome

Record = FeedbackEvent | RedactedEvent | Outcome | DeadLetter
R = TypeVar("R", FeedbackEvent, RedactedEvent, Outcome, DeadLetter)

WIRE: Final = Path(__file__).parent / "wire"
SUBJECTS: Final[Mapping[type[Record], str]] = {
    FeedbackEvent: "feedback_event",
    RedactedEvent: "redacted_event",
    Outcome: "outcome",
    DeadLetter: "dead_letter",
}
_TIMES: Final = frozenset({"occurred_at", "received_at"})


class Version(msgspec.Struct, frozen=True):
    """One released schema: its `subject`, `number`, file `text` and CRC-64-AVRO `fingerprint` (8 bytes)."""

    subject: str
    number: int
    text: str
    fingerprint: bytes
    parsed: Any


@cache
def versions(subject: str) -> tuple[Version, ...]:
    """All versions of a subject in `wire/`, oldest first."""
    found = []
    for path in WIRE.glob(f"{subject}.v*.avsc"):
        number = re.fullmatch(rf"{subject}\.v(\d+)\.avsc", path.name)
        if number:
            found.append(_load(subject, int(number[1]), path.read_text()))
    return tuple(sorted(found, key=lambda version: version.number))


@cache
def by_fingerprint() -> Mapping[bytes, Version]:
    """Every schema in `wire/` by its fingerprint."""
    return {version.fingerprint: version for subject in SUBJECTS.values() for version in versions(subject)}


def current(record: type[Record]) -> Version:
    """The version that `record` is written with: the newest."""
    return versions(SUBJECTS[record])[-1]


def encode(record: Record) -> bytes:
    """A record as Avro binary, without any framing."""
    buffer = io.BytesIO()
    values = msgspec.to_builtins(record, builtin_types=(bytes,))
    for field, branch in _branch_names(type(record)).items():
        if values[field] is not None:
            values[field] = (branch, values[field])
    fastavro.schemaless_writer(buffer, current(type(record)).parsed, values)
    return buffer.getvalue()


def decode(body: bytes, writer: Any, record: type[R]) -> R:
    """Read Avro binary written with the parsed schema `writer` into a record of the current version.

    Raises `UndecodableRecord` for truncated bytes or a schema that does not resolve, `InvalidEvent` where the values
    do not fit the record's types.
    """
    reader = current(record).parsed
    buffer = io.BytesIO(body)
    try:
        values = fastavro.schemaless_reader(buffer, writer, None if writer is reader else reader)
    except Exception as exc:  # fastavro raises whatever a corrupted length or index leads to
        raise UndecodableRecord("not the Avro that its schema announces") from exc
    if buffer.tell() != len(body):
        raise UndecodableRecord("bytes are left over after the record")
    try:
        return msgspec.convert(values, record)
    except msgspec.ValidationError as exc:
        raise InvalidEvent("", str(exc)) from exc


def parse(text: str) -> Any:
    """Parse a schema text for use with `decode`, its logical types left aside."""
    return fastavro.parse_schema(_without_logical_types(json.loads(text)))


def avro_schema(record: type[Record]) -> dict[str, Any]:
    """The Avro schema that the record's own types stand for: what the newest file in `wire/` must say."""
    return typing.cast("dict[str, Any]", _avro_type(record, set(), ""))


def check_compatible(reader: Any, writer: Any, path: str = "") -> None:
    """Raise `IncompatibleSchemaError`, naming the field, unless `reader` can read all that `writer` wrote.

    Both are JSON forms of Avro schemas. Rules: https://avro.apache.org/docs/1.12.0/specification/#schema-resolution,
    without type promotion between numbers, which these contracts never use.
    """
    reader_types, writer_types = _branches(reader), _branches(writer)
    for kind, written in writer_types.items():
        if kind not in reader_types:
            raise IncompatibleSchemaError(f"{path or 'the record'}: {kind} can no longer be read")
        read = reader_types[kind]
        if kind.startswith("record:"):
            written_fields = {field["name"]: field for field in written["fields"]}
            for field in read["fields"]:
                where = f"{path}.{field['name']}".lstrip(".")
                if field["name"] in written_fields:
                    check_compatible(field["type"], written_fields[field["name"]]["type"], where)
                elif "default" not in field:
                    raise IncompatibleSchemaError(f"{where}: a new field needs a default")
        elif kind in ("array", "map"):
            inner = "items" if kind == "array" else "values"
            check_compatible(read[inner], written[inner], f"{path}[]")


def resolve_names(schema: Any) -> Any:
    """A schema with every reference to a named type replaced by its definition."""
    named: dict[str, Any] = {}

    def walk(node: Any) -> Any:
        if isinstance(node, str):
            return named.get(node, node)
        if isinstance(node, list):
            return [walk(branch) for branch in node]
        if node["type"] == "record":
            fields = [{**field, "type": walk(field["type"])} for field in node["fields"]]
            named[node["name"]] = {**node, "fields": fields}
            return named[node["name"]]
        return {key: walk(value) if key in ("type", "items", "values") else value for key, value in node.items()}

    return walk(schema)


@cache
def _branch_names(record: type[Record]) -> Mapping[str, str]:
    """Field → full name of the record that it may hold: without it, fastavro tries the whole value on each branch."""
    return {
        field["name"]: branch["name"]
        for field in current(record).parsed["fields"]
        if isinstance(field["type"], list)
        for branch in field["type"]
        if isinstance(branch, dict) and branch["type"] == "record"
    }


def _branches(schema: Any) -> dict[str, Any]:
    union = schema if isinstance(schema, list) else [schema]
    found = {}
    for branch in union:
        kind = branch if isinstance(branch, str) else branch["type"]
        if not isinstance(kind, str):
            found.update(_branches(kind))
        else:
            found[f"record:{branch['name']}" if kind == "record" else kind] = branch
    return found


def _load(subject: str, number: int, text: str) -> Version:
    crc = fingerprint(to_parsing_canonical_form(json.loads(text)), "CRC-64-AVRO")
    return Version(subject, number, text, bytes.fromhex(crc), parse(text))


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_logical_types(branch) for branch in node]
    if isinstance(node, dict):
        return {key: _without_logical_types(value) for key, value in node.items() if key != "logicalType"}
    return node


def _avro_type(hint: Any, seen: set[str], field: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _avro_type(args[0], seen, field)
    if origin in (typing.Union, types.UnionType):
        return ["null", *(_avro_type(arg, seen, field) for arg in args if arg is not type(None))]
    if origin is typing.Literal or (isinstance(hint, type) and issubclass(hint, Enum)):
        return "string"
    if origin is tuple:
        return {"type": "array", "items": _avro_type(args[0], seen, field)}
    if origin is dict:
        return {"type": "map", "values": _avro_type(args[1], seen, field)}
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        if hint.__name__ in seen:
            return hint.__name__
        seen.add(hint.__name__)
        return {"type": "record", "name": hint.__name__, "doc": _doc(hint), "fields": _avro_fields(hint, seen)}
    if hint is int:
        return {"type": "long", "logicalType": "timestamp-micros"} if field in _TIMES else "long"
    return {str: "string", float: "double", bool: "boolean", bytes: "bytes"}[hint]


def _avro_fields(record: type[msgspec.Struct], seen: set[str]) -> list[dict[str, Any]]:
    hints = typing.get_type_hints(record, include_extras=True)
    fields = []
    for field in msgspec.structs.fields(record):
        avro: dict[str, Any] = {"name": field.name, "type": _avro_type(hints[field.name], seen, field.name)}
        if field.default_factory is dict:
            avro["default"] = {}
        elif field.default is not msgspec.NODEFAULT:
            avro["default"] = [] if field.default == () else field.default
        elif typing.get_origin(hints[field.name]) in (typing.Union, types.UnionType):
            avro["default"] = None
        fields.append(avro)
    return fields


def _doc(record: type) -> str:
    return (record.__doc__ or "").split("\n\n")[0].replace("\n", " ").strip()
