"""score: a thumb, five stars and a win rate mean one thing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Score
from streams.stages.join import Scored
from streams.stages.score import combine, unit_value


@pytest.mark.parametrize(
    ("score", "value"),
    [
        (Score("thumbs", value=1.0), 1.0),
        (Score("thumbs", value=0.0), 0.0),
        (Score("success", value=1.0), 1.0),
        (Score("stars", value=1.0), 0.0),
        (Score("stars", value=5.0), 1.0),
        (Score("stars", value=4.0, maximum=7.0), 0.5),
        (Score("numeric", value=-5.0, minimum=-10.0, maximum=10.0), 0.25),
        (Score("win_rate", wins=1, losses=0), 2 / 3),
        (Score("win_rate", wins=0, losses=0, ties=2), 0.5),
        (Score("win_rate", wins=98, losses=0), 0.99),
        (Score("pairwise", over="other"), None),
        (Score("correction", text="better"), None),
        (Score("comment", text="nice"), None),
    ],
)
def test_each_method_has_its_place_on_the_unit_interval(score: Score, value: float | None) -> None:
    assert unit_value(score) == (None if value is None else pytest.approx(value))


def _scored(*scores: Score) -> list[Scored]:
    return [Scored(score, index, str(index)) for index, score in enumerate(scores)]


def test_an_expert_outweighs_three_users() -> None:
    users = [Score("thumbs", value=1.0)] * 3
    expert = Score("thumbs", value=0.0, rater="expert")
    combined = combine(_scored(*users, expert))
    assert combined.score == pytest.approx(3 / 7)


def test_confidence_grows_with_evidence() -> None:
    thumb = Score("thumbs", value=1.0)
    assert combine(_scored(thumb)).confidence == 0.5
    assert combine(_scored(*[thumb] * 9)).confidence == pytest.approx(0.9)


def test_what_only_ranks_or_says_has_no_score() -> None:
    combined = combine(_scored(Score("pairwise", over="b"), Score("pairwise", over="a"), Score("comment", text="x")))
    assert (combined.score, combined.confidence, combined.preferred_over) == (None, 0.0, ("a", "b"))


@given(st.lists(st.floats(0, 1).map(lambda v: Score("numeric", value=v, minimum=0.0, maximum=1.0)), min_size=1))
def test_the_combined_score_lies_between_the_lowest_and_the_highest(scores: list[Score]) -> None:
    values = [score.value or 0.0 for score in scores]
    combined = combine(_scored(*scores))
    assert combined.score is not None
    assert min(values) - 1e-9 <= combined.score <= max(values) + 1e-9
    assert 0 < combined.confidence < 1
