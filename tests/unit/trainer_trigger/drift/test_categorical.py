"""Labels as columns, and the Jensen-Shannon distance."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trainer_trigger.drift.categorical import FEWEST_ROWS, MOST_CATEGORIES, NONE, RARE, jensen_shannon, label_columns

shares = hnp.arrays(np.float64, 5, elements=st.floats(0, 1)).filter(lambda a: a.sum() > 0.1).map(lambda a: a / a.sum())


def test_a_cluster_is_the_mean_of_its_rows_and_no_label_is_one_too() -> None:
    values = ["a"] * 6 + [None] * 5 + ["b"] * 9
    units = np.array([0, 0, *range(1, 19)])
    values[1] = "b"
    found = label_columns(values, units, 19)
    assert found is not None
    assert found.names == ("b", NONE, "a")
    assert found.shares[0].tolist() == [0.5, 0, 0.5]
    assert found.shares[1].tolist() == [0, 0, 1]
    assert found.shares[5].tolist() == [0, 1, 0]


def test_categories_of_fewer_rows_are_counted_as_rare() -> None:
    values = ["often"] * 20 + ["just"] * FEWEST_ROWS + ["once", "twice", "twice", "thrice"]
    found = label_columns(values, np.arange(len(values)), len(values))
    assert found is not None
    assert found.names == ("often", "just", RARE)
    assert found.shares.sum(axis=0).tolist() == [20, FEWEST_ROWS, 4]


def test_beyond_so_many_categories_the_others_are_rare() -> None:
    values = [f"{number:03}" for number in range(MOST_CATEGORIES + 7) for _ in range(FEWEST_ROWS)]
    found = label_columns(values, np.arange(len(values)), len(values))
    assert found is not None
    assert len(found.names) == MOST_CATEGORIES + 1
    assert found.shares[:, -1].sum() == 7 * FEWEST_ROWS


def test_a_label_that_is_the_same_everywhere_is_no_feature() -> None:
    for values in (["en"] * 30, [None] * 30):
        assert label_columns(values, np.arange(30), 30) is None


@settings(deadline=None)
@given(shares, shares)
@example(np.array([5e-324, 1.0]), np.array([0.0, 1.0]))
def test_the_divergence_is_symmetric_between_zero_and_one_and_zero_for_the_same(one: object, other: object) -> None:
    there, back = jensen_shannon(one, other), jensen_shannon(other, one)  # type: ignore[arg-type]
    assert np.isclose(there, back)
    assert 0 <= there <= 1 + 1e-12
    assert jensen_shannon(one, one) == 0  # type: ignore[arg-type]


def test_nothing_in_common_is_one_bit_and_a_known_pair_is_as_by_hand() -> None:
    assert jensen_shannon(np.array([1.0, 0]), np.array([0, 1.0])) == 1
    by_hand = 0.5 * np.log2(1 / 0.75) + 0.5 * (0.5 * np.log2(0.5 / 0.75) + 0.5 * np.log2(0.5 / 0.25))
    assert np.isclose(jensen_shannon(np.array([1.0, 0]), np.array([0.5, 0.5])), by_hand)
