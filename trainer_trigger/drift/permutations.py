"""p-values: how often a random division of the clusters differs as much as the one that is there.

p = (b + 1) / (B + 1), b of B divisions being at least as far apart: exact for any feature and any number of rows as
long as clusters can be exchanged (Phipson and Smyth, 2010). A cluster on both sides has a unit on each; they are alike,
so the sides look closer than by chance, which errs on the safe side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer_trigger.drift.categorical import Columns, jensen_shannon
from trainer_trigger.drift.text import Floats

_AT_ONCE: Final = 300
"""Divisions in memory at once."""

_STEPS: Final = (0, 99, 299, 899)
"""Divisions after which it is asked whether more are needed."""

_TIE: Final = 1e-5
"""Relative; what differs less is rounding, and counts as equal."""

Array = NDArray[np.float64]


class Distance(NamedTuple):
    """How far apart the sides are in one feature, and how far by chance alone."""

    distance: float
    """√MMD² of the text, Jensen-Shannon distance in √bits of the others."""
    by_chance: float
    """Its mean over the random divisions."""
    p: float
    permutations: int


class _Text:
    """Squared MMD of many divisions by one matrix product."""

    def __init__(self, window: Floats, reference: Floats) -> None:
        self._centred = np.concatenate([window, reference])
        self._centred -= np.ones(len(self._centred), np.float32) @ self._centred / np.float32(len(self._centred))
        self._scale = (1 / len(window) + 1 / len(reference)) ** 2
        self.floor = _TIE * _TIE * self._scale * float(np.vdot(self._centred, self._centred))

    def squared(self, divisions: Floats) -> Array:
        """Of shape (divisions,). As all features sum to zero, the window's sum says both means."""
        sums = divisions @ self._centred
        found: Array = np.einsum("ij,ij->i", sums, sums, dtype=np.float64)
        return found * self._scale


class _Columns:
    """Jensen-Shannon divergence of many divisions by one matrix product."""

    floor = _TIE * _TIE

    def __init__(self, columns: Columns, window: int) -> None:
        self._shares = columns.shares.astype(np.float32)
        self._total = columns.shares.sum(axis=0)
        self._window, self._reference = window, len(columns.shares) - window

    def squared(self, divisions: Floats) -> Array:
        sums = (divisions @ self._shares).astype(np.float64)
        return jensen_shannon(sums / self._window, np.maximum(self._total - sums, 0) / self._reference)


def distances(
    window_text: Floats,
    reference_text: Floats,
    features: Mapping[str, Columns],
    *,
    seed: int,
    permutations: int,
    alpha: float,
) -> dict[str, Distance]:
    """Distance and p-value of the text and of each other feature, whose first units are the window's.

    1. The same divisions serve all features.
    2. A feature that can no longer reach `alpha` in all `permutations` is left alone.
    3. It ends early when no feature can reach alpha / features: then Holm rejects none, however the rest turns out.
    So every decision is that of all `permutations`, and a small p-value is counted out of all of them.
    """
    window, units = len(window_text), len(window_text) + len(reference_text)
    statistics: dict[str, _Text | _Columns] = {"text": _Text(window_text, reference_text)}
    statistics |= {name: _Columns(columns, window) for name, columns in features.items()}
    there = np.zeros((1, units), np.float32)
    there[0, :window] = 1
    observed = {name: float(each.squared(there)[0]) for name, each in statistics.items()}

    beyond = dict.fromkeys(statistics, 0)
    done = dict.fromkeys(statistics, 0)
    sums = dict.fromkeys(statistics, 0.0)
    rng = np.random.default_rng(seed)
    for start, end in pairwise([*(step for step in _STEPS if step < permutations), permutations]):
        left = [name for name in statistics if reaches((beyond[name] + 1) / (permutations + 1), alpha)]
        lowest = (min(beyond.values()) + 1) / (permutations + 1)
        if start and not reaches(lowest * len(statistics), alpha):
            break
        for divisions in _divisions(rng, units, window, end - start):
            for name in left:
                each = statistics[name]
                squared = each.squared(divisions)
                beyond[name] += int((squared >= observed[name] * (1 - _TIE) - each.floor).sum())
                sums[name] += float(np.sqrt(squared).sum())
                done[name] += len(divisions)
    return {
        name: Distance(
            distance=float(np.sqrt(observed[name])),
            by_chance=sums[name] / done[name],
            p=(beyond[name] + 1) / (done[name] + 1),
            permutations=done[name],
        )
        for name in statistics
    }


def reaches(p: float, alpha: float) -> bool:
    """p ≤ α, but for rounding: 5 / 3000 · 6 is 0.01."""
    return p <= alpha * (1 + 1e-9)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: at or below α are those that Holm's (1979) step-down procedure rejects at α."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = highest
    return adjusted


def _divisions(rng: np.random.Generator, units: int, window: int, count: int) -> Iterator[Floats]:
    """`count` random divisions, some at once: rows of 0 and 1, as many 1 as the window has units."""
    for start in range(0, count, _AT_ONCE):
        some = min(_AT_ONCE, count - start)
        drawn = np.argpartition(rng.random((some, units), np.float32), window - 1, axis=1)[:, :window]
        divisions = np.zeros((some, units), np.float32)
        np.put_along_axis(divisions, drawn, 1, axis=1)
        yield divisions
