"""Which lines are taken: new ones, a share of older ones, no task type beyond its part. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from schemas.datasets import Exclusion
from schemas.targets import Balance

TAKEN: Final = 0
REASONS: Final = (Exclusion.BALANCE, Exclusion.REPLAY, Exclusion.MAX_SAMPLES)
"""A decision is TAKEN, or 1 + the place of its reason here."""

_ROUGHLY: Final = 10**9


class Lines(NamedTuple):
    """What can be trained on, a value each line; of equal shape (lines,)."""

    order: NDArray[np.uint64]
    """Keyed hashes: of several that would do, the lowest are taken."""
    older: NDArray[np.bool_]
    task: NDArray[np.int32]
    """Place in the list of task types."""


class Shares(Struct, frozen=True):
    """`parts`: of each task type the part of the whole that it may have, at least 0."""

    parts: tuple[Fraction, ...]
    replay: Fraction
    max_samples: int | None


def shares(tasks: tuple[str, ...], balance: Balance, replay: float, max_samples: int | None) -> Shares:
    """Of task types by name."""
    whole = _exact(balance.max_share)
    parts = tuple(min(Fraction(1), whole * _exact(balance.weights.get(name, 1.0))) for name in tasks)
    return Shares(parts, _exact(replay), max_samples)


def choose(lines: Lines, wanted: Shares) -> NDArray[np.uint8]:
    """A decision each line: shape (lines,).

    1 of the new ones what balance and `max_samples` leave → 2 older ones up to their share of both, balanced too.
    Without older ones all are new.
    """
    decisions = np.zeros(len(lines.order), np.uint8)
    new, old = np.flatnonzero(~lines.older), np.flatnonzero(lines.older)
    # 1
    most = None
    if wanted.max_samples is not None:
        most = wanted.max_samples - min(len(old), int(wanted.max_samples * wanted.replay))
    kept_new = _balanced(lines, new, wanted.parts, most, decisions, Exclusion.MAX_SAMPLES)
    # 2
    room = int(kept_new * wanted.replay / (1 - wanted.replay))
    if wanted.max_samples is not None:
        room = min(room, wanted.max_samples - kept_new)
    _balanced(lines, old, wanted.parts, room, decisions, Exclusion.REPLAY)
    return decisions


def parts_of(counts: Mapping[int, int], parts: tuple[Fraction, ...], most: int | None) -> dict[int, int]:
    """How many of each task type may be kept of `most` (None: of any number), so that none has more than its part.

    Where the parts of those that are there do not make a whole, they are scaled up to one. A part is kept to within one
    sample. Together they may be more than `most`.
    """
    there = {task: count for task, count in counts.items() if count and parts[task] > 0}
    whole = sum((parts[task] for task in there), Fraction(0))
    scale = max(Fraction(1), 1 / whole) if whole else Fraction(1)
    may = {task: min(Fraction(1), parts[task] * scale) for task in there}
    # The largest total that its own parts add up to: the parts fall behind for good once they do.
    low, high = 0, sum(there.values()) if most is None else min(most, sum(there.values()))
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(Fraction(count), may[task] * middle) for task, count in there.items()) >= middle:
            low = middle
        else:
            high = middle - 1
    return {task: min(count, int(may[task] * low)) for task, count in there.items()}


def _balanced(
    lines: Lines,
    places: NDArray[np.intp],
    parts: tuple[Fraction, ...],
    most: int | None,
    decisions: NDArray[np.uint8],
    beyond: Exclusion,
) -> int:
    """Decide those at `places`; `beyond` is why one is left out that `most` leaves no room for. How many are kept."""
    tasks, counts = np.unique(lines.task[places], return_counts=True)
    there = dict(zip(tasks.tolist(), counts.tolist(), strict=True))
    may, unlimited = parts_of(there, parts, most), parts_of(there, parts, None)
    within = [places[:0]]
    for task in there:
        own = places[lines.task[places] == task]
        own = own[np.argsort(lines.order[own], kind="stable")]
        decisions[own] = 1 + REASONS.index(beyond)
        decisions[own[unlimited.get(task, 0) :]] = 1 + REASONS.index(Exclusion.BALANCE)
        within.append(own[: may.get(task, 0)])
    kept = np.concatenate(within)
    kept = kept[np.argsort(lines.order[kept], kind="stable")][:most]
    decisions[kept] = TAKEN
    return len(kept)


def _exact(number: float) -> Fraction:
    return Fraction(round(number * _ROUGHLY), _ROUGHLY)
