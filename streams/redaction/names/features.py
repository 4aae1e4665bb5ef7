"""Word to features: rows of the embedding table that describe one token, whatever stands around it."""

from __future__ import annotations

import re
from typing import Final
from zlib import crc32

from streams.redaction.names.lexicon import Lexicon, grades

ROWS: Final = 1 << 17
"""Rows of the embedding table; a feature's text is hashed into it."""

PAD: Final = "\x00"
"""The token before the first and after the last."""

VERSION: Final = 1
"""Raised with every change of a feature or of a rule that no constant shows: part of the model's version."""

_URL: Final = re.compile(r"(?:https?://|www\.)\S")
_PLAIN_APOSTROPHE: Final = str.maketrans("’", "'")
_CLUSTER_BITS: Final = (4, 6, 8, 10, 12, 20)


def shape(word: str) -> str:
    """How a token is written: lower, Title, UPPER, initial (one capital), Mixed, digit, mark and so on."""
    if word.islower():
        return "lower"
    if word.isupper():
        return "initial" if len(word) == 1 else "upper"
    if not word[0].isalpha():
        return "number" if word[0].isdigit() else "mark"
    if word[0].isupper() and word[1:].islower():
        return "title"
    return "camel" if word[0].isupper() else "mixed"


def features(word: str, lexicon: Lexicon, *, lexical: bool = True, listed: bool = True) -> list[int]:
    """The rows of a token. Training drops the word itself (`lexical`) or its lists (`listed`) at random."""
    return [crc32(name.encode("utf-8", "surrogatepass")) & (ROWS - 1) for name in names(word, lexicon, lexical, listed)]


def names(word: str, lexicon: Lexicon, lexical: bool = True, listed: bool = True) -> list[str]:
    """The features of a token as text."""
    special = _special(word)
    if special is not None:
        return ["b", "w=" + special, "s=" + special]
    case = shape(word)
    lower = word.lower().translate(_PLAIN_APOSTROPHE)
    found = ["b", "s=" + case, f"n={min(len(lower), 10)}"]
    if case in {"mark", "number"}:
        found.append("w=" + lower[:8])
        if case == "number":
            found.append(f"d={len(lower)}{lower.isdigit()}")
        return found
    found += [f"a{case}{lower[-2:]}", "a" + lower[-3:], "a" + lower[-4:], "p" + lower[:2], "p" + lower[:3]]
    edged = f"^{lower[:16]}$"
    found += ["g" + edged[i : i + 3] for i in range(len(edged) - 2)]
    if lexical:
        found += ["w=" + lower, f"w={lower}|{case}"]
    rarity, title, upper, lower_cluster, title_cluster, lists = lexicon[lower]
    if not listed:
        lists = 0
    if not lexical and not listed:
        rarity = title = upper = lower_cluster = title_cluster = 0
    found += [f"r{rarity}{case}", f"t{title}{case}", f"u{upper}{case}", f"r{rarity}t{title}"]
    for bits in _CLUSTER_BITS:
        mask = (1 << bits) - 1
        if lower_cluster:
            found.append(f"c{bits}:{lower_cluster & mask}")
        if title_cluster:
            found.append(f"C{bits}:{title_cluster & mask}")
    graded = grades(lists)
    for name, grade in graded.items():
        found += [f"l{name}", f"l{name}{grade}", f"l{name}{grade}{case}", f"l{name}t{title}"]
    people = graded.get("first", 0), graded.get("last", 0)
    places = graded.get("city", 0), graded.get("place", 0)
    found += [f"L{lists}", f"P{people}{places}{case}", f"P{people}{min(rarity, 4)}{title}"]
    return found


def _special(word: str) -> str | None:
    first = word[0]
    if first == PAD:
        return "<pad>"
    if first == "\n":
        return "<line>" if word.count("\n") == 1 else "<paragraph>"
    if first == "@" and len(word) > 1:
        return "<handle>"
    if "@" in word and len(word) > 1:
        return "<mail>"
    return "<url>" if _URL.match(word) else None
