"""Truncation: an answer that stops before its end, as the model said or as the text looks."""

from __future__ import annotations

import re
from typing import Final

from schemas.curation import Profile
from schemas.outcomes import GateOutcome
from schemas.reasons import Reason
from streams.gates import Candidate, Gate

KNOWN: Final = 1.0
SUSPECTED: Final = 0.5

_CUT: Final = "length"
"""What OpenAI's API gives as `finish_reason` of an answer that reached the limit of tokens."""

_LONG_WORDS: Final = 25
"""A shorter answer ends as it likes: it may be a title, a name, a number."""

_GOES_ON: Final = frozenset(",;-–—([{/")
_ITEM: Final = re.compile(r"\s*(?:[-*•#|>]|\d{1,3}[.)])")
"""A line of a list, a heading or a table, which needs no full stop."""


class Truncated(Gate):
    """Drops, as the profile says, what is known or suspected to be cut; grades 1 - value."""

    name = "truncated"
    wants = "no: 1 is known, 0.5 is suspected"

    def __init__(self, profile: Profile) -> None:
        self._drops = {"known": KNOWN, "suspected": SUSPECTED, "never": 2.0}[profile.drop_truncated]

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`. What a person wrote is whole."""
        normalised = sample.normalised
        if normalised.origin == "human":
            return self.outcome(0.0)
        if normalised.joined.interaction.finish_reason == _CUT:
            value = KNOWN
        else:
            value = SUSPECTED if len(sample.words) >= _LONG_WORDS and _looks_cut(sample.output) else 0.0
        return self.outcome(value, Reason.TRUNCATED if value >= self._drops else None)

    def grade(self, value: float) -> float:
        """See `Gate.grade`."""
        return 1 - value


def _looks_cut(text: str) -> bool:
    if text.count("```") % 2:
        return True
    end = text.rstrip()
    last = end[-1:]
    if not (last in _GOES_ON or (last.isascii() and last.isalnum())):
        return False
    return _ITEM.match(end, end.rfind("\n") + 1) is None
