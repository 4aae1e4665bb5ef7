"""How much of an answer a person kept: Levenshtein distance by words, bit-parallel and bounded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

MOST_WORDS: Final = 4_096
"""Beyond, after what is alike at both ends, only which words there are is compared: some 10 ms stay the most."""

_WORD: Final = re.compile(
    r"<[A-Z0-9_]+:[0-9a-f.]+>|[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+|[^\w\s]"
)
"""A redaction placeholder, a character of a script without spaces, a word, a mark. White space is no word."""


def kept(answer: str, edited: str) -> float:
    """1 − the edit distance in words over the longer one's words: 1 is unchanged, 0 nothing kept. Symmetric."""
    words, others = _WORD.findall(answer), _WORD.findall(edited)
    longer = max(len(words), len(others))
    return 1 - distance(words, others) / longer if longer else 1.0


def distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Insertions, deletions and replacements from one sequence to the other.

    Beyond `MOST_WORDS` a lower bound of it, blind to order. Hyyrö's form (2003) of Myers' bit-vector algorithm
    (1999): a column of the distance matrix is two whole numbers, of the places where it rises and where it falls.
    """
    one, other = _differing(one, other)
    if not one or not other:
        return len(one) + len(other)
    if max(len(one), len(other)) > MOST_WORDS:
        common = (Counter(one) & Counter(other)).total()
        return max(len(one), len(other)) - common
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    full, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    rises, falls, steps = full, 0, len(one)
    for word in other:
        equal = places.get(word, 0)
        vertical = equal | falls
        horizontal = ((equal & rises) + rises) ^ rises | equal
        up = falls | full & ~(horizontal | rises)
        down = rises & horizontal
        steps += bool(up & last) - bool(down & last)
        up, down = (up << 1 | 1) & full, down << 1 & full
        rises, falls = down | full & ~(vertical | up), up & vertical
    return steps


def _differing(one: Sequence[str], other: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Both without what is alike at the beginning and at the end."""
    shorter = min(len(one), len(other))
    start = next((at for at in range(shorter) if one[at] != other[at]), shorter)
    ends = range(1, shorter - start + 1)
    end = next((at - 1 for at in ends if one[-at] != other[-at]), shorter - start)
    return one[start : len(one) - end], other[start : len(other) - end]
