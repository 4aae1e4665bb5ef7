"""`millrace stage`: NDJSON in and out, bad lines told by their number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from millrace.__main__ import app
from streams.errors import SettingError

ANSWER = " ".join(f"word{number}" for number in range(30))


def _stage(name: str, *lines: object, options: tuple[str, ...] = ()) -> Result:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    return CliRunner().invoke(app, ["stage", name, *options], input=text)


def _answers(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_redact_adds_entities_in_order_with_type_place_and_score() -> None:
    text = "mail jo@example.com or call 212-555-0123"
    (answer,) = _answers(_stage("redact", {"text": text, "id": 5}))
    found = {entity["type"]: text[entity["start"] : entity["end"]] for entity in answer["entities"]}
    assert found["EMAIL_ADDRESS"] == "jo@example.com"
    assert found["PHONE_NUMBER"] == "212-555-0123"
    assert answer["redacted"] == "mail <EMAIL_ADDRESS_1> or call <PHONE_NUMBER_1>"
    assert (answer["text"], answer["id"]) == (text, 5)
    assert all(0 < entity["score"] <= 1 for entity in answer["entities"])


def test_redact_reads_a_sample_and_says_in_which_field_it_found_what() -> None:
    sample = {"instruction": "Who is jo@example.com?", "input": "", "output": "Call 212-555-0123."}
    (answer,) = _answers(_stage("redact", sample))
    assert {entity["field"] for entity in answer["entities"]} == {"instruction", "output"}
    assert answer["redacted"]["output"] == "Call <PHONE_NUMBER_1>."


def test_a_person_has_one_number_in_all_fields_of_a_sample_by_whichever_name() -> None:
    (answer,) = _answers(_stage("redact", {"instruction": "My name is Maria Gonzalez.", "output": "Hello Maria!"}))
    assert answer["redacted"] == {"instruction": "My name is <PERSON_1>.", "output": "Hello <PERSON_1>!"}


def test_without_names_the_findings_are_those_of_stock_presidio_and_secrets_each_with_its_rule() -> None:
    from streams.redaction.presidio.stock import StockAnalyzer

    key = "AKIA" + "QYLPMN5HFIQR7XYA"
    line = {"text": f"Maria Gonzalez, jo@example.com, number 12345678, {key}"}
    options = ("--no-names", "--explain", "--min-score", "0")
    (answer,) = _answers(_stage("redact", line, options=options))
    found = {(each["type"], each["start"], each["end"], each["score"]) for each in answer["entities"]}
    secrets = {each for each in found if each[0] == "API_KEY"}
    assert len(secrets) == 1
    assert found - secrets == {each[:4] for each in StockAnalyzer().analyze(line["text"])}
    assert all(each["rule"] for each in answer["entities"])


def test_the_settings_of_redaction_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_REDACTION_POLICY", "EMAIL_ADDRESS=mask,URL=keep")
    monkeypatch.setenv("MILLRACE_REDACTION_NAMES", "off")
    (answer,) = _answers(_stage("redact", {"text": "Maria, jo@example.com, example.org"}))
    assert answer["redacted"] == "Maria, **@*******.***, example.org"


@pytest.mark.parametrize("names", ["nobody", "spacy:en_core_web_none", "presidio:/none.yaml", "spacy:"])
def test_a_names_model_that_is_none_is_told_by_its_setting(names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_REDACTION_NAMES", names)
    result = _stage("redact", {"text": "x"})
    assert isinstance(result.exception, SettingError)
    assert "MILLRACE_REDACTION_NAMES" in str(result.exception)


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


SAMPLE = {"instruction": "How do I bake bread?", "output": "Mix flour, water, salt and yeast, and wait a night."}


def test_score_says_the_score_its_interval_and_why() -> None:
    scores = [
        {"method": "thumbs", "value": "up", "by": "ada"},
        {"method": "stars", "value": 3, "by": "jo"},
        {"method": "thumbs", "value": "down", "by": "ada"},
    ]
    (answer,) = _answers(_stage("score", {"scores": scores}, options=("--explain",)))
    assert answer["score"] == 0.25, "ada's last word, and jo's"
    assert answer["score_low"] < 0.25 < answer["score_high"]
    assert any("thumbs" in line and "superseded" in line for line in answer["why"])
    (answer,) = _answers(_stage("score", {"score": {"method": "comment", "text": "fine"}}))
    assert (answer["score"], answer["confidence"], "why" in answer) == (None, 0.0, False)


def test_gate_says_what_a_sample_lacks_and_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (answer,) = _answers(_stage("gate", SAMPLE, options=("--explain",)))
    assert (answer["dropped"], answer["language"]) == (None, "en")
    assert {gate["gate"] for gate in answer["gates"]} >= {"consent", "policy_model", "length"}
    assert answer["why"][-1].startswith("kept: quality")
    (answer,) = _answers(_stage("gate", {**SAMPLE, "sensitive": True}, options=("--explain",)))
    assert (answer["dropped"], answer["why"][-1]) == ("consent_missing", "dropped: consent_missing")
    (answer,) = _answers(_stage("gate", {**SAMPLE, "output": " "}))
    assert answer["dropped"] == "empty_output"
    curation = tmp_path / "curation.yaml"
    curation.write_text("gates: {profile: strict}")
    monkeypatch.setenv("MILLRACE_CURATION", str(curation))
    (answer,) = _answers(_stage("gate", SAMPLE))
    assert answer["dropped"] == "low_quality", "no system prompt, and too few words"


def test_dedup_says_why_in_words() -> None:
    lines = [{"id": "a", "text": ANSWER}, {"id": "b", "text": ANSWER + " more"}]
    first, second = _answers(_stage("dedup", *lines, options=("--explain",)))
    assert "no duplicate" in first["why"][0]
    assert "near duplicate of a" in second["why"][0]


def test_stages_in_a_row_each_take_what_the_one_before_made() -> None:
    lines = [
        {
            "id": name,
            "instruction": f"I am {who}. How do I bake bread?",
            "output": ANSWER,
            "score": {"method": "thumbs", "value": 1},
        }
        for name, who in (("a", "Maria Gonzalez"), ("b", "Robert Smith"))
    ]
    first, second = _answers(_stage("redact", *lines, options=("--to", "dedup", "--explain")))
    assert "Maria" not in json.dumps(first["redacted"])
    assert (first["pii"], first["score"], first["dropped"], first["duplicate_of"]) == ({"PERSON": 1}, 1.0, None, None)
    assert second["duplicate_of"] == "a", "but for their names they say the same"
    assert any(line.startswith("kept: quality") for line in first["why"])
    (answer,) = _answers(_stage("gate", {**SAMPLE, "sensitive": True}, options=("--to", "dedup")))
    assert (answer["dropped"], "duplicate_of" in answer) == ("consent_missing", False)


@pytest.mark.parametrize(("name", "to"), [("dedup", "redact"), ("gate", "polish")])
def test_the_way_goes_on_from_the_first_stage_to_a_later_one(name: str, to: str) -> None:
    assert isinstance(_stage(name, options=("--to", to)).exception, SettingError)


@pytest.mark.parametrize(("name", "line"), [("gate", {"text": "x"}), ("score", {"scores": [{"method": "thumbs"}]})])
def test_a_line_that_is_no_sample_is_told_by_its_field(name: str, line: dict[str, Any]) -> None:
    result = _stage(name, line)
    assert (result.exit_code, "line 1:" in result.stderr) == (1, True)


def test_an_unknown_stage_names_those_that_there_are() -> None:
    result = _stage("polish")
    assert "redact, score, gate, dedup" in str(result.exception)
