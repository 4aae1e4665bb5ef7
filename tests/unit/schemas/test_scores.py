"""The table of score methods: both sides of each range, and every method with its fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from schemas.errors import InvalidEvent
from schemas.events import Score, ScoreMethod
from schemas.intake import event_from_json, event_to_json, parse_json
from schemas.scores import METHODS

DOCS = Path(__file__).parents[3] / "docs"

GOOD: list[dict[str, Any]] = [
    {"method": "thumbs", "value": 0},
    {"method": "thumbs", "value": "up"},
    {"method": "success", "value": True},
    {"method": "stars", "value": 1},
    {"method": "stars", "value": 5},
    {"method": "stars", "value": 100, "maximum": 100},
    {"method": "stars", "value": 2, "maximum": 2},
    {"method": "numeric", "value": -1, "minimum": -1, "maximum": 1},
    {"method": "numeric", "value": 1, "minimum": -1, "maximum": 1},
    {"method": "win_rate", "wins": 0, "losses": 1},
    {"method": "win_rate", "wins": 0, "losses": 0, "ties": 1},
    {"method": "pairwise", "over": "x"},
    {"method": "pairwise", "over": "x", "value": 1},
    {"method": "pairwise", "over": "x", "value": 0.5},
    {"method": "correction", "text": "x"},
    {"method": "demonstration", "text": "x"},
    {"method": "comment", "text": "x"},
    {"method": "copied"},
    {"method": "copied", "value": True},
    {"method": "regenerated"},
    {"method": "abandoned", "value": 1},
    {"method": "edited", "text": "x"},
    {"method": "edited", "text": ""},
    {"method": "edited", "value": 0},
    {"method": "edited", "value": 1},
    {"method": "tests_passed", "value": "pass"},
    {"method": "tests_passed", "value": False},
    {"method": "tests_passed", "wins": 1, "losses": 0},
    {"method": "tests_passed", "wins": 0, "losses": 1, "ties": 0},
    {"method": "thumbs", "value": 1, "by": "u-18"},
    {"method": "thumbs", "value": 1, "text": "a field of another method says nothing"},
]

BAD: list[tuple[dict[str, Any], str]] = [
    ({"method": "thumbs"}, "value: thumbs takes up/down, true/false or 1/0"),
    ({"method": "thumbs", "value": 0.5}, "value: thumbs takes up/down, true/false or 1/0"),
    ({"method": "success", "value": "maybe"}, "value: success takes up/down, true/false or 1/0"),
    ({"method": "stars"}, "value: stars must be a whole number from 1 to 5"),
    ({"method": "stars", "value": 0}, "value: stars must be a whole number from 1 to 5"),
    ({"method": "stars", "value": 6}, "value: stars must be a whole number from 1 to 5"),
    ({"method": "stars", "value": 4.5}, "value: stars must be a whole number from 1 to 5"),
    ({"method": "stars", "value": 1, "maximum": 1}, "maximum: stars need a whole maximum from 2 to 100"),
    ({"method": "stars", "value": 1, "maximum": 101}, "maximum: stars need a whole maximum from 2 to 100"),
    ({"method": "stars", "value": 1, "maximum": 4.5}, "maximum: stars need a whole maximum from 2 to 100"),
    ({"method": "numeric", "value": 1}, "minimum: numeric needs its range: minimum below maximum"),
    ({"method": "numeric", "value": 1, "minimum": 1, "maximum": 1}, "minimum: numeric needs its range"),
    ({"method": "numeric", "value": 1, "minimum": -1e308, "maximum": 1e308}, "maximum: the range is too wide"),
    ({"method": "numeric", "value": 1.01, "minimum": -1, "maximum": 1}, "value: must lie within -1 and 1"),
    ({"method": "numeric", "value": -1.01, "minimum": -1, "maximum": 1}, "value: must lie within -1 and 1"),
    ({"method": "win_rate", "wins": 1}, "wins: win_rate needs wins and losses"),
    ({"method": "win_rate", "wins": 0, "losses": 0}, "wins: win_rate needs at least one battle"),
    ({"method": "pairwise"}, "over: pairwise needs the interaction id"),
    ({"method": "pairwise", "over": "i"}, "over: must be another interaction"),
    (
        {"method": "pairwise", "over": "x", "value": 0},
        "value: pairwise takes 1 or nothing for preferred, 0.5 for a tie",
    ),
    ({"method": "pairwise", "over": "x", "value": 0.51}, "value: pairwise takes 1 or nothing"),
    ({"method": "correction", "text": " "}, "text: correction needs a text"),
    ({"method": "demonstration"}, "text: demonstration needs a text"),
    ({"method": "comment"}, "text: comment needs a text"),
    ({"method": "copied", "value": 0}, "value: copied is sent when it happens and needs none"),
    ({"method": "regenerated", "value": False}, "value: regenerated is sent when it happens and needs none"),
    ({"method": "abandoned", "value": 0.5}, "value: abandoned is sent when it happens and needs none"),
    ({"method": "edited"}, "text: edited needs what the answer was made into, or in value how much"),
    ({"method": "edited", "value": -0.01}, "value: must lie within 0 (nothing was kept) and 1 (all of it)"),
    ({"method": "edited", "value": 1.01, "text": "x"}, "value: must lie within 0 (nothing was kept) and 1 (all of it)"),
    ({"method": "tests_passed"}, "value: tests_passed takes up/down, true/false or 1/0"),
    ({"method": "tests_passed", "value": 0.5}, "value: tests_passed takes up/down, true/false or 1/0"),
    ({"method": "tests_passed", "value": "half"}, "value: tests_passed takes up/down, true/false or 1/0"),
    ({"method": "tests_passed", "wins": 1}, "losses: tests_passed needs wins (passed) and losses (failed)"),
    ({"method": "tests_passed", "losses": 1, "value": 1}, "wins: tests_passed needs wins (passed) and losses (failed)"),
    ({"method": "tests_passed", "wins": 0, "losses": 0}, "wins: tests_passed needs at least one test"),
    ({"method": "tests_passed", "wins": 1, "losses": 0, "ties": 1}, "ties: a test passes or fails"),
    ({"method": "thumbs", "value": 1, "by": ""}, "by: must not be empty"),
    ({"method": "thumbs", "value": 1, "by": 7}, "by: expected `str | null`"),
    ({"method": "edited", "text": 7}, "text: expected `str | null`"),
]


def _event(*scores: dict[str, Any]) -> dict[str, Any]:
    return {"event_id": "e", "interaction_id": "i", "scores": list(scores)}


@pytest.mark.parametrize("score", GOOD, ids=str)
def test_a_score_within_its_range_is_taken_and_comes_back_from_json(score: dict[str, Any]) -> None:
    event = event_from_json(_event(score))
    assert event.scores[0].method == score["method"]
    assert event_from_json(parse_json(event_to_json(event))) == event


@pytest.mark.parametrize(("score", "problem"), BAD, ids=str)
def test_a_score_out_of_its_range_is_refused_by_field(score: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        event_from_json(_event({"method": "thumbs", "value": 1}, score))
    assert str(caught.value).startswith(f"scores[1].{problem}")


def test_the_table_has_every_method_and_only_fields_of_a_score() -> None:
    assert set(METHODS) == set(get_args(ScoreMethod))
    assert {score["method"] for score in GOOD} == {score["method"] for score, _ in BAD} == set(METHODS)
    assert {field for method in METHODS.values() for field in method.fields} <= set(Score.__struct_fields__)
    assert {name for name, method in METHODS.items() if method.implicit} == {
        *("copied", "regenerated", "edited", "abandoned", "tests_passed"),
    }


@pytest.mark.parametrize("page", ["producing.md", "scores.md"])
def test_every_method_and_its_fields_are_in_the_docs(page: str) -> None:
    rows = [line for line in (DOCS / page).read_text().splitlines() if line.startswith("|")]
    for name, method in METHODS.items():
        told = next(row for row in rows if f"`{name}`" in row.split("|")[1])
        needs_none = method.check(Score(name)) is None
        assert needs_none or {field for field in method.fields if f"`{field}`" in told} == set(method.fields)
