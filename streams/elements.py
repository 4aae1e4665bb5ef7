"""The elements of a long JSON list, one by one, in memory for one.

Only brackets and quotes are looked at, so that what is wrong inside an element stays its own problem: a string ends
with its line, a bracket that is left open with the one that holds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

_MARK: Final = re.compile(rb'["{}\[\],\n]')
_MARK_IN_STRING: Final = re.compile(rb'["\\\n]')
_OPENER: Final = {b"}": b"{", b"]": b"["}
_DEPTH: Final = 2
"""Brackets that are open between two elements: the document's and the list's."""

_LONGEST_NAME: Final = 64
"""Bytes that are kept of what is too long: a name may have begun there."""


class Element(NamedTuple):
    """One element: its place in the list from 0, the line on which it begins from 1, its bytes, None if too many.

    `place` None is a document without the list, as a whole.
    """

    place: int | None
    line: int
    text: bytes | None


def elements(blocks: Iterable[bytes], name: str, most_bytes: int) -> Iterator[Element]:
    """The elements of the list `name` of each JSON object in a stream of bytes; an object without it is one itself."""
    reader = _Reader(name.encode(), most_bytes)
    quoted, skip = False, 0
    for block in blocks:
        start, at, skip = 0, skip, 0
        while (found := (_MARK_IN_STRING if quoted else _MARK).search(block, at)) is not None:
            mark, at = found[0], found.end()
            if mark == b"\\":
                skip = int(at == len(block))
                at += 1
                continue
            reader.held += block[start : found.start()]
            start = found.start()
            if mark == b'"':
                quoted = not quoted
                reader.quote(quoted)
                continue
            quoted = False
            yield from reader.mark(mark)
            start = at
        reader.held += block[start:]
        reader.bound()
    yield from reader.end()


class _Reader:
    """What is held of the element that is being read, and which brackets are open."""

    def __init__(self, name: bytes, most_bytes: int) -> None:
        self.held = bytearray()
        self._name = name
        self._most_bytes = most_bytes
        self._too_many = False
        self._line = self._begun = 1
        self._opened: list[bytes] = []
        self._place: int | None = None  # None outside the list
        self._listed = False  # whether this document has the list
        self._word = b""  # the last string right inside the document
        self._quote_at = 0

    def bound(self) -> None:
        """Let go of what is too long."""
        self._too_many = self._too_many or len(self.held) > self._most_bytes
        if self._too_many:
            gone = max(0, len(self.held) - _LONGEST_NAME)
            del self.held[:gone]
            self._quote_at = max(0, self._quote_at - gone)

    def quote(self, begins: bool) -> None:
        """At a quote, which is not held yet."""
        if begins:
            self._quote_at = len(self.held)
        elif len(self._opened) == 1:
            self._word = bytes(self.held[self._quote_at :])

    def mark(self, mark: bytes) -> Iterator[Element]:
        """At a mark outside of strings, which is not held yet."""
        between = self._place is not None and len(self._opened) == _DEPTH
        if mark == b"\n":
            self._line += 1
            blank = not self._too_many and (not self.held or self.held.isspace())
            self.held += mark
            if blank:
                self._drop()
            if not self._opened:  # what stands outside of all brackets
                yield from self._taken()
        elif mark in _OPENER.values():
            self._opened.append(mark)
            self.held += mark
            if mark == b"[" and len(self._opened) == _DEPTH and self._word == b'"' + self._name:
                self._listed, self._place = True, 0
                self._drop()
        elif mark == b",":
            if between and self._place is not None:
                yield from self._taken()
                self._place += 1
            else:
                self.held += mark
        elif _OPENER[mark] in self._opened:
            yield from self._close(mark)
        else:
            self.held += mark

    def _close(self, mark: bytes) -> Iterator[Element]:
        while self._opened.pop() != _OPENER[mark]:
            pass
        if self._place is not None and len(self._opened) < _DEPTH:
            yield from self._taken()
            self._place = None
        else:
            self.held += mark
        if not self._opened:
            if self._listed:
                self._drop()
            yield from self._taken()
            self._listed = False

    def end(self) -> Iterator[Element]:
        """At the end of the stream."""
        if self._place is not None or not self._listed:
            yield from self._taken()

    def _taken(self) -> Iterator[Element]:
        """What is held, unless it is blank."""
        self.bound()
        text = bytes(self.held.strip())
        if text or self._too_many:
            yield Element(self._place, self._begun, None if self._too_many else text)
        self._drop()

    def _drop(self) -> None:
        self.held.clear()
        self._too_many, self._begun = False, self._line
