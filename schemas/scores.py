"""The table of score methods: which fields each needs and what they may hold."""

from __future__ import annotations

import math

from schemas.errors import InvalidEvent
from schemas.events import Score


def check_score(score: Score, field: str = "score") -> None:
    """Raise `InvalidEvent` naming the field if the values of a score do not fit its method."""
    for name in ("value", "minimum", "maximum"):
        number = getattr(score, name)
        if number is not None and not math.isfinite(number):
            raise InvalidEvent(f"{field}.{name}", "must be a finite number")
    match score.method:
        case "thumbs" | "success":
            if score.value not in (0.0, 1.0):
                raise InvalidEvent(f"{field}.value", f"{score.method} takes up/down, true/false or 1/0")
        case "stars":
            _check_stars(score, field)
        case "numeric":
            _check_numeric(score, field)
        case "win_rate":
            if score.wins is None or score.losses is None:
                raise InvalidEvent(f"{field}.wins", "win_rate needs wins and losses (and ties, if any)")
            if score.wins + score.losses + (score.ties or 0) == 0:
                raise InvalidEvent(f"{field}.wins", "win_rate needs at least one battle")
        case "pairwise":
            if score.over is None:
                raise InvalidEvent(f"{field}.over", "pairwise needs the interaction id it was preferred over")
        case "correction" | "demonstration" | "comment":
            if not (score.text or "").strip():
                raise InvalidEvent(f"{field}.text", f"{score.method} needs a text")


def _check_stars(score: Score, field: str) -> None:
    top = 5.0 if score.maximum is None else score.maximum
    if top != int(top) or not 2 <= top <= 100:
        raise InvalidEvent(f"{field}.maximum", "stars need a whole maximum from 2 to 100")
    if score.value is None or score.value != int(score.value) or not 1 <= score.value <= top:
        raise InvalidEvent(f"{field}.value", f"stars must be a whole number from 1 to {top:.0f}")


def _check_numeric(score: Score, field: str) -> None:
    if score.minimum is None or score.maximum is None or not score.minimum < score.maximum:
        raise InvalidEvent(f"{field}.minimum", "numeric needs its range: minimum below maximum")
    if not math.isfinite(score.maximum - score.minimum):
        raise InvalidEvent(f"{field}.maximum", "the range is too wide")
    if score.value is None or not score.minimum <= score.value <= score.maximum:
        raise InvalidEvent(f"{field}.value", f"must lie within {score.minimum:g} and {score.maximum:g}")
