"""The simulation of scores, small: the methods agree in order, intervals cover, one person swings nothing."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.scores import (
    agreements,
    kendall,
    score_coverage,
    spearman,
    strength_coverage,
    swing,
    win_rate_coverage,
)


def test_scores_by_each_method_agree_in_order_with_each_other_and_with_the_truth() -> None:
    found = agreements(interactions=150, judges=20, seed=6)
    assert len(found) == 21
    assert min(each.spearman for each in found if each.one == "quality") > 0.85
    assert min(each.spearman for each in found) > 0.8
    assert min(each.kendall for each in found) > 0.6


@pytest.mark.parametrize("judges", [1, 5, 20])
@pytest.mark.parametrize("method", ["thumbs", "stars", "signals", "tests_passed"])
def test_a_score_s_interval_covers_the_quality(method: str, judges: int) -> None:
    share, width = score_coverage(method, judges, answers=300, seed=6)
    assert share >= 0.93
    assert width < 0.96


def test_a_thumb_s_interval_is_no_wider_than_it_must_be_and_narrows_with_judges() -> None:
    (few, wide), (many, narrow) = (score_coverage("thumbs", judges, answers=300, seed=6) for judges in (5, 20))
    assert max(few, many) <= 0.98
    assert narrow < 0.6 * wide


@pytest.mark.parametrize("battles", [1, 5, 30, 300])
def test_a_win_rate_s_interval_covers_the_chance_of_winning(battles: int) -> None:
    share, _ = win_rate_coverage(battles, answers=3_000, seed=6)
    assert 0.94 <= share <= 0.97


@pytest.mark.parametrize("nu", [0.0, 0.6])
def test_a_strength_s_interval_covers_it(nu: float) -> None:
    share, _ = strength_coverage(battles=10, nu=nu, tournaments=60, seed=6)
    assert 0.92 <= share <= 0.98


def test_one_person_with_ten_thousand_thumbs_moves_a_score_as_far_as_with_one() -> None:
    flood, one = (swing(judges=20, thumbs=thumbs, seed=6) for thumbs in (10_000, 1))
    assert flood.capped == one.capped < 1 / 20
    assert flood.uncapped > 0.7


def test_rank_correlations_are_those_of_the_books() -> None:
    one, other = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([2.0, 1.0, 4.0, 3.0, 5.0])
    assert [spearman(one, one), kendall(one, -one)] == pytest.approx([1.0, -1.0])
    assert spearman(one, other) == pytest.approx(1 - 6 * 4 / (5 * 24))
    assert kendall(one, other) == pytest.approx((8 - 2) / 10)
    tied = np.array([1.0, 1.0, 2.0])
    assert kendall(tied, np.array([1.0, 2.0, 3.0])) == pytest.approx(2 / np.sqrt(2 * 3))
