"""A multipart/form-data body (RFC 7578), taken apart while it arrives; the parser is python-multipart's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message
from typing import Final

from msgspec import Struct
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from trainer_trigger.trainer.refused import Refused

MAX_PARTS: Final = 16
MAX_HEAD_BYTES: Final = 16_384
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")


class Begin(Struct, frozen=True):
    """A part begins; `filename` is None for a plain field, and as the sender says it for a file."""

    name: str
    filename: str | None


class Data(Struct, frozen=True):
    """A piece of the part that has begun last."""

    content: bytes


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type names. Raises `Refused` (415, 400)."""
    head = Message()
    head["content-type"] = content_type
    if head.get_content_type() != "multipart/form-data":
        raise Refused(415, "Send the file as multipart/form-data.", code="unsupported_media_type")
    boundary = head.get_param("boundary")
    if not isinstance(boundary, str) or not _BOUNDARY.fullmatch(boundary):
        raise Refused(400, "The Content-Type names no valid boundary.", code="invalid_multipart")
    return boundary.encode()


class Multipart:
    """`feed` it the body in chunks of any size, then `finish`. What comes out does not depend on the chunks' sizes."""

    def __init__(self, boundary: bytes) -> None:
        self._told: list[Begin | Data] = []
        self._parts = 0
        self._head = 0
        self._name = self._value = b""
        self._disposition: bytes | None = None
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._field_goes_on,
                "on_header_value": self._value_goes_on,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._head_ends,
                "on_part_data": self._data,
                "on_end": self._ends,
            },
        )

    def feed(self, chunk: bytes) -> Iterator[Begin | Data]:
        """What this chunk makes known. Raises `Refused` (400) for what is no multipart body."""
        try:
            self._parser.write(chunk)
        except FormParserError as exc:
            raise _broken("it is no multipart body") from exc
        told, self._told = self._told, []
        yield from told

    def finish(self) -> None:
        """Raise `Refused` (400) unless the last part has ended."""
        if not self._ended:
            raise _broken("it ends in the middle")

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _broken(f"it has more than {MAX_PARTS} parts")
        self._head, self._disposition = 0, None

    def _field_goes_on(self, data: bytes, start: int, end: int) -> None:
        self._name += self._of_head(data, start, end)

    def _value_goes_on(self, data: bytes, start: int, end: int) -> None:
        self._value += self._of_head(data, start, end)

    def _of_head(self, data: bytes, start: int, end: int) -> bytes:
        self._head += end - start
        if self._head > MAX_HEAD_BYTES:
            raise _broken("a part's header is too long")
        return data[start:end]

    def _header_ends(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _head_ends(self) -> None:
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise _broken("a part has no name")
        filename = options.get(b"filename")
        self._told.append(
            Begin(
                options[b"name"].decode("utf-8", "replace"),
                None if filename is None else filename.decode("utf-8", "replace"),
            )
        )

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._told.append(Data(data[start:end]))

    def _ends(self) -> None:
        self._ended = True


def _broken(problem: str) -> Refused:
    return Refused(400, f"The multipart body cannot be read: {problem}.", code="invalid_multipart")
