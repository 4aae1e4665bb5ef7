"""The table of score methods: the fields that carry each, the check of what they hold, and its version."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from schemas.errors import InvalidEvent
from schemas.events import Score, ScoreMethod

Problem = tuple[str, str]
"""The field that is wrong, and what it should be."""


class Method(Struct, frozen=True):
    """One method of judging. Other fields than `fields` are kept and say nothing.

    `version` grows when the same raw values come to mean another score. An `implicit` one is what was done with the
    answer and not a verdict on it: it weighs less.
    """

    fields: tuple[str, ...]
    check: Callable[[Score], Problem | None]
    version: int = 1
    implicit: bool = False


def check_score(score: Score, field: str = "score") -> None:
    """Raise `InvalidEvent` naming the field if the values of a score do not fit its method."""
    problem = _anywhere(score) or METHODS[score.method].check(score)
    if problem is not None:
        name, words = problem
        raise InvalidEvent(f"{field}.{name}", words)


def stars(score: Score) -> float:
    """How many stars there are."""
    return 5.0 if score.maximum is None else score.maximum


def battles(score: Score) -> int:
    """How many battles, or tests, were counted."""
    return (score.wins or 0) + (score.losses or 0) + (score.ties or 0)


def _anywhere(score: Score) -> Problem | None:
    for name, number in (("value", score.value), ("minimum", score.minimum), ("maximum", score.maximum)):
        if number is not None and not math.isfinite(number):
            return name, "must be a finite number"
    if score.by is not None and not score.by.strip():
        return "by", "must not be empty; leave it out where the interaction's own user judged"
    return None


def _verdict(score: Score) -> Problem | None:
    return None if score.value in (0.0, 1.0) else ("value", f"{score.method} takes up/down, true/false or 1/0")


def _stars(score: Score) -> Problem | None:
    top = stars(score)
    if top != int(top) or not 2 <= top <= 100:
        return "maximum", "stars need a whole maximum from 2 to 100"
    if score.value is None or score.value != int(score.value) or not 1 <= score.value <= top:
        return "value", f"stars must be a whole number from 1 to {top:.0f}"
    return None


def _numeric(score: Score) -> Problem | None:
    if score.minimum is None or score.maximum is None or not score.minimum < score.maximum:
        return "minimum", "numeric needs its range: minimum below maximum"
    if not math.isfinite(score.maximum - score.minimum):
        return "maximum", "the range is too wide"
    if score.value is None or not score.minimum <= score.value <= score.maximum:
        return "value", f"must lie within {score.minimum:g} and {score.maximum:g}"
    return None


def _win_rate(score: Score) -> Problem | None:
    if score.wins is None or score.losses is None:
        return "wins", "win_rate needs wins and losses (and ties, if any)"
    return None if battles(score) else ("wins", "win_rate needs at least one battle")


def _pairwise(score: Score) -> Problem | None:
    if score.over is None:
        return "over", "pairwise needs the interaction id it was preferred over"
    if score.value not in (None, 1.0, 0.5):
        return "value", "pairwise takes 1 or nothing for preferred, 0.5 for a tie; a loss is the other's win"
    return None


def _text(score: Score) -> Problem | None:
    return None if (score.text or "").strip() else ("text", f"{score.method} needs a text")


def _signal(score: Score) -> Problem | None:
    return None if score.value in (None, 1.0) else ("value", f"{score.method} is sent when it happens and needs none")


def _edited(score: Score) -> Problem | None:
    if score.value is None and score.text is None:
        return "text", "edited needs what the answer was made into, or in value how much of it was kept"
    if score.value is not None and not 0 <= score.value <= 1:
        return "value", "must lie within 0 (nothing was kept) and 1 (all of it)"
    return None


def _tests(score: Score) -> Problem | None:
    if score.wins is None and score.losses is None:
        return _verdict(score)
    if score.wins is None or score.losses is None:
        missing = "wins" if score.wins is None else "losses"
        return missing, "tests_passed needs wins (passed) and losses (failed), or a value of 1/0"
    if score.ties:
        return "ties", "a test passes or fails"
    return None if battles(score) else ("wins", "tests_passed needs at least one test")


METHODS: Final[Mapping[ScoreMethod, Method]] = {
    "thumbs": Method(("value",), _verdict),
    "stars": Method(("value", "maximum"), _stars),
    "numeric": Method(("value", "minimum", "maximum"), _numeric),
    "success": Method(("value",), _verdict),
    "win_rate": Method(("wins", "losses", "ties"), _win_rate),
    "pairwise": Method(("over", "value"), _pairwise, version=2),  # 2: with ties
    "correction": Method(("text",), _text),
    "demonstration": Method(("text",), _text),
    "comment": Method(("text",), _text),
    "copied": Method(("value",), _signal, implicit=True),
    "regenerated": Method(("value",), _signal, implicit=True),
    "edited": Method(("text", "value"), _edited, implicit=True),
    "abandoned": Method(("value",), _signal, implicit=True),
    "tests_passed": Method(("wins", "losses", "value"), _tests, implicit=True),
}
