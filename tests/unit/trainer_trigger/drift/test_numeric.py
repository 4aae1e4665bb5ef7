"""Numbers as columns."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer_trigger.drift.categorical import NONE
from trainer_trigger.drift.numeric import BINS, number_columns


def test_bins_are_at_the_quantiles_of_all_rows() -> None:
    values = np.random.default_rng(1).permutation(np.arange(1_000.0))
    found = number_columns(values, np.arange(1_000), 1_000)
    assert found is not None
    assert found.shares.sum(axis=0).tolist() == [100] * BINS
    assert found.names[:2] == ("≤ 99", "99 to 199")
    assert found.names[-1] == "> 899"


def test_few_distinct_values_are_a_bin_each() -> None:
    values = np.array([0.0] * 3 + [1.0] * 5 + [0.5] * 2)
    found = number_columns(values, np.arange(10), 10)
    assert found is not None
    assert found.names == ("0", "0.5", "1")
    assert found.shares.sum(axis=0).tolist() == [3, 2, 5]


def test_a_value_of_most_rows_does_not_break_the_bins() -> None:
    values = np.concatenate([np.zeros(900), np.arange(1.0, 101)])
    found = number_columns(values, np.arange(1_000), 1_000)
    assert found is not None
    assert found.shares.sum(axis=0).tolist() == [900, 100]


def test_rows_without_a_number_have_a_column_of_their_own() -> None:
    values = np.array([*range(50), *[np.nan] * 7], np.float64)
    found = number_columns(values, np.arange(57), 57)
    assert found is not None
    assert found.names[-1] == NONE
    assert found.shares[:, -1].sum() == 7


def test_a_number_that_is_the_same_everywhere_or_nowhere_is_no_feature() -> None:
    assert number_columns(np.full(9, 3.5), np.arange(9), 9) is None
    assert number_columns(np.full(9, np.nan), np.arange(9), 9) is None


@settings(deadline=None)
@given(st.lists(st.one_of(st.floats(allow_infinity=False, width=32), st.just(7.0)), min_size=1, max_size=60))
def test_every_row_is_in_one_bin_whatever_the_numbers(values: list[float]) -> None:
    found = number_columns(np.array(values), np.arange(len(values)), len(values))
    if found is not None:
        assert (found.shares.sum(axis=1) == 1).all()
        assert found.shares.any(axis=0).all()
        assert len(found.names) == found.shares.shape[1] <= BINS + 1
