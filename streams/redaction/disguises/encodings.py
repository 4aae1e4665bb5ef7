"""Characters written as codes: HTML entities, percent-encoding, backslash escapes and quoted-printable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.entities import html5
from typing import Final

from streams.redaction.disguises.view import Rewrite

_CODED: Final = re.compile(
    r"&(?:#[0-9]{1,7};?|#[xX][0-9a-fA-F]{1,6};?|[A-Za-z][A-Za-z0-9]{1,31};|(?:amp|lt|gt|quot|nbsp|shy)(?![A-Za-z0-9=]))"
    r"|(?:%[0-9a-fA-F]{2}){1,512}+"
    r"|\\(?:u[0-9a-fA-F]{4}|u\{[0-9a-fA-F]{1,6}\}|x[0-9a-fA-F]{2}|x\{[0-9a-fA-F]{1,6}\}|U[0-9a-fA-F]{8})"
    r"|(?<=[A-Za-z0-9])\\[@._+-](?=[A-Za-z0-9])"
    r"|(?<=[A-Za-z0-9])=40(?=[A-Za-z0-9-]{1,63}(?:\.|=2E)[A-Za-z0-9.=-]{2})|(?<=[A-Za-z0-9])=2E(?=[A-Za-z]{2})"
)
_LAST: Final = 0x10FFFF
_NEAR: Final = 64
"""Characters around an escaped dot in which an address has its at-sign."""


def coded(text: str) -> bool:
    """Whether a text may hold any of it: three look-ups on ordinary text."""
    return ("&" in text or "%" in text or "\\" in text or "=" in text) and _CODED.search(text) is not None


def rewrites(text: str) -> Iterator[Rewrite]:
    """Every code that stands for a character that can be printed, as that character."""
    for match in _CODED.finditer(text):
        written = match[0]
        start, end = match.span()
        if written[0] == "%":
            if (pieces := _percent(written, start)) is not None:
                yield start, end, pieces
        elif written[0] == "\\" and written[1] in "._+-" and "@" not in text[max(0, start - _NEAR) : end + _NEAR]:
            continue  # a regular expression and no address
        elif (made := _single(written)) is not None:
            yield start, end, made


def _single(written: str) -> str | None:
    if written[0] == "&":
        if written[1] != "#":
            return _shown(html5.get(written[1:]))
        digits = written[2:].rstrip(";")
        return _character(int(digits[1:], 16) if digits[0] in "xX" else int(digits))
    if written[0] == "=":
        return _character(int(written[1:], 16))
    if written[1] in "uUx":
        return _character(int(written[2:].strip("{}"), 16))
    return written[1:]


def _percent(written: str, start: int) -> list[tuple[str, int, int]] | None:
    """The characters of a run of percent-encoded bytes, each over its own bytes; None if they are no text."""
    try:
        decoded = bytes.fromhex(written.replace("%", "")).decode()
    except UnicodeDecodeError:
        return None
    if _shown(decoded) is None:
        return None
    pieces, at = [], start
    for character in decoded:
        end = at + 3 * len(character.encode())
        pieces.append((character, at, end))
        at = end
    return pieces


def _character(code: int) -> str | None:
    return _shown(chr(code)) if 0 < code <= _LAST and not 0xD800 <= code < 0xE000 else None


def _shown(made: str | None) -> str | None:
    """Printable text and what a later step undoes; nothing else, so that no control character comes into a view."""
    if made is None or all(character.isprintable() or ord(character) > 0x9F for character in made):
        return made
    return " " * len(made) if made.isspace() else None
