"""Strengths out of battles: the likelihood's own conditions, ties, groups, and intervals that cover."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.rankings import MOST, PRIOR_SD, Tally, strengths, win_rate

NAMES = "abcde"
TALLIES = st.dictionaries(
    st.sampled_from(list(itertools.combinations(NAMES, 2))),
    st.builds(Tally, st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)),
)


def _zermelo(wins: dict[tuple[str, str], int]) -> dict[str, float]:
    """Bradley-Terry without ties by Zermelo's (1929) iteration: log strengths that average 0."""
    names = sorted({name for pair in wins for name in pair})
    power = dict.fromkeys(names, 1.0)
    for _ in range(5_000):
        power = {
            one: sum(wins.get((one, other), 0) for other in names)
            / sum(
                (wins.get((one, other), 0) + wins.get((other, one), 0)) / (power[one] + power[other])
                for other in names
                if other != one
            )
            for one in names
        }
        mean = math.exp(sum(math.log(each) for each in power.values()) / len(names))
        power = {name: each / mean for name, each in power.items()}
    return {name: math.log(each) for name, each in power.items()}


def test_without_ties_and_with_many_battles_it_is_bradley_terry() -> None:
    wins = {("a", "b"): 700, ("b", "a"): 300, ("b", "c"): 650, ("c", "b"): 350, ("a", "c"): 800, ("c", "a"): 200}
    tallies = {
        (one, other): Tally(wins[one, other], wins[other, one], 0)
        for one, other in (("a", "b"), ("b", "c"), ("a", "c"))
    }
    expected = _zermelo(wins)
    for name, found in strengths(tallies).items():
        assert found.strength == pytest.approx(expected[name], abs=2e-3)


def test_two_s_difference_is_the_log_of_the_odds_and_its_interval_that_of_a_logit() -> None:
    found = strengths({("a", "b"): Tally(7_500, 2_500, 0)})
    assert found["a"].strength - found["b"].strength == pytest.approx(math.log(3), abs=1e-3)
    half = 1.96 * math.sqrt(1 / 7_500 + 1 / 2_500) / 2
    assert found["a"].high - found["a"].strength == pytest.approx(half, rel=1e-2)


@given(TALLIES)
def test_everyone_s_expected_points_are_those_that_were_won_less_the_prior(
    tallies: dict[tuple[str, str], Tally],
) -> None:
    """Davidson's likelihood equations, with ν from its own: at the most likely strengths, expected is observed."""
    found = strengths(tallies)
    fought = {pair: tally for pair, tally in tallies.items() if tally.battles}
    assert set(found) == {name for pair in fought for name in pair}
    log_nu = _log_nu(fought, {name: each.strength for name, each in found.items()})
    for name, each in found.items():
        short = 0.0
        for (one, other), tally in fought.items():
            if name in (one, other):
                mine = tally if name == one else tally.mirrored()
                win, _, tie = _chances(each.strength - found[other if name == one else one].strength, log_nu)
                short += mine.wins + mine.ties / 2 - mine.battles * (win + tie / 2)
        assert short == pytest.approx(each.strength / PRIOR_SD**2, abs=1e-5)


def _chances(difference: float, log_nu: float) -> tuple[float, float, float]:
    weights = math.exp(difference / 2), math.exp(-difference / 2), math.exp(log_nu)
    return weights[0] / sum(weights), weights[1] / sum(weights), weights[2] / sum(weights)


def _log_nu(fought: dict[tuple[str, str], Tally], theta: dict[str, float]) -> float:
    """Where the ties that are expected are those observed, less the prior: by bisection."""
    low, high = -60.0, 60.0
    for _ in range(200):
        middle = (low + high) / 2
        expected = sum(
            tally.battles * _chances(theta[one] - theta[other], middle)[2] for (one, other), tally in fought.items()
        )
        if sum(tally.ties for tally in fought.values()) - expected - middle / PRIOR_SD**2 > 0:
            low = middle
        else:
            high = middle
    return low


@given(TALLIES, st.permutations(NAMES))
def test_names_and_sides_and_order_do_not_matter(tallies: dict[tuple[str, str], Tally], other_names: list[str]) -> None:
    renamed = dict(zip(NAMES, other_names, strict=True))
    mirrored = {
        (renamed[other], renamed[one]): tally.mirrored() for (one, other), tally in reversed(list(tallies.items()))
    }
    found, again = strengths(tallies), strengths(mirrored)
    for name, each in found.items():
        assert list(again[renamed[name]][:3]) == pytest.approx(list(each[:3]), abs=1e-6)


@given(TALLIES, st.sampled_from(list(itertools.combinations(NAMES, 2))))
def test_one_more_win_makes_one_stronger_than_the_other(
    tallies: dict[tuple[str, str], Tally], pair: tuple[str, str]
) -> None:
    before = {**tallies, pair: tallies.get(pair, Tally(0, 0, 0)).plus(Tally(1, 0, 0))}
    after = {**tallies, pair: before[pair].plus(Tally(1, 0, 0))}
    one, other = pair
    gap = [found[one].strength - found[other].strength for found in map(strengths, (before, after))]
    assert gap[0] < gap[1]


def test_each_group_that_battles_connect_stands_by_itself_the_largest_first() -> None:
    found = strengths({("x", "y"): Tally(9, 1, 0), ("a", "b"): Tally(5, 5, 0), ("b", "c"): Tally(9, 1, 0)})
    assert {name: each.group for name, each in found.items()} == {"a": 0, "b": 0, "c": 0, "x": 1, "y": 1}
    for members in ("abc", "xy"):
        assert sum(found[name].strength for name in members) == pytest.approx(0.0, abs=1e-9)
    alone = strengths({("x", "y"): Tally(9, 1, 0)})["x"]
    assert list(found["x"][:3]) == pytest.approx(list(alone[:3]), abs=0.1)  # only how likely a tie is, they share


@pytest.mark.parametrize(
    "tally",
    [
        Tally(1, 0, 0),
        Tally(0, 0, 1),
        Tally(2**53, 0, 0),
        Tally(0, 0, 2**53),
        Tally(2**53, 2**53, 2**53),
        Tally(0, 1, 9),
    ],
)
def test_strengths_exist_whatever_was_counted(tally: Tally) -> None:
    for each in strengths({("a", "b"): tally, ("b", "c"): Tally(1, 0, 0)}).values():
        assert all(map(math.isfinite, each))
        assert each.low < each.strength < each.high


def test_battles_with_oneself_or_none_at_all_tell_nothing() -> None:
    assert strengths({}) == {}
    assert strengths({("a", "a"): Tally(3, 3, 0), ("a", "b"): Tally(0, 0, 0)}) == {}


def test_more_names_than_can_be_ranked_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 2,000"):
        strengths({("a", f"n{number}"): Tally(1, 0, 0) for number in range(MOST)})


@pytest.mark.parametrize("nu", [0.0, 0.6])
def test_intervals_cover_the_true_strengths(nu: float) -> None:
    rng = np.random.default_rng(17)
    covered = []
    for _ in range(100):
        theta = rng.normal(0, 1, 6)
        theta -= theta.mean()
        tallies = {}
        for one, other in itertools.combinations(range(6), 2):
            half = (theta[one] - theta[other]) / 2
            weights = np.array([np.exp(half), np.exp(-half), nu])
            tallies[str(one), str(other)] = Tally(*map(int, rng.multinomial(10, weights / weights.sum())))
        found = strengths(tallies)
        covered += [found[str(each)].low <= theta[each] <= found[str(each)].high for each in range(6)]
    assert 0.92 <= np.mean(covered) <= 0.98


@given(st.builds(Tally, st.integers(0, 2**53), st.integers(0, 2**53), st.integers(1, 2**53)))
def test_a_win_rate_lies_in_its_interval_and_turns_round_with_the_sides(tally: Tally) -> None:
    share, low, high = win_rate(tally)
    assert 0 <= low <= share <= high <= 1
    assert [1 - each for each in win_rate(tally.mirrored())] == pytest.approx([share, high, low])


def test_a_win_rate_is_never_the_bare_ratio() -> None:
    assert win_rate(Tally(1, 0, 0))[0] == pytest.approx(2 / 3)
    assert win_rate(Tally(0, 0, 4))[0] == 0.5
