"""Probabilities to findings: which runs of tokens are a name, of what kind, and how sure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from streams.redaction import Finding
from streams.redaction.names.features import shape
from streams.redaction.names.lexicon import Lexicon

KINDS: Final = ("", "PERSON", "LOCATION", "ORGANIZATION")

JOIN: Final = 0.2
"""A token is part of a name if it is one with at least this probability …"""

SURE: Final = {"PERSON": 0.35, "LOCATION": 0.45, "ORGANIZATION": 0.5}
"""… and the name is reported if its surest token reaches this. Chosen on held-out tweets, lowest for people."""

EVERYDAY: Final = 0.97
"""What a name of everyday words must reach where its casing says nothing: "rob", or "Society" at a sentence's start."""

LOWER: Final = 0.85
"""What a name in lower case must reach in a text that has capitals: who writes them writes names with them."""

TITLES: Final = frozenset({"mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "sir", "madam"})
"""Honorifics right before a person belong to the span: they say sex or profession, and hide no other word."""

RULE: Final = "names:network"

LEAST: Final = min(SURE.values())
RULES: Final = (JOIN, sorted(SURE.items()), EVERYDAY, LOWER, sorted(TITLES))

_EDGES: Final = frozenset({"'s", "’s", "the", "a", "an", "and", "of", "in", "at", "from", "to", "my"})

_SENTENCE_ENDS: Final = frozenset('.!?:;"“”*-–—•()')


def find(
    words: Sequence[str],
    probabilities: npt.NDArray[np.float32],
    offsets: Sequence[tuple[int, int]],
    lexicon: Lexicon,
) -> list[Finding]:
    """Names among tokens, in order, without overlap.

    `probabilities` is float32 (len(words), 4), `offsets` are characters [start, end).
    """
    findings: list[Finding] = []
    cased = any(shape(word) in {"title", "camel"} for word in words)
    free = 0
    for begin, end, kind in _runs(words, probabilities):
        first, last = begin, end
        while first <= last and _loose(words[first]):
            first += 1
        while last >= first and _loose(words[last]) and not _abbreviates(words, first, last):
            last -= 1
        run = words[first : last + 1]
        if not any(word[0].isalpha() for word in run):
            continue
        score = float(1 - probabilities[first : last + 1, 0].min())
        needed = SURE[KINDS[kind]]
        if _says_little(words, first, last, lexicon):
            needed = EVERYDAY
        elif cased and not any(word[0].isupper() for word in run):
            needed = LOWER
        if score < needed:
            continue
        first, last = _with_initials(words, first, last)
        if KINDS[kind] == "PERSON":
            first = _with_title(words, first)
        first = max(first, free)
        if first > last:
            continue
        free = last + 1
        findings.append(Finding(KINDS[kind], offsets[first][0], offsets[last][1], round(score, 3), RULE))
    return findings


def _runs(words: Sequence[str], probabilities: npt.NDArray[np.float32]) -> Iterator[tuple[int, int, int]]:
    """Runs of name tokens as (first, last, kind). Words side by side are one name, of the kind with more mass in it."""
    kinds = (probabilities[:, 1:].argmax(axis=1) + 1).tolist()
    inside = np.flatnonzero(probabilities[:, 0] <= 1 - JOIN).tolist()
    index = 0
    while index < len(inside):
        first = last = inside[index]
        index += 1
        while index < len(inside) and inside[index] == last + 1 and _continues(words, kinds, last):
            last = inside[index]
            index += 1
        yield first, last, int(probabilities[first : last + 1, 1:].sum(axis=0).argmax()) + 1


def _continues(words: Sequence[str], kinds: Sequence[int], last: int) -> bool:
    if kinds[last] == kinds[last + 1]:
        return True
    return words[last][0].isupper() and words[last + 1][0].isupper()


def _says_little(words: Sequence[str], first: int, last: int, lexicon: Lexicon) -> bool:
    run = words[first : last + 1]
    if all(map(lexicon.capitalised_anyway, run)):
        return True
    return _casing_says_nothing(words, first, last) and all(map(lexicon.everyday, run))


def _loose(word: str) -> bool:
    """Whether a token at the edge of a run is no part of the name."""
    return word in _EDGES or word[0] == "\n" or shape(word) == "mark"


def _abbreviates(words: Sequence[str], first: int, last: int) -> bool:
    """Whether a full stop belongs to what it follows: `Jr.`, `St.`, `J.`."""
    return words[last] == "." and last > first and len(words[last - 1]) <= 3 and words[last - 1][0].isupper()


def _casing_says_nothing(words: Sequence[str], first: int, last: int) -> bool:
    """Whether a run is in lower case, or one capitalised word at the start of a sentence."""
    if all(not word[0].isupper() for word in words[first : last + 1]):
        return True
    return first == last and (first == 0 or words[first - 1][0] in _SENTENCE_ENDS or words[first - 1][0] == "\n")


def _with_initials(words: Sequence[str], first: int, last: int) -> tuple[int, int]:
    """A run with the initials beside it: `U.S.`, `J. R. Smith`."""
    while first >= 2 and words[first - 1] == "." and shape(words[first - 2]) == "initial":
        first -= 2
    while last + 1 < len(words) and shape(words[last]) == "initial" and words[last + 1] == ".":
        last += 1
        if last + 2 < len(words) and shape(words[last + 1]) == "initial" and words[last + 2] == ".":
            last += 1
    return first, last


def _with_title(words: Sequence[str], first: int) -> int:
    before = first - 1
    if before > 0 and words[before] == ".":
        before -= 1
    return before if before >= 0 and words[before].lower() in TITLES else first
