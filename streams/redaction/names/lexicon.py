"""What is known of a word by itself: how common it is, how it is written, its cluster, and the lists it is in."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

LISTS: Final[tuple[tuple[str, int], ...]] = (
    ("first", 2),
    ("last", 2),
    ("city", 2),
    ("place", 2),
    ("place_head", 1),
    ("place_tail", 1),
    ("org", 1),
    ("org_head", 1),
    ("org_tail", 1),
    ("org_suffix", 1),
    ("street", 1),
    ("title", 1),
    ("demonym", 1),
    ("date", 1),
    ("other", 1),
)
"""Name and bits of each list in `Entry.lists`, lowest bits first; two bits hold a grade from 1 (rare) to 3 (common)."""

UNKNOWN: Final = (0, 0, 0, 0, 0, 0)


class Lexicon:
    """Lower-case word → `(rarity, title, upper, lower_cluster, title_cluster, lists)`, all int.

    - rarity: 0 unknown, 1 (log-probability below -18) … 7 (above -9)
    - title, upper: how often the corpus writes it Title or UPPER against lower case, 0 unknown, 1 never … 7 always
    - clusters: Brown clusters of the lower-case and the Title form, first bit lowest; 0 unknown
    - lists: see `LISTS`
    """

    def __init__(self, words: list[str], columns: npt.NDArray[np.uint32]) -> None:
        """`columns`: uint32, shape (len(words), 6)."""
        self._rows = dict(zip(words, range(len(words)), strict=True))
        self._columns = columns

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, word: str) -> tuple[int, ...]:
        row = self._rows.get(word)
        return UNKNOWN if row is None else tuple(self._columns[row].tolist())

    def everyday(self, word: str) -> bool:
        """Whether a word is common, and mostly written in lower case; numbers and marks count as such."""
        if not word[0].isalpha():
            return True
        rarity, title, *_ = self[_key(word)]
        return rarity >= 4 and title <= 3

    def capitalised_anyway(self, word: str) -> bool:
        """Whether a word has a capital without being a name: a people, a language, a month, a feast."""
        found = grades(self[_key(word)][5])
        return ("demonym" in found or "date" in found) and not {"first", "place"} & set(found)


def _key(word: str) -> str:
    return word.lower().replace("’", "'")


def grades(lists: int) -> dict[str, int]:
    """The lists that a word is in, each with its grade."""
    found = {}
    for name, bits in LISTS:
        if grade := lists & ((1 << bits) - 1):
            found[name] = grade
        lists >>= bits
    return found


def pack(found: dict[str, int]) -> int:
    """The inverse of `grades`."""
    packed = shift = 0
    for name, bits in LISTS:
        packed |= min(found.get(name, 0), (1 << bits) - 1) << shift
        shift += bits
    return packed
