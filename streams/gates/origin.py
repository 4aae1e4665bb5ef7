"""Origin: whose output it is. What a tuned model wrote does not train its successor before a person has reviewed it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from schemas.outcomes import Origin as Origins
from streams.stages.normalise import Normalised

_PERSONS: Final = frozenset(("user", "expert"))
"""Raters who write themselves: a correction by a model or a metric is a model's."""


class Origin(Struct, frozen=True):
    """`origin` of the output; `reviewed` by a person; `awaits_review`: until then it may only be a rejected answer."""

    origin: Origins
    reviewed: bool
    awaits_review: bool


class Origination:
    """Tells the origin, by patterns of the names of tuned models."""

    def __init__(self, tuned_models: Iterable[str]) -> None:
        patterns = [fnmatch.translate(pattern.lower()) for pattern in tuned_models]
        self._tuned = re.compile("|".join(patterns)) if patterns else None

    def __call__(self, normalised: Normalised) -> Origin:
        """A review is a person's approval or edit; a user's thumb is none."""
        review = normalised.joined.review
        reviewed = review is not None and review.decision != "reject"
        if normalised.origin == "human":
            by_person = _by_person(normalised)
            return Origin("human" if by_person else "unknown", reviewed, not (by_person or reviewed))
        interaction = normalised.joined.interaction
        names = [name for name in (interaction.model, interaction.model_version) if name is not None]
        if self._tuned is not None and any(self._tuned.match(name.lower()) for name in names):
            return Origin("tuned", reviewed, not reviewed)
        return Origin("base" if interaction.model is not None else "unknown", reviewed, awaits_review=False)


def _by_person(normalised: Normalised) -> bool:
    """Whether a person wrote the better output: an edit is a person's, else the latest correction's rater says so."""
    joined = normalised.joined
    if joined.review is not None and joined.review.decision == "edit":
        return True
    raters = [held.score.rater for held in joined.scores if held.score.method in ("correction", "demonstration")]
    return bool(raters) and raters[-1] in _PERSONS
