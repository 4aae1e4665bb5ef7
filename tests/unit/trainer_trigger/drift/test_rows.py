"""What is compared of the rows given."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest

from tests.unit.trainer_trigger.drift.made_up import copied, rows
from trainer_trigger.drift import RepeatedSampleError, Row, prepare
from trainer_trigger.drift import rows as module


@pytest.mark.parametrize("copies", [1, 3, 7])
def test_the_order_of_rows_does_not_count(copies: int) -> None:
    given = copied(rows("one", 40), copies)
    mixed = random.Random(1).sample(given, len(given))
    one, other = prepare(given), prepare(mixed)
    assert one.rows == other.rows
    assert one.digest == other.digest
    assert np.array_equal(one.text, other.text)


def test_a_cluster_is_one_unit_with_the_mean_of_its_rows() -> None:
    first, second, third = rows("one", 3)
    twin = msgspec.structs.replace(second, cluster=first.cluster)
    found = prepare([third, twin, first])
    assert (found.row_count, found.cluster_count) == (3, 2)
    assert found.units.tolist() == [0, 0, 1]
    assert found.firsts.tolist() == [0, 2]
    singles = prepare([first, second, third])
    assert np.allclose(found.text[0], singles.text[:2].mean(axis=0), atol=1e-6)
    assert np.allclose(found.text[1], singles.text[2])


def test_a_sample_that_is_there_twice_is_refused_by_name() -> None:
    given = rows("one", 3)
    with pytest.raises(RepeatedSampleError, match="sample one-1 is there twice"):
        prepare([*given, given[1]])


def test_of_a_large_cluster_a_few_rows_are_taken() -> None:
    found = prepare(copied(rows("one", 2), 50))
    assert (found.row_count, len(found.rows)) == (100, 2 * module.MOST_OF_CLUSTER)


def test_of_many_clusters_some_are_taken_by_their_names_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CLUSTERS", 20)
    given = rows("one", 60)
    found = prepare(given)
    assert (found.cluster_count, len(found.text)) == (60, 20)
    other = prepare([msgspec.structs.replace(row, text="other", score=0.0) for row in reversed(given)])
    assert [row.cluster for row in found.rows] == [row.cluster for row in other.rows]


def test_of_many_rows_some_hashes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_MEMBERS", 5)
    given = rows("one", 20)
    assert len(prepare(given).members) == 5 * 8
    assert prepare(given[:3]).members != prepare(given[3:6]).members


@pytest.mark.parametrize("none", [None, float("nan"), float("inf"), float("-inf")])
def test_what_is_no_finite_number_is_none(none: float | None) -> None:
    given = Row(sample_id="a", cluster="a", text="x", words=none, score=0.5)
    found = prepare([given])
    assert np.isnan(found.numbers["words"]).all()
    assert found.numbers["score"].tolist() == [0.5]


def test_no_rows_are_no_error() -> None:
    found = prepare([])
    assert (found.row_count, len(found.text)) == (0, 0)
