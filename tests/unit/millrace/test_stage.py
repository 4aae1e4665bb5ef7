"""`millrace stage`: NDJSON in and out, bad lines told by their number."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from millrace.__main__ import app

ANSWER = " ".join(f"word{number}" for number in range(30))


def _stage(name: str, *lines: object) -> Result:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    return CliRunner().invoke(app, ["stage", name], input=text)


def _answers(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_redact_adds_entities_in_order_with_type_place_and_score() -> None:
    text = "mail jo@example.com or call 212-555-0123"
    (answer,) = _answers(_stage("redact", {"text": text, "id": 5}))
    found = {entity["type"]: text[entity["start"] : entity["end"]] for entity in answer["entities"]}
    assert found["EMAIL_ADDRESS"] == "jo@example.com"
    assert found["PHONE_NUMBER"] == "212-555-0123"
    assert answer["redacted"] == "mail <EMAIL_ADDRESS> or call <PHONE_NUMBER>"
    assert (answer["text"], answer["id"]) == (text, 5)
    assert all(0 < entity["score"] <= 1 for entity in answer["entities"])


def test_redact_reads_a_sample_and_says_in_which_field_it_found_what() -> None:
    sample = {"instruction": "Who is jo@example.com?", "input": "", "output": "Call 212-555-0123."}
    (answer,) = _answers(_stage("redact", sample))
    assert {entity["field"] for entity in answer["entities"]} == {"instruction", "output"}
    assert answer["redacted"]["output"] == "Call <PHONE_NUMBER>."


def test_dedup_points_to_the_first_of_near_duplicates() -> None:
    lines = [{"id": "a", "text": ANSWER}, {"id": "b", "text": ANSWER + " more"}, {"id": "c", "text": "something else"}]
    assert [answer["duplicate_of"] for answer in _answers(_stage("dedup", *lines))] == [None, "a", None]


def test_dedup_takes_the_prompt_into_account_where_there_is_one() -> None:
    lines = [
        {"id": "a", "text": ANSWER, "prompt": "How do I bake bread at home?"},
        {"id": "b", "text": ANSWER, "prompt": "What is the capital of France?"},
        {"id": "c", "text": ANSWER, "prompt": "how do i bake bread, at home"},
    ]
    assert [answer["duplicate_of"] for answer in _answers(_stage("dedup", *lines))] == [None, None, "a"]


@pytest.mark.parametrize("name", ["redact", "dedup"])
def test_a_bad_line_is_reported_and_answered_and_the_filter_goes_on_and_exits_1(name: str) -> None:
    good = {"id": "a", "text": "fine"}
    result = _stage(name, good, "no json", "[]", {"id": "b", "text": 5}, '{"id": "c", "text": "\\ud800"}', good)
    assert result.exit_code == 1
    answers = _answers(result)
    assert ["error" in answer for answer in answers] == [False, True, True, True, True, False]
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["line 2", "line 3", "line 4", "line 5"]


def test_an_unknown_stage_names_those_that_there_are() -> None:
    result = _stage("polish")
    assert "redact, dedup" in str(result.exception)
