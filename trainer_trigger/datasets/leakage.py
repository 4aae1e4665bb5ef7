"""Whether a prompt is nearly the same as one of a golden set or harm suite.

Two prompts are nearly the same if the Jaccard similarity of their shingles (`streams.stages.dedup`) is at least 0.7, in
all their turns or in the last turn of the user alone. A last turn of a few words, such as "go on", says too little
alone: there all turns count, or it is the whole of a line word for word, for a line of one turn says what it is about.
Shingles ignore case and punctuation, and a text of one or two words is one shingle, so of short prompts only the same
ones are alike.

What is shared is counted exactly, over an index from shingles to the suite's lines: these suites are small, and a
sketch that overlooks one in a hundred would let it leak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from streams.stages.dedup import SHINGLE_WORDS, Hashes, shingle_hashes
from trainer_trigger.datasets.suites import Prompt

ALIKE: Final = 0.7
TELLING_WORDS: Final = 8
"""From so many words on, the last turn is compared alone."""

NOTHING: Final = 0
"""Instead of a line, which are counted from 1."""


class Index:
    """The prompts of a suite, to be compared with."""

    def __init__(self, prompts: Mapping[int, Prompt]) -> None:
        self._lines = np.array(list(prompts), np.int64)
        self._whole = _Shingles([prompt.whole for prompt in prompts.values()])
        self._last = _Shingles([prompt.last for prompt in prompts.values()], _TELLING)
        turns = [last if last.strip() == whole.strip() else "" for last, whole in prompts.values()]
        self._turn = _Shingles(turns)
        self._same = {run: place for place, run in reversed(list(enumerate(_exact(turns)))) if run}

    def alike(self, prompts: Sequence[Prompt]) -> list[int]:
        """For each prompt the line of the suite that is most like it, the first of equals, or NOTHING."""
        turns = [prompt.last for prompt in prompts]
        found = zip(
            self._whole.best([prompt.whole for prompt in prompts]),
            self._last.best(turns, _TELLING),
            self._turn.best(turns, _TELLING),
            [(1.0, -self._same[run]) if run in self._same else (0.0, 0) for run in _exact(turns)],
            strict=True,
        )
        return [
            int(self._lines[-place]) if similar >= ALIKE else NOTHING
            for similar, place in (max(each) for each in found)
        ]


_TELLING: Final = TELLING_WORDS - SHINGLE_WORDS + 1
"""Shingles of the shortest last turn that is compared alone."""


class _Shingles:
    """An index from shingles to texts."""

    def __init__(self, texts: Sequence[str], least: int = 1) -> None:
        sets = _sets(texts, least)
        self._sizes = np.array([len(each) for each in sets], np.int64)
        shingles = np.concatenate([*sets, np.empty(0, np.uint32)])
        owners = np.repeat(np.arange(len(sets)), self._sizes)
        order = np.argsort(shingles, kind="stable")
        self._shingles, self._owners = shingles[order], owners[order]

    def best(self, texts: Sequence[str], least: int = 1) -> list[tuple[float, int]]:
        """For each text its highest similarity and minus the place of the text that has it; (0, 0) for none."""
        found = []
        for own in _sets(texts, least):
            start = np.searchsorted(self._shingles, own, "left")
            shared = np.searchsorted(self._shingles, own, "right") - start
            hits = np.flatnonzero(shared)
            if not len(hits):
                found.append((0.0, 0))
                continue
            owners = np.concatenate([self._owners[start[hit] : start[hit] + shared[hit]] for hit in hits])
            counts = np.bincount(owners, minlength=len(self._sizes))
            similar = counts / (self._sizes + len(own) - counts)
            place = int(np.argmax(similar))
            found.append((float(similar[place]), -place))
        return found


def _exact(texts: Sequence[str]) -> list[bytes]:
    """Equal for texts of the same words in the same order; empty without words."""
    return [run.tobytes() for run in shingle_hashes(texts)]


def _sets(texts: Sequence[str], least: int) -> list[Hashes]:
    """The distinct shingles of each text; none of one that has fewer than `least` runs."""
    return [np.unique(run) if len(run) >= least else np.empty(0, np.uint32) for run in shingle_hashes(texts)]
