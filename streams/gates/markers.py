"""Markers: phrases of a model that refuses, or that speaks of what it does not know."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar, Final

from schemas.curation import Profile
from schemas.outcomes import GateOutcome
from streams.gates import Candidate, Gate

_OPENING_CHARS: Final = 300
"""A refusal refuses at its beginning; further on "I won't" is somebody in a story."""


class _Markers(Gate):
    """Counts phrases as whole words: `in` finds next to nothing at next to no cost, the pattern only confirms."""

    unit = "phrases"
    wants = "none"
    chars: ClassVar[int | None] = None

    def __init__(self, phrases: Iterable[str]) -> None:
        plain = sorted({" ".join(phrase.lower().replace("’", "'").split()) for phrase in phrases})
        self._patterns = [(phrase, re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)")) for phrase in plain]

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`."""
        text = sample.lowered if self.chars is None else sample.lowered[: self.chars]
        count = 0
        for phrase, pattern in self._patterns:
            if phrase in text and pattern.search(text):
                count += 1
        return self.outcome(float(count))

    def grade(self, value: float) -> float:
        """See `Gate.grade`."""
        return 0.0 if value else 1.0


class Hallucination(_Markers):
    """Phrases that go with made-up answers, anywhere."""

    name = "hallucination"

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile.hallucination_markers)


class Refusal(_Markers):
    """Phrases that refuse, at the beginning. A good refusal is worth training on, so that this weighs little."""

    name = "refusal"
    chars = _OPENING_CHARS

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile.refusal_markers)
