"""One body to the JSON texts of its events.

An array is split by its brackets, not by parsing it as a whole, so that NaN or a nesting too deep in one event
does not take the others with it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from streams.collector.errors import Refused

RAW_COMMAS: Final = 200_000
"""Up to so many commas msgspec splits an array: it takes about 80 bytes of memory an element, and `[0,0,…` has one
for two bytes of body."""

_RAW: Final = msgspec.json.Decoder(list[msgspec.Raw])
_WHITE: Final = b" \t\r\n"
_BOM: Final = b"\xef\xbb\xbf"
# A string whole (or to the end, where it never closes), a run of brackets, a comma. Possessive: no backtracking,
# so that the time is linear in whatever is sent.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]+|\\.)*+"?|[\[{]+|[\]}]+|,', re.DOTALL)
_QUOTE, _COMMA, _OPENERS, _CLOSERS = ord('"'), ord(","), b"[{", b"]}"


def split(body: bytes, *, lines: bool, max_events: int) -> list[bytes]:
    """The texts of the events in a body, in order, each without the white space around it.

    A body that begins with `[` is an array. One event a line it is if `lines` (the sender said so), or if several
    lines have content and the first is a `{…}` of its own. Anything else is one text. What a text holds is
    not checked here. Raises `Refused`: 400 for an empty body or an array without an end, 413 for more than
    `max_events`.
    """
    body = body.removeprefix(_BOM).strip(_WHITE)
    if not body:
        raise Refused(400, "invalid", "the body holds no event")
    if not lines and body[:1] == b"[":
        texts = _elements(body, max_events)
    elif lines or _looks_like_lines(body):
        texts = _bounded((text for line in io.BytesIO(body) if (text := line.strip(_WHITE))), max_events)
    else:
        texts = [body]
    if not texts:
        raise Refused(400, "invalid", "the body holds no event")
    return texts


def _looks_like_lines(body: bytes) -> bool:
    first, _, rest = body.partition(b"\n")
    first = first.rstrip(_WHITE)
    return bool(rest) and first[:1] == b"{" and first[-1:] == b"}" and _balanced(first)


def _balanced(text: bytes) -> bool:
    depth = 0
    for token in _TOKEN.finditer(text):
        at, end = token.span()
        if text[at] in _OPENERS:
            depth += end - at
        elif text[at] in _CLOSERS:
            depth -= end - at
    return depth == 0


def _elements(body: bytes, max_events: int) -> list[bytes]:
    if body.count(b",") <= RAW_COMMAS:
        try:
            elements = _RAW.decode(body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            pass  # one element at least is no JSON: it will be told, and the others are taken
        else:
            return _bounded((bytes(element) for element in elements), max_events)
    return _bounded(elements_by_brackets(body), max_events)


def elements_by_brackets(body: bytes) -> Iterator[bytes]:
    """The texts between the top-level commas of an array, whatever they are. Raises `Refused` (400) at the end
    if the array has none, or if something follows it."""
    depth, begin = 0, 1
    for token in _TOKEN.finditer(body):
        at, end = token.span()
        first = body[at]
        if first == _QUOTE:
            continue
        if first == _COMMA:
            if depth == 1:
                yield body[begin:at].strip(_WHITE)
                begin = end
        elif first in _OPENERS:
            depth += end - at
        elif depth > end - at:
            depth -= end - at
        else:
            last = at + depth - 1
            if last != len(body) - 1:
                raise Refused(400, "invalid", "not JSON: something follows the array")
            text = body[begin:last].strip(_WHITE)
            if text or begin > 1:
                yield text
            return
    raise Refused(400, "invalid", "not JSON: the array has no end")


def _bounded(texts: Iterator[bytes], max_events: int) -> list[bytes]:
    kept: list[bytes] = []
    for text in texts:
        if len(kept) == max_events:
            raise Refused(413, "batch", f"more than {max_events} events in one request", limit="batch")
        kept.append(text)
    return kept
