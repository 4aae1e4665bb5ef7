"""How much of an answer a person kept: Levenshtein distance by words, bounded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from rapidfuzz.distance import Levenshtein

MOST_WORDS: Final = 4_096
"""Beyond, after what is alike at both ends, only which words there are is compared: some 3 ms stay the most."""

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

    Beyond `MOST_WORDS` a lower bound of it, blind to order.
    """
    one, other = _differing(one, other)
    longer = max(len(one), len(other))
    if longer > MOST_WORDS:
        return longer - (Counter(one) & Counter(other)).total()
    return Levenshtein.distance(one, other)


def _differing(one: Sequence[str], other: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Both without what is alike at the beginning and at the end."""
    shorter = min(len(one), len(other))
    start = next((at for at in range(shorter) if one[at] != other[at]), shorter)
    ends = range(1, shorter - start + 1)
    end = next((at - 1 for at in ends if one[-at] != other[-at]), shorter - start)
    return one[start : len(one) - end], other[start : len(other) - end]
