"""score: raw judgements of every method become one score in [0, 1] with a confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from schemas.curation import Scoring
from schemas.events import Score
from streams.stages.join import Scored

VERSION: Final = "score-1"


class Combined(Struct, frozen=True):
    """`score` in [0, 1], None if nothing rates; `confidence` in [0, 1); ids that this one was preferred over."""

    score: float | None
    confidence: float
    preferred_over: tuple[str, ...]


def combine(scores: Sequence[Scored], rules: Scoring = Scoring()) -> Combined:
    """The weighted mean of all scores that rate. Rankings and demonstrations rate nothing by themselves."""
    rated = [
        (value, rules.weights[held.score.rater]) for held in scores if (value := unit_value(held.score)) is not None
    ]
    weight = sum(weight for _, weight in rated)
    preferred = tuple(sorted({held.score.over for held in scores if held.score.over is not None}))
    if not rated:
        return Combined(None, 0.0, preferred)
    mean = sum(value * weight for value, weight in rated) / weight
    return Combined(mean, weight / (weight + rules.prior), preferred)


def unit_value(score: Score) -> float | None:
    """A score on [0, 1]; None for methods that do not rate.

    win_rate is the posterior mean under a uniform prior, ties counting half: (wins + ties/2 + 1) / (battles + 2).
    """
    match score.method:
        case "thumbs" | "success":
            return score.value
        case "stars":
            assert score.value is not None
            return (score.value - 1) / ((5.0 if score.maximum is None else score.maximum) - 1)
        case "numeric":
            assert score.value is not None and score.minimum is not None and score.maximum is not None
            return (score.value - score.minimum) / (score.maximum - score.minimum)
        case "win_rate":
            wins, losses, ties = score.wins or 0, score.losses or 0, score.ties or 0
            return (wins + ties / 2 + 1) / (wins + losses + ties + 2)
        case _:
            return None
