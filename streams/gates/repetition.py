"""Repetition: how much of an answer says again what it said, by lines and by runs of words.

After Gopher's rules (Rae et al. 2021, arXiv:2112.11446, A.1.1), as one share; a text without spaces by its characters.
"""

from __future__ import annotations

from typing import Final

from schemas.curation import Profile
from schemas.outcomes import GateOutcome
from schemas.reasons import Reason
from streams.gates import Candidate, Gate

RUN: Final = 4
"""So many words in a row count as said again when they come again."""

_LONG_WORD_CHARS: Final = 40
"""Words longer than this on average are none."""

_FEWEST: Final = 20
"""Below so many words a share says nothing."""


class Repetition(Gate):
    """Drops an answer of which an extreme share repeats; grades 1 - share."""

    name = "repetition"
    unit = "of the answer repeats"

    def __init__(self, profile: Profile) -> None:
        self._most = profile.max_repetition
        self.wants = f"at most {self._most:g}"

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`. The value is a share."""
        share = _repeated(sample.output, sample.words)
        return self.outcome(share, Reason.REPETITION if share > self._most else None)

    def grade(self, value: float) -> float:
        """See `Gate.grade`."""
        return 1 - value


def _repeated(text: str, words: list[str]) -> float:
    units: str | list[str] = text if len(text) > _LONG_WORD_CHARS * len(words) else words
    runs = len(units) - RUN + 1
    if runs < _FEWEST:
        return 0.0
    different = len(set(zip(units, units[1:], units[2:], units[3:], strict=False)))
    share = 1 - different / runs
    if text.count("\n") >= RUN:
        lines = [line for line in text.split("\n") if line]
        again = sum(map(len, lines)) - sum(map(len, set(lines)))
        share = max(share, again / len(text))
    return round(share, 4)
