"""What the report says of a training set, on both sides of each threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas.datasets import Check, Counts, Exclusion, Readiness
from trainer_trigger.datasets.readiness import Measured, report


def told(
    counts: dict[str, Any] | None = None, excluded: dict[Exclusion, int] | None = None, **measured: Any
) -> Readiness:
    filled = {"train": 1_000, "validation": 50, "holdout": 100, "new": 1_050, "older": 0, "considered": 2_000}
    by_type = {"chat": 600, "code": 450}
    given = {**filled, "by_task_type": by_type, **(counts or {})}
    own = {"chars": np.full(1_050, 500), "scores": np.full(1_050, 0.9), "duplicates": 30, "shared_prompts": 0}
    return report(Counts(**given), excluded or {}, 100, Measured(**{**own, **measured}))


def check(name: str, **changed: Any) -> Check:
    return next(each for each in told(**changed).checks if each.name == name)


def test_a_good_set_is_ready_and_misses_nothing() -> None:
    found = told()
    assert found.ready
    assert found.missing == ()
    assert [each.name for each in found.checks] == [
        "size",
        "format",
        "balance",
        "duplicates",
        "holdout",
        "lengths",
        "scores",
    ]


@pytest.mark.parametrize(
    ("name", "good", "bad", "words"),
    [
        ("size", {"counts": {"train": 1_000}}, {"counts": {"train": 999}}, "1 more"),
        (
            "format",
            {"excluded": {Exclusion.NOT_IN_FORMAT: 60}},
            {"excluded": {Exclusion.NOT_IN_FORMAT: 70}},
            "no room",
        ),
        (
            "balance",
            {"counts": {"by_task_type": {"a": 60, "": 40}}},
            {"counts": {"by_task_type": {"a": 61, "": 39}}},
            "max_share",
        ),
        (
            "duplicates",
            {"excluded": {Exclusion.NEAR_DUPLICATE: 1_050}},
            {"excluded": {Exclusion.NEAR_DUPLICATE: 1_051}},
            "says the same",
        ),
        ("holdout", {"counts": {"holdout": 50}}, {"counts": {"holdout": 49}}, "tell models apart"),
        (
            "lengths",
            {"chars": np.array([10] * 99 + [40_000])},
            {"chars": np.array([10] * 98 + [40_000] * 2)},
            "may be cut off",
        ),
    ],
)
def test_each_threshold_has_two_sides_and_says_what_is_missing(
    name: str, good: dict[str, Any], bad: dict[str, Any], words: str
) -> None:
    assert check(name, **good).ok
    found = told(**bad)
    assert not found.ready
    assert [each.name for each in found.checks if not each.ok] == [name]
    assert len(found.missing) == 1
    assert found.missing[0].startswith(f"{name}: ")
    assert words in found.missing[0]


def test_scores_and_shared_prompts_are_told() -> None:
    scores = check("scores", scores=np.array([0.5, 1.0, np.nan, np.nan]))
    assert scores.numbers["scored"] == 0.5
    assert scores.numbers["mean"] == 0.75
    assert "no line has a score" in check("scores", scores=np.array([np.nan])).words
    assert "7 of them ask what a training line asks" in check("holdout", shared_prompts=7).words
    assert "one task type only: chat" in check("balance", counts={"by_task_type": {"chat": 5}}).words
