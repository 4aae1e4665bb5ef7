"""Scores that can be trusted: a simulation in which the truth is known.

    python benchmarks/scores.py [--interactions N] [--judges N] [--seed N]

Answers of a quality q, uniform in [0, 1], are judged by each method through `combine`, as in the pipeline: thumbs,
success and what was copied rather than regenerated are up with probability q; stars are 1 + Binomial(4, q); a win rate
counts battles against answers of other qualities, in which the odds are those of the qualities and some tie; tests pass
with probability q.

- agreement: Spearman's ρ and Kendall's τ_b between the scores of two methods, and of each with q.
- coverage: how often a 95 % interval holds what it is for: the score's the method's expected value, by number of
  judges; a win rate's the probability of winning; Bradley-Terry's the strength.
- swing: what one person with 10,000 thumbs up does to the score of a poor answer that others judged, and what they
  would do to the mean of all thumbs.

A score's interval takes a judgement for one yes or no: what is graded (stars, tests, signals by their weight) is surer
than that, and its coverage above 95 %.

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from schemas.events import Score
from streams.rankings import Tally, strengths, win_rate
from streams.stages.join import Scored
from streams.stages.score import Combined, combine

BATTLES = 100
TIES = 0.15
"""Share of battles that end in a tie."""

Judge = Callable[[np.random.Generator, float, str], Score]
Array = NDArray[np.float64]


class Agreement(NamedTuple):
    """How alike two orders are."""

    one: str
    other: str
    spearman: float
    kendall: float


class Swing(NamedTuple):
    """The score that a poor answer has, and by how much one person moves it."""

    score: float
    capped: float
    uncapped: float


def _thumb(rng: np.random.Generator, quality: float, judge: str) -> Score:
    return Score("thumbs", float(rng.random() < quality), by=judge)


def _success(rng: np.random.Generator, quality: float, judge: str) -> Score:
    return Score("success", float(rng.random() < quality), by=judge)


def _stars(rng: np.random.Generator, quality: float, judge: str) -> Score:
    return Score("stars", 1.0 + rng.binomial(4, quality), by=judge)


def _signal(rng: np.random.Generator, quality: float, judge: str) -> Score:
    return Score("copied" if rng.random() < quality else "regenerated", by=judge)


def _tests(rng: np.random.Generator, quality: float, judge: str) -> Score:
    passed = int(rng.binomial(5, quality))
    return Score("tests_passed", wins=passed, losses=5 - passed, by=judge)


def _battles(rng: np.random.Generator, quality: float, judge: str) -> Score:
    """The odds of winning are q to the other's quality."""
    others = rng.random(BATTLES)
    tied = rng.random(BATTLES) < TIES
    won = (rng.random(BATTLES) < quality / np.maximum(quality + others, 1e-12)) & ~tied
    ties, wins = int(tied.sum()), int(won.sum())
    return Score("win_rate", wins=wins, losses=BATTLES - ties - wins, ties=ties, by=judge)


METHODS: Mapping[str, Judge] = {
    "thumbs": _thumb,
    "stars": _stars,
    "success": _success,
    "win_rate": _battles,
    "signals": _signal,
    "tests_passed": _tests,
}
ALONE = frozenset({"win_rate"})
"""One judge's suffices: it counts many battles."""


def judged(rng: np.random.Generator, quality: float, method: str, judges: int) -> Combined:
    """What so many judges say of an answer by a method."""
    judge = METHODS[method]
    return combine([Scored(judge(rng, quality, f"j{each}"), each, f"e{each}") for each in range(judges)])


def agreements(interactions: int, judges: int, seed: int) -> list[Agreement]:
    """Of every two methods on the same answers, and of each with the truth."""
    rng = np.random.default_rng(seed)
    qualities = rng.random(interactions)
    scores = {"quality": qualities}
    for method in METHODS:
        made = [judged(rng, quality, method, 1 if method in ALONE else judges).score for quality in qualities]
        scores[method] = np.array(made, float)
    return [
        Agreement(one, other, spearman(scores[one], scores[other]), kendall(scores[one], scores[other]))
        for one, other in itertools.combinations(scores, 2)
    ]


def score_coverage(method: str, judges: int, answers: int, seed: int) -> tuple[float, float]:
    """How often the interval holds the expected value, which is the quality; and its mean width."""
    rng = np.random.default_rng(seed)
    held, width = 0, 0.0
    for quality in rng.random(answers):
        combined = judged(rng, quality, method, judges)
        assert combined.low is not None
        assert combined.high is not None
        held += combined.low <= quality <= combined.high
        width += combined.high - combined.low
    return held / answers, width / answers


def win_rate_coverage(battles: int, answers: int, seed: int) -> tuple[float, float]:
    """The same for a win rate of so many battles without ties: of the probability of winning."""
    rng = np.random.default_rng(seed)
    chances = rng.random(answers)
    wins = rng.binomial(battles, chances)
    ends = np.array([win_rate(Tally(int(each), battles - int(each), 0))[1:] for each in wins])
    held = (ends[:, 0] <= chances) & (chances <= ends[:, 1])
    return float(held.mean()), float((ends[:, 1] - ends[:, 0]).mean())


def strength_coverage(battles: int, nu: float, tournaments: int, seed: int, names: int = 8) -> tuple[float, float]:
    """The same for strengths, drawn from N(0, 1), after so many battles of each two; `nu` is Davidson's, 0 no ties."""
    rng = np.random.default_rng(seed)
    held, width = 0, 0.0
    for _ in range(tournaments):
        theta = rng.normal(0, 1, names)
        theta -= theta.mean()
        tallies = {}
        for one, other in itertools.combinations(range(names), 2):
            half = (theta[one] - theta[other]) / 2
            weights = np.array([np.exp(half), np.exp(-half), nu])
            tallies[str(one), str(other)] = Tally(*map(int, rng.multinomial(battles, weights / weights.sum())))
        for name, found in strengths(tallies).items():
            held += found.low <= theta[int(name)] <= found.high
            width += found.high - found.low
    return held / (tournaments * names), width / (tournaments * names)


def swing(judges: int, thumbs: int, seed: int) -> Swing:
    """What one person's thumbs up do to an answer of quality ⅕, as it is and as a mean of all thumbs."""
    rng = np.random.default_rng(seed)
    honest = [_thumb(rng, 0.2, f"j{each}") for each in range(judges)]
    flood = [Score("thumbs", 1.0, by="bot")] * thumbs
    before, after = (
        combine([Scored(score, at, f"e{at}") for at, score in enumerate(said)]).score
        for said in (honest, [*honest, *flood])
    )
    assert before is not None
    assert after is not None
    plain = sum(score.value or 0.0 for score in [*honest, *flood]) / (judges + thumbs)
    return Swing(before, after - before, plain - before)


def spearman(one: Array, other: Array) -> float:
    """Pearson's correlation of the ranks, ties sharing their mean rank."""
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def kendall(one: Array, other: Array) -> float:
    """Kendall's τ_b: concordant less discordant pairs, over those that neither ties."""
    signs = [np.sign(each[:, None] - each[None, :]) for each in (one, other)]
    return float((signs[0] * signs[1]).sum() / np.sqrt((signs[0] ** 2).sum() * (signs[1] ** 2).sum()))


def _ranks(each: Array) -> Array:
    _, place, count = np.unique(each, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: Array = (last - (count - 1) / 2)[place]
    return ranks


def microseconds_a_sample(seed: int, samples: int = 5_000) -> float:
    """CPU time of `combine` for what the dialogues have: one to three judgements."""
    rng = np.random.default_rng(seed)
    lists = [
        [Scored(judge(rng, 0.5, f"j{at}"), at, f"e{at}") for at, judge in enumerate((_thumb, _stars, _signal)[:count])]
        for count in rng.integers(1, 4, samples)
    ]
    began = time.process_time()
    for each in lists:
        combine(each)
    return (time.process_time() - began) / samples * 1e6


def main() -> None:
    """Run the simulation and print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, default=1_000)
    parser.add_argument("--judges", type=int, default=20)
    parser.add_argument("--seed", type=int, default=6)
    given = parser.parse_args()
    agreed = agreements(given.interactions, given.judges, given.seed)
    covered = {
        f"{method}, {judges} judges": score_coverage(method, judges, 2 * given.interactions, given.seed)
        for method in ("thumbs", "stars", "signals", "tests_passed")
        for judges in (1, 5, 20)
    }
    covered |= {
        f"win rate, {count} battles": win_rate_coverage(count, 20 * given.interactions, given.seed)
        for count in (1, 5, 30, 300)
    }
    covered |= {
        f"strength, {count} battles a pair{', ties' * (nu > 0)}": strength_coverage(count, nu, 200, given.seed)
        for count in (3, 10, 50)
        for nu in (0.0, 0.6)
    }
    moved = swing(given.judges, 10_000, given.seed)
    us = microseconds_a_sample(given.seed)
    show(agreed, covered, moved, us)
    truth = [each for each in agreed if each.one == "quality"]
    pairs = [each for each in agreed if each.one != "quality"]
    print(
        json.dumps(
            {
                "interactions": given.interactions,
                "judges": given.judges,
                "spearman_min": round(min(each.spearman for each in pairs), 4),
                "kendall_min": round(min(each.kendall for each in pairs), 4),
                "spearman_with_quality_min": round(min(each.spearman for each in truth), 4),
                "coverage_min": round(min(share for share, _ in covered.values()), 4),
                "coverage": {name: round(share, 4) for name, (share, _) in covered.items()},
                "swing_capped": round(moved.capped, 4),
                "swing_uncapped": round(moved.uncapped, 4),
                "us_per_sample": round(us, 1),
            },
            ensure_ascii=False,
        )
    )


def show(agreed: Sequence[Agreement], covered: Mapping[str, tuple[float, float]], moved: Swing, us: float) -> None:
    """The tables."""
    console = Console(width=100)
    table = Table("agreement", "with", "Spearman's ρ", "Kendall's τ_b")
    for each in agreed:
        table.add_row(each.one, each.other, f"{each.spearman:.3f}", f"{each.kendall:.3f}")
    console.print(table)
    table = Table("95 % interval", "coverage", "mean width")
    for name, (share, width) in covered.items():
        table.add_row(name, f"{share:.3f}", f"{width:.3f}")
    console.print(table)
    console.print(
        f"10,000 thumbs up of one person: {moved.score:.3f} → {moved.score + moved.capped:.3f}, "
        f"as a mean of all thumbs {moved.score + moved.uncapped:.3f}"
    )
    console.print(f"combine: {us:.1f} µs a sample")


if __name__ == "__main__":
    main()
