"""Labels as columns of shares, and the Jensen-Shannon distance between two rows of shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Shares = NDArray[np.float64]

NONE: Final = "(none)"
RARE: Final = "(rare)"

MOST_CATEGORIES: Final = 50
FEWEST_ROWS: Final = 5
"""A category of fewer rows, on both sides together, is counted among the rare ones: alone it only adds noise."""


class Columns(NamedTuple):
    """One feature of the units of both sides, as shares of its categories."""

    names: tuple[str, ...]
    shares: Shares
    """Of shape (units, categories): 1 in one place for a cluster of one row."""


def label_columns(values: Sequence[str | None], units: NDArray[np.intp], unit_count: int) -> Columns | None:
    """Columns of a label, or None where all rows have the same one. `units` has the unit of each value."""
    counts = Counter(values)
    often = sorted(
        (value for value, count in counts.items() if count >= FEWEST_ROWS), key=lambda v: (-counts[v], v or "")
    )
    codes = {value: code for code, value in enumerate(often[:MOST_CATEGORIES])}
    names = [NONE if value is None else value for value in codes]
    coded = np.array([codes.get(value, len(codes)) for value in values], np.intp)
    return columns([*names, RARE], coded, units, unit_count)


def columns(names: Sequence[str], codes: NDArray[np.intp], units: NDArray[np.intp], unit_count: int) -> Columns | None:
    """Mean of each unit's rows, a column each code that occurs; None where only one does."""
    width = len(names)
    cells = np.bincount(units * width + codes, minlength=unit_count * width).reshape(unit_count, width)
    shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    there = np.flatnonzero(cells.any(axis=0)).tolist()
    if len(there) < 2:
        return None
    return Columns(tuple(names[code] for code in there), shares[:, there])


def jensen_shannon(one: Shares, other: Shares) -> Shares:
    """Divergence in bits, in [0, 1], along the last axis; its root is a distance (Endres and Schindelin, 2003)."""
    middle = (one + other) / 2
    return np.maximum((_relative(one, middle) + _relative(other, middle)) / 2, 0)


def _relative(shares: Shares, to: Shares) -> Shares:
    ratio = np.divide(shares, to, out=np.ones_like(shares), where=(shares > 0) & (to > 0))  # half of 5e-324 is 0
    found: Shares = (shares * np.log2(ratio)).sum(axis=-1)
    return found
