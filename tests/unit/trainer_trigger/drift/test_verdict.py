"""Two windows in a row."""

from __future__ import annotations

import msgspec

from tests.unit.trainer_trigger.drift.made_up import rows
from trainer_trigger.drift import FeatureTest, Outcome, Shortage, check, judge, prepare
from trainer_trigger.drift.check import FEATURES


def outcome(window: str, *moved: str) -> Outcome:
    return Outcome(
        reference="r",
        window=window,
        method="m",
        alpha=0.01,
        reference_rows=1_000,
        reference_clusters=900,
        window_rows=300,
        window_clusters=280,
        members=window.encode().ljust(8)[:8],
        tests=tuple(
            FeatureTest(
                feature=name, p=0.1, adjusted=0.001 if name in moved else 0.6, distance=0, by_chance=0, permutations=99
            )
            for name in FEATURES
        ),
        moved=moved,
    )


def test_one_window_is_suspected_and_the_second_is_drift() -> None:
    first = judge(None, outcome("one", "text", "score"))
    assert (first.kind, first.features) == ("suspected", ("text", "score"))
    second = judge(first.history, outcome("two", "text", "intent"))
    assert (second.kind, second.features) == ("drift", ("text",))
    assert "text moved in two windows in a row" in second.reason
    third = judge(second.history, outcome("three", "intent"))
    assert (third.kind, third.features) == ("drift", ("intent",))


def test_another_feature_in_the_second_window_is_no_drift() -> None:
    first = judge(None, outcome("one", "text"))
    second = judge(first.history, outcome("two", "task_type"))
    assert (second.kind, second.features) == ("suspected", ("task_type",))
    assert "task type moved in this window" in second.reason


def test_a_steady_window_between_breaks_the_row() -> None:
    history = judge(None, outcome("one", "text")).history
    between = judge(history, outcome("two"))
    assert (between.kind, between.features) == ("steady", ())
    assert "p = 0.6" in between.reason
    assert judge(between.history, outcome("three", "text")).kind == "suspected"


def test_too_few_rows_say_what_is_missing_and_leave_the_row_as_it_is() -> None:
    history = judge(None, outcome("one", "text")).history
    few = msgspec.structs.replace(outcome("two"), tests=(), shortages=(Shortage("window", 120, 300),))
    between = judge(history, few)
    assert between.kind == "not enough data"
    assert between.reason == "the window has 120 rows, 180 fewer than the 300 that are needed"
    assert between.history == history
    assert judge(between.history, outcome("three", "text")).kind == "drift"


def test_rows_of_the_last_window_do_not_count_twice() -> None:
    first = judge(None, outcome("one", "text"))
    assert first.history is not None
    again = judge(first.history, msgspec.structs.replace(outcome("two", "score"), members=first.history.members))
    assert again.kind == "overlap"
    assert again.history == first.history
    assert judge(again.history, outcome("two", "text")).kind == "drift"


def test_one_shared_row_of_many_is_an_overlap() -> None:
    reference = prepare(rows("reference", 300))
    one, other = rows("one", 300), rows("other", 299)
    history = judge(None, check(reference, prepare(one))).history
    assert judge(history, check(reference, prepare([*other, one[7]]))).kind == "overlap"
    assert judge(history, check(reference, prepare([*other, *rows("last", 1)]))).kind == "steady"


def test_another_reference_or_method_starts_anew() -> None:
    history = judge(None, outcome("one", "text")).history
    for changed in ({"reference": "new"}, {"method": "new"}):
        window = msgspec.structs.replace(outcome("two", "text"), **changed)
        verdict = judge(history, window)
        assert verdict.kind == "suspected"
        assert verdict.history == window


def test_another_reference_may_be_asked_about_the_same_rows() -> None:
    history = judge(None, outcome("one", "text")).history
    assert judge(history, msgspec.structs.replace(outcome("one", "text"), reference="new")).kind == "suspected"


def test_the_same_question_has_the_same_answer() -> None:
    history = judge(None, outcome("one", "text")).history
    assert judge(history, outcome("two", "text")) == judge(history, outcome("two", "text"))
