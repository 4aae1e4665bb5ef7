"""Rankings out of pairwise battles: Davidson's (1970) extension of Bradley-Terry to ties, with intervals.

Of competitors with strengths θ, one beats another with weight exp((θ₁ − θ₂) / 2), loses with weight exp((θ₂ − θ₁) / 2)
and ties with weight ν. Without ties this is Bradley-Terry: a difference of 1 is a factor of e in the odds. Maximum
likelihood does not exist where one has only won; a weak normal prior on each θ and on log ν makes it exist always. It
also makes the strengths of those that are connected by battles average 0; between others nothing can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.stages.score import Z_95, wilson

PRIOR_SD: Final = 3.0
"""Weak: a strength of 3 wins 95 of 100 battles against an average competitor. A ninth of a battle is worth as much."""

MOST: Final = 2_000
"""Competitors at once: the Hessian is a dense matrix, 32 MB then."""

_ENOUGH: Final = 1e-9
_STEPS: Final = 100

_Array = NDArray[np.float64]


class Tally(NamedTuple):
    """Battles between two, from the first one's side."""

    wins: int
    losses: int
    ties: int

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(self.wins + other.wins, self.losses + other.losses, self.ties + other.ties)

    def mirrored(self) -> Tally:
        """From the other's side."""
        return Tally(self.losses, self.wins, self.ties)

    @property
    def battles(self) -> int:
        """How many there were."""
        return sum(self)


class Strength(NamedTuple):
    """A competitor's θ with its 95 % interval, above the average of its `group`: 0 is the largest, then 1 and so on."""

    strength: float
    low: float
    high: float
    group: int


def win_rate(tally: Tally) -> tuple[float, float, float]:
    """The posterior mean under a uniform prior with a 95 % interval, ties counting half. Needs a battle."""
    won = tally.wins + tally.ties / 2
    low, high = wilson(won / tally.battles, tally.battles)
    mean = (won + 1) / (tally.battles + 2)
    return mean, min(low, mean), max(high, mean)


def strengths(tallies: Mapping[tuple[str, str], Tally]) -> dict[str, Strength]:
    """The strength of everyone who fought another; battles with oneself tell nothing.

    Raises `ValueError` for more than `MOST` competitors.
    """
    fought = {pair: tally for pair, tally in tallies.items() if pair[0] != pair[1] and tally.battles}
    names = sorted({name for pair in fought for name in pair})
    if len(names) > MOST:
        raise ValueError(f"{len(names):,} competitors are more than {MOST:,}")
    if not names:
        return {}
    place = {name: index for index, name in enumerate(names)}
    pairs = [(place[one], place[other]) for one, other in fought]
    groups = _groups(len(names), pairs)
    averaging = np.array([[float(one == other) for other in groups] for one in groups])
    averaging /= averaging.sum(axis=1, keepdims=True)
    theta, covariance = _fit(np.array(pairs), np.array(list(fought.values()), float), averaging)
    reach = Z_95 * np.sqrt(covariance.diagonal())
    return {
        name: Strength(float(mean), float(mean - wide), float(mean + wide), group)
        for name, mean, wide, group in zip(names, theta, reach, groups, strict=True)
    }


def _fit(pairs: NDArray[np.int64], counts: _Array, averaging: _Array) -> tuple[_Array, _Array]:
    """The most likely θ, shape (names,), and their covariance by the Hessian, each group about its average.

    `pairs` are places of names, shape (pairs, 2), `counts` wins, losses and ties, shape (pairs, 3). Newton's method on
    a concave posterior. A group's average is 0 all the way, so that `averaging`, added to the Hessian, changes no step;
    without it the many battles of a pair would drown the prior, which alone holds the average.
    """
    names = len(averaging)
    design = np.zeros((len(pairs), names))
    design[np.arange(len(pairs)), pairs[:, 0]] = 1.0
    design[np.arange(len(pairs)), pairs[:, 1]] = -1.0
    point = np.zeros(names + 1)
    value, gradient, hessian = _posterior(point, design, counts)
    for _ in range(_STEPS):
        hessian[:names, :names] += averaging * hessian.diagonal().max()
        step = np.linalg.solve(hessian, gradient)
        ahead = _posterior(point + step, design, counts)
        while ahead[0] < value and np.abs(step).max() > _ENOUGH:
            step /= 2
            ahead = _posterior(point + step, design, counts)
        point, (value, gradient, hessian) = point + step, ahead
        if np.abs(step).max() <= _ENOUGH:
            break
    hessian[:names, :names] += averaging * hessian.diagonal().max()
    centring = np.eye(names) - averaging
    return centring @ point[:names], centring @ np.linalg.inv(hessian)[:names, :names] @ centring.T


def _posterior(point: _Array, design: _Array, counts: _Array) -> tuple[float, _Array, _Array]:
    """The log posterior at θ and log ν, its gradient and its negative Hessian. `design` is ±1 a pair's two."""
    half = design @ point[:-1] / 2
    weights = np.stack([half, -half, np.full_like(half, point[-1])], axis=1)
    log_sum = np.logaddexp.reduce(weights, axis=1, keepdims=True)
    win, loss, tie = np.exp(weights - log_sum).T
    battles = counts.sum(axis=1)
    lead = (win - loss) / 2
    value = float((counts * (weights - log_sum)).sum() - (point @ point) / (2 * PRIOR_SD**2))
    of_theta = design.T @ ((counts[:, 0] - counts[:, 1]) / 2 - battles * lead)
    gradient = np.append(of_theta, counts[:, 2].sum() - battles @ tie) - point / PRIOR_SD**2
    crossed = -(design.T @ (battles * lead * tie))
    hessian = np.eye(len(point)) / PRIOR_SD**2
    hessian[:-1, :-1] += design.T @ (design * (battles * ((win + loss) / 4 - lead**2))[:, None])
    hessian[-1, :-1] += crossed
    hessian[:-1, -1] += crossed
    hessian[-1, -1] += battles @ (tie * (1 - tie))
    return value, gradient, hessian


def _groups(names: int, pairs: Iterable[tuple[int, int]]) -> Sequence[int]:
    """For each competitor the number of those that it is connected with by battles, the largest group first."""
    group = list(range(names))

    def root(at: int) -> int:
        while group[at] != at:
            group[at] = group[group[at]]
            at = group[at]
        return at

    for one, other in pairs:
        group[root(one)] = root(other)
    roots = [root(at) for at in range(names)]
    order = sorted(set(roots), key=lambda each: (-roots.count(each), each))
    return [order.index(each) for each in roots]
