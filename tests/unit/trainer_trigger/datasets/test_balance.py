"""Which lines are taken."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from schemas.datasets import Exclusion
from schemas.targets import Balance
from trainer_trigger.datasets.balance import REASONS, TAKEN, Lines, choose, parts_of, shares

Plan: TypeAlias = tuple[float, dict[str, float], float, int | None]

LINE = st.tuples(st.integers(0, 2**64 - 1), st.booleans(), st.integers(0, 2))
PLAN = st.tuples(
    st.sampled_from([1.0, 0.6, 0.5, 0.34, 0.2]),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from([0.0, 0.5, 1.0, 2.0])),
    st.sampled_from([0.0, 0.1, 0.15, 0.2, 0.5]),
    st.none() | st.integers(1, 40),
)


def taken(
    lines: list[tuple[int, bool, int]], max_share: float, weights: dict[str, float], replay: float, most: int | None
) -> NDArray[np.uint8]:
    columns = Lines(
        np.array([line[0] for line in lines], np.uint64),
        np.array([line[1] for line in lines], np.bool_),
        np.array([line[2] for line in lines], np.int32),
    )
    wanted = shares(("a", "b", "c"), Balance(max_share=max_share, weights=weights), replay, most)
    return choose(columns, wanted)


@given(st.lists(LINE, max_size=60), PLAN)
def test_older_ones_never_exceed_their_share_nor_the_set_its_size(
    lines: list[tuple[int, bool, int]], plan: Plan
) -> None:
    decisions = taken(lines, *plan)
    kept = [line for line, decision in zip(lines, decisions, strict=True) if decision == TAKEN]
    older = sum(line[1] for line in kept)
    assert older <= Fraction(plan[2]).limit_denominator(100) * len(kept)
    assert plan[3] is None or len(kept) <= plan[3]


@given(st.lists(LINE, max_size=60, unique_by=lambda line: line[0]), PLAN, st.randoms())
def test_the_choice_does_not_depend_on_the_order(
    lines: list[tuple[int, bool, int]], plan: Plan, chance: random.Random
) -> None:
    def by_hash(some: list[tuple[int, bool, int]]) -> dict[int, int]:
        return dict(zip((line[0] for line in some), taken(some, *plan).tolist(), strict=True))

    shuffled = list(lines)
    chance.shuffle(shuffled)
    assert by_hash(lines) == by_hash(shuffled)


@given(st.lists(st.integers(0, 300), min_size=3, max_size=3), st.sampled_from([1.0, 0.5, 0.4, 0.2]))
def test_no_task_type_has_more_than_its_share_where_others_are_left(counts: list[int], max_share: float) -> None:
    parts = shares(("a", "b", "c"), Balance(max_share=max_share), 0.0, None).parts
    kept = parts_of(dict(enumerate(counts)), parts, None)
    there = [count for count in counts if count]
    share = max(max_share, 1 / len(there)) if there else 1.0
    total = sum(kept.values())
    assert all(count <= share * (total + len(there)) + 1e-6 for count in kept.values())
    if max_share == 1.0:
        assert kept == {task: count for task, count in enumerate(counts) if count}


def test_all_new_ones_are_taken_and_fifteen_percent_older_ones_by_the_lowest_hashes() -> None:
    lines = [(n, False, 0) for n in range(85)] + [(1000 - n, True, 0) for n in range(100)]
    decisions = taken(lines, 1.0, {}, 0.15, None)
    assert not decisions[:85].any()
    assert [line[0] for line, kept in zip(lines[85:], decisions[85:] == TAKEN, strict=True) if kept] == list(
        range(915, 900, -1)
    )
    assert {REASONS[code - 1] for code in decisions[decisions != TAKEN]} == {Exclusion.REPLAY}


def test_each_reason_is_told_apart() -> None:
    lines = [(n, False, 0) for n in range(90)] + [(n, False, 1) for n in range(10)] + [(n, True, 0) for n in range(50)]
    decisions = taken(lines, 0.5, {}, 0.2, 10)
    told = [REASONS[code - 1] if code else None for code in decisions]
    assert [told[:90].count(each) for each in (None, Exclusion.BALANCE, Exclusion.MAX_SAMPLES)] == [4, 80, 6]
    assert [told[90:100].count(each) for each in (None, Exclusion.MAX_SAMPLES)] == [4, 6]
    assert [told[100:].count(each) for each in (None, Exclusion.REPLAY)] == [2, 48]


def test_a_task_type_of_weight_zero_is_not_trained_on() -> None:
    assert parts_of({0: 10, 1: 5}, shares(("a", "b"), Balance(weights={"a": 0.0}), 0.1, None).parts, None) == {1: 5}
    assert parts_of({0: 1000, 1: 10}, shares(("a", "b"), Balance(max_share=0.5), 0.1, None).parts, None) == {
        0: 10,
        1: 10,
    }
    assert parts_of({0: 1000}, shares(("a",), Balance(max_share=0.5), 0.1, None).parts, None) == {0: 1000}
