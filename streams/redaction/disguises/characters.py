"""Characters that look like ASCII ones and are none, and characters that do not show at all.

Sources: the Unicode Character Database of this Python (`unicodedata`: decimal and digit values, NFKC, general
categories); the homoglyphs are the confusables of Unicode Technical Standard 39 that are letters of Latin words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from streams.redaction.disguises.view import Rewrite

_CYRILLIC: Final = dict(
    zip("аеорсухіјѕһԁԛԝӏкмтвнАВЕКМНОРСТУХІЈЅԚԜҮѴ", "aeopcyxijshdqwlkmtbhABEKMHOPCTYXIJSQWYV", strict=True)
)
_GREEK: Final = dict(zip("οανρικχγετυϲϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "oavpikxyetucjABEZHIKMNOPTYX", strict=True))
_OTHERS: Final = dict(zip("օսհոցıȷɡɑɩ", "ouhngijgai", strict=True))
_HOMOGLYPHS: Final = {ord(glyph): latin for glyph, latin in (_CYRILLIC | _GREEK | _OTHERS).items()}
"""Letters of other alphabets; they are letters of Latin words only in company of those."""

_SMALL_CAPITALS: Final = dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯǫʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnopqqrstuvwyz", strict=True))
_SHAPES: Final = {
    **dict.fromkeys("‐‑‒–—―−⁃﹘﹣－᠆➖", "-"),
    **dict.fromkeys("。｡．﹒․‧∙⋅・", "."),
    **dict.fromkeys("＠﹫", "@"),
    **dict.fromkeys("⁄∕⧸", "/"),
    **dict.fromkeys("‗ˍ", "_"),
    "⠀": " ",
    **_SMALL_CAPITALS,
}
_LETTERS_IN_SHAPES: Final = (0x1F150, 0x1F170)
"""Negative circled and negative squared capitals, 26 each, which NFKC leaves alone."""

_AS_THEY_ARE: Final = frozenset("…™℠№℃℉℡½¼¾´¨¯¸˜«»•·")
"""Typography of ordinary texts that NFKC would spell out; nobody writes an address with it."""

_INVISIBLE: Final = frozenset(
    (*"\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2065\u3164\uffa0", *map(chr, range(0xFE00, 0xFE10)))
) | frozenset(map(chr, range(0xE0100, 0xE01F0)))
"""Default-ignorable characters of other categories than Cf: fillers, joiners and variation selectors."""

_NOT_SHOWN: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
_DIGITS: Final = (
    "\u0660-\u0669\u06f0-\u06f9\u07c0-\u07c9\u0966-\u096f\u09e6-\u09ef\u0a66-\u0a6f\u0ae6-\u0aef\u0b66-\u0b6f\u0be6-\u0bef"
    "\u0c66-\u0c6f\u0ce6-\u0cef\u0d66-\u0d6f\u0de6-\u0def\u0e50-\u0e59\u0ed0-\u0ed9\u0f20-\u0f29\u1040-\u1049\u1090-\u1099"
    "\u17e0-\u17e9\u1810-\u1819\u1946-\u194f\u19d0-\u19da\u1a80-\u1a99\u1b50-\u1b59\u1bb0-\u1bb9\u1c40-\u1c59\ua620-\ua629"
    "\ua8d0-\ua8d9\ua900-\ua909\ua9d0-\ua9f9\uaa50-\uaa59\uabf0-\uabf9\uff10-\uff19\U000104a0-\U000104a9"
    "\U00011066-\U0001106f\U0001d7ce-\U0001d7ff\U0001e950-\U0001e959\U0001fbf0-\U0001fbf9"
)
_ALSO_LETTERS: Final = "\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7cb\U0001f110-\U0001f169\U0001f170-\U0001f189"
_RINGED: Final = "\u00b2\u00b3\u00b9\u02b0-\u02b8\u1d00-\u1d6a\u2070-\u209c\u2460-\u24ff\u2776-\u2793ʀʙʜɢɪɴʟʏꜰꜱǫꞯ"
_MARKS: Final = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f"
_STRANGE_SPACES: Final = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000"
_OTHER_LETTERS: Final = "\u0370-\u03ff\u0400-\u052f\u0531-\u0587\u0131\u0237\u0251\u0261\u0269"

_HYPHENS: Final = "‐‑‒−⁃﹣－"
_DASHES: Final = "–—―➖"
_DOTS: Final = "。｡．﹒․‧∙⋅・⁄∕⧸‗ˍ"
_SIGNS: Final = "＠﹫"
_GATE: Final = re.compile(
    # One class first, so that the search skips to it; each part then looks at the neighbours.
    rf"[{_DIGITS}{_ALSO_LETTERS}{_SIGNS}{_NOT_SHOWN}{_MARKS}{_RINGED}{_HYPHENS}{_DASHES}{_DOTS}{_STRANGE_SPACES}]"
    rf"(?:(?<=[{_DIGITS}{_ALSO_LETTERS}{_SIGNS}])|(?<=[0-9A-Za-z@.][{_NOT_SHOWN}{_MARKS}])"
    rf"|(?<=[{_NOT_SHOWN}])(?=[0-9A-Za-z@.])|(?<=[{_RINGED}])(?=[\s._/,@-]?[{_RINGED}0-9A-Za-z])|(?<=[0-9A-Za-z@][{_RINGED}])|(?<=[0-9A-Za-z][{_HYPHENS}])"
    rf"|(?<=[0-9][{_DASHES}])(?=[0-9])|(?<=[0-9A-Za-z][{_DOTS}])(?=[0-9A-Za-z])"
    rf"|(?<=[0-9A-Za-z@.+)][{_STRANGE_SPACES}])(?=[0-9A-Za-z@.(]))"
)
_LETTERS_GATE: Final = re.compile(rf"[{_OTHER_LETTERS}](?:(?<=[A-Za-z@].)|(?=[A-Za-z@]|\.[a-z]{{2}}))")


def suspicious(text: str) -> bool:
    """Whether a text that is not ASCII may hold any.

    Typographic dashes, emoji with joiners and full-width punctuation of Chinese and Japanese are no disguise.
    """
    return _GATE.search(text) is not None or _LETTERS_GATE.search(text) is not None


@lru_cache(maxsize=8192)
def plain(character: str) -> str | None:
    """What one character that is not ASCII stands for in ASCII, "" for one that does not show, None for itself."""
    if (shape := _SHAPES.get(character)) is not None:
        return shape
    if character in _AS_THEY_ARE:
        return None
    category = unicodedata.category(character)
    if category == "Cf" or character in _INVISIBLE:
        return ""
    if (digit := unicodedata.digit(character, None)) is not None:
        return str(digit)
    for first in _LETTERS_IN_SHAPES:
        if first <= ord(character) < first + 26:
            return chr(ord("A") + ord(character) - first)
    if category == "Zs":
        return " "
    folded = unicodedata.normalize("NFKC", character)
    return folded if folded.isascii() and folded.isprintable() else None


_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_CHUNK: Final = re.compile(r"\S+")
_LATIN_OR_AT: Final = re.compile(r"[A-Za-z@]|\.[A-Za-z]{2}")


def rewrites(text: str) -> Iterator[Rewrite]:
    """What to rewrite in a text that is not ASCII: look-alikes to ASCII, and nothing for what does not show."""
    for match in _NOT_ASCII.finditer(text):
        at, character = match.start(), match[0]
        if character not in _INVISIBLE and unicodedata.category(character) in ("Mn", "Me"):
            if _marks_ascii(text, at):
                yield at, at + 1, ""
        elif (made := plain(character)) is not None:
            yield at, at + 1, made


def _marks_ascii(text: str, at: int) -> bool:
    """Whether a combining mark is on an ASCII character. Marks in a row are looked through up to eight back."""
    for before in range(at - 1, max(-1, at - 9), -1):
        if text[before].isascii():
            return True
        if unicodedata.category(text[before]) not in ("Mn", "Me", "Cf"):
            return False
    return at > 8


def homoglyphs(text: str) -> Iterator[Rewrite]:
    """Letters of other alphabets in words that also hold Latin ones, or in an address."""
    for chunk in _CHUNK.finditer(text):
        if not chunk[0].isascii() and _LATIN_OR_AT.search(chunk[0]):
            for at, character in enumerate(chunk[0], chunk.start()):
                if (latin := _HOMOGLYPHS.get(ord(character))) is not None:
                    yield at, at + 1, latin
