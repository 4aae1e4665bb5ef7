"""Numbers as columns: bins at the quantiles of both sides together, and a column for rows without a number."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainer_trigger.drift.categorical import NONE, Columns, columns

BINS: Final = 10


def number_columns(values: NDArray[np.float64], units: NDArray[np.intp], unit_count: int) -> Columns | None:
    """Columns of a number, or None where all rows have the same one. NaN is no number.

    The bins come from all rows, whichever side they are of, so that a permutation sees the same ones.
    """
    finite = values[np.isfinite(values)]
    distinct = np.unique(finite)
    if len(distinct) <= BINS:
        names = [f"{value:g}" for value in distinct]
        uppers = distinct[:-1]
    else:
        uppers = np.unique(np.quantile(finite, np.arange(1, BINS) / BINS, method="inverted_cdf"))
        names = [
            f"≤ {uppers[0]:.4g}",
            *(f"{low:.4g} to {high:.4g}" for low, high in pairwise(uppers)),
            f"> {uppers[-1]:.4g}",
        ]
    names = names or [NONE]
    codes = np.searchsorted(uppers, values, side="left")
    return columns([*names, NONE], np.where(np.isnan(values), len(names), codes), units, unit_count)
