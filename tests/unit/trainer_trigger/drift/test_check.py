"""One window against the reference."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.unit.trainer_trigger.drift.made_up import alone, copied, rows
from trainer_trigger.drift import (
    DriftError,
    HashedNgrams,
    Outcome,
    Prepared,
    Row,
    Rule,
    check,
    prepare,
)
from trainer_trigger.drift.check import FEATURES

KITCHEN = (1, 9, 9)
"""Weights of the topics in which few ask about the kitchen."""

SMALL = Rule(minimum_rows=100, permutations=599)
TWENTY = Rule(alpha=0.05, minimum_rows=100, permutations=599)
REFERENCE = rows("reference", 400)


@pytest.fixture(scope="module")
def reference() -> Prepared:
    return prepare(REFERENCE)


def p_values(outcome: Outcome) -> dict[str, float]:
    return {test.feature: test.p for test in outcome.tests}


def test_nothing_moves_where_nothing_does(reference: Prepared) -> None:
    outcome = check(reference, prepare(rows("same", 300)))
    assert outcome.moved == ()
    assert tuple(test.feature for test in outcome.tests) == FEATURES
    assert (outcome.reference_rows, outcome.window_rows, outcome.window_clusters) == (400, 300, 300)


@given(st.integers(0, 10_000), st.integers(100, 160))
@settings(max_examples=10, deadline=None)
def test_identical_rows_never_move(seed: int, count: int) -> None:
    given = rows(f"any {seed}", count)
    outcome = check(prepare(given), prepare(given), SMALL)
    assert set(p_values(outcome).values()) == {1}
    assert outcome.moved == ()


@given(st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_the_order_of_rows_does_not_count(chance: random.Random) -> None:
    one, other = rows("one", 120), rows("other", 110, topics=KITCHEN)
    before = check(prepare(one), prepare(other), SMALL)
    chance.shuffle(one)
    chance.shuffle(other)
    assert check(prepare(one), prepare(other), SMALL) == before


def test_other_rows_are_divided_in_other_ways(reference: Prepared) -> None:
    given = rows("same", 150)
    renamed = [msgspec.structs.replace(row, sample_id=f"x{row.sample_id}") for row in given]
    one, other = (check(reference, prepare(each), SMALL) for each in (given, renamed))
    assert [test.distance for test in one.tests] == pytest.approx([test.distance for test in other.tests], rel=1e-5)
    assert p_values(one) != p_values(other)


@pytest.mark.parametrize(
    ("window", "moved"),
    [
        (rows("topic", 300, topics=(10, 1, 1)), "text"),
        (rows("intent", 300, intents=(1, 5, 4)), "intent"),
        (rows("none", 300, intents=(5, 3, 20)), "intent"),
        (rows("score", 300, score=0.75), "score"),
        ([msgspec.structs.replace(row, language="fr") for row in rows("language", 300)], "language"),
        ([msgspec.structs.replace(row, task_type=None) for row in rows("task", 300)], "task_type"),
        ([msgspec.structs.replace(row, words=2.5 * (row.words or 0)) for row in rows("words", 300)], "words"),
        ([msgspec.structs.replace(row, score=float("nan")) for row in rows("nan", 300)], "score"),
    ],
)
def test_what_moves_is_named_and_nothing_else(reference: Prepared, window: list[Row], moved: str) -> None:
    outcome = check(reference, prepare(window))
    assert outcome.moved == (moved,)
    test = next(test for test in outcome.tests if test.feature == moved)
    assert test.distance > 1.3 * test.by_chance
    assert test.adjusted <= 0.01


def windows(count: int, copies: int) -> list[list[Row]]:
    return [copied(rows(f"window {number}", 120 // copies), copies) for number in range(count)]


def test_permuting_clusters_keeps_the_level_with_five_copies_of_each_and_permuting_rows_does_not() -> None:
    given = copied(rows("sources", 60), 5)
    by_cluster, by_row = prepare(given), prepare(alone(given))
    drawn = windows(40, 5)
    kept = sum(bool(check(by_cluster, prepare(window), TWENTY).moved) for window in drawn)
    broken = sum(bool(check(by_row, prepare(alone(window)), TWENTY).moved) for window in drawn)
    assert kept <= 5
    assert broken >= 36


def test_copies_scattered_over_both_sides_do_not_fire_either() -> None:
    fired = 0
    for number in range(30):
        given = copied(rows(f"scattered {number}", 80), 5)
        random.Random(number).shuffle(given)
        fired += bool(check(prepare(given[:250]), prepare(given[250:]), TWENTY).moved)
    assert fired <= 3


def test_the_level_is_kept_where_the_reference_s_clusters_are_large_and_the_window_s_are_not() -> None:
    fired = 0
    for number in range(30):
        given = copied(rows(f"large {number}", 40), 8)
        fired += bool(check(prepare(given), prepare(rows(f"single {number}", 120)), TWENTY).moved)
    assert fired <= 4


@pytest.mark.parametrize(("before", "after"), [(299, 300), (300, 299), (0, 0), (299, 299)])
def test_too_few_rows_are_said_with_how_many_are_missing(before: int, after: int) -> None:
    outcome = check(prepare(rows("few", before)), prepare(rows("fewer", after)))
    missing = {each.side: each.missing for each in outcome.shortages}
    assert missing == {side: 300 - count for side, count in (("reference", before), ("window", after)) if count < 300}
    assert outcome.tests == ()
    assert outcome.moved == ()


def test_three_hundred_rows_are_enough() -> None:
    outcome = check(prepare(rows("few", 300)), prepare(rows("others", 300)))
    assert outcome.shortages == ()
    assert len(outcome.tests) == len(FEATURES)


def test_rows_with_nothing_but_an_id_are_compared() -> None:
    def bare(name: str) -> Prepared:
        return prepare(Row(sample_id=f"{name}{at}", cluster=f"{name}{at}", text="") for at in range(300))

    outcome = check(bare("a"), bare("b"))
    assert p_values(outcome) == {"text": 1}


def test_a_feature_that_is_the_same_everywhere_costs_the_others_nothing(reference: Prepared) -> None:
    def english(given: Sequence[Row]) -> Prepared:
        return prepare(msgspec.structs.replace(row, language="en", task_type=None) for row in given)

    window = rows("topic", 200, topics=(2, 1, 1))
    outcome = check(english(REFERENCE), english(window), SMALL)
    assert [test.feature for test in outcome.tests] == ["text", "intent", "words", "score"]
    lowest = min(outcome.tests, key=lambda test: test.p)
    assert lowest.adjusted == 4 * lowest.p


def test_the_window_is_compared_at_the_reference_s_size() -> None:
    small, large = prepare(rows("small", 100)), prepare(rows("large", 900))
    outcome = check(small, large, SMALL)
    assert (outcome.reference_clusters, outcome.window_clusters) == (100, 900)
    of_all = np.abs(large.text.mean(axis=0) - small.text.mean(axis=0))
    assert outcome.tests[0].distance != pytest.approx(float(np.linalg.norm(of_all)), rel=1e-3)


class Lengths:
    """A featuriser that sees nothing but whether a text is long."""

    name = "lengths"

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([(1, 0) if len(text) > 100 else (0, 1) for text in texts], np.float32)


def test_another_featuriser_sees_what_it_sees() -> None:
    before, topic = (prepare(each, Lengths()) for each in (REFERENCE, rows("topic", 300, topics=(10, 1, 1))))
    assert check(before, topic).moved == ()
    longer = [msgspec.structs.replace(row, text=row.text * 2) for row in rows("longer", 300)]
    assert check(before, prepare(longer, Lengths())).moved == ("text",)


def test_sides_of_different_featurisers_are_not_compared(reference: Prepared) -> None:
    with pytest.raises(DriftError, match=f"reference is prepared with {HashedNgrams.name}, window with lengths"):
        check(reference, prepare(REFERENCE, Lengths()))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"alpha": 1.0}, "alpha is 1.0"),
        ({"minimum_rows": 1}, "minimum_rows is 1"),
        ({"permutations": 598}, "takes 599"),
        ({"permutations": 199}, "takes 599"),
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(DriftError, match=said):
        Rule(**wrong)  # type: ignore[arg-type]


def test_the_fewest_permutations_reach_alpha(reference: Prepared) -> None:
    outcome = check(reference, prepare(rows("topic", 300, topics=(30, 1, 1))), Rule(permutations=599))
    assert outcome.moved == ("text",)


def test_an_outcome_survives_json_and_holds_no_text(reference: Prepared) -> None:
    outcome = check(reference, prepare(rows("topic", 300, topics=(10, 1, 1))))
    packed = msgspec.json.encode(outcome)
    assert msgspec.json.decode(packed, type=Outcome) == outcome
    assert b"bread" not in packed
    assert b"topic-1" not in packed
