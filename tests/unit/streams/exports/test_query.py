"""Which samples and pairs an export takes, and in which order."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest

from schemas.events import ContentPart, Message, ToolCall
from schemas.outcomes import Outcome
from schemas.tables import SAMPLES, arrow_table, outcome_row
from streams.exports.query import Wanted, lines, source
from streams.lake.delta import DeltaLake
from tests.outcomes import outcome


def answer(name: str, score: float | None, prompt: str = "p", **fields: Any) -> Outcome:
    """An answer to a prompt that says its own name."""
    messages = (Message("user", prompt), Message("assistant", name))
    filled = {"prompt_id": prompt, "instruction": prompt, "output": name, "messages": messages, "score": score}
    return outcome(name, **{**filled, **fields})


CALLS = (
    Message("user", "p"),
    Message("assistant", tool_calls=(ToolCall("f", "{}"),)),
    Message("tool", "x"),
    Message("assistant", "tool"),
)
PICTURE = (Message("user", parts=(ContentPart("image_url", data="{}"),)), Message("assistant", "picture"))

OUTCOMES = [
    answer("good", 1.0),
    answer("good2", 0.9, duplicate_of="t/good"),
    answer("bad", 0.0),
    answer("middle", 0.5, "q"),
    answer("unrated", None, "r"),
    answer("human", None, "s", origin="human"),
    answer("corrected", 0.0, "u", origin="human", rejected_output="wrong"),
    answer("reviewed", 0.0, "u2", reviewed=True, rejected_output="false"),
    answer("tuned", 1.0, "v", awaits_review=True),
    answer("tuned_bad", 0.1, awaits_review=True),
    answer("role", 0.8, "w", role="helper", language="de"),
    answer("tool", 0.7, "x", messages=CALLS),
    answer("elsewhere", 0.9, "y", tenant="other"),
]


@pytest.fixture
def lake(tmp_path: Path) -> str:
    store = DeltaLake(str(tmp_path)).create(SAMPLES)
    for each in reversed(OUTCOMES):
        store.append(arrow_table(SAMPLES, [outcome_row(each)[1]]), {}, {})
    return str(tmp_path)


def written(lake: str, form: str, **options: Any) -> list[dict[str, Any]]:
    left_out: Counter[str] = Counter()
    made = [json.loads(each.line) for each in lines(source(lake), Wanted(form, **options), left_out)]
    assert not left_out
    return made


def answers(lake: str, form: str, **options: Any) -> list[str]:
    """The answers in an export; a pair as `chosen > rejected`, a label before its answer."""
    shown = []
    for line in written(lake, form, **options):
        match line:
            case {"output": output}:
                shown.append(output)
            case {"messages": messages}:
                shown.append(messages[-1]["content"])
            case {"label": label, "completion": [completion]}:
                shown.append(("+" if label else "-") + completion["content"])
            case {"completion": [completion]}:
                shown.append(completion["content"])
            case {"chosen": [chosen], "rejected": [rejected]}:
                shown.append(f"{chosen['content']} > {rejected['content']}")
            case {"preferred_output": [chosen], "non_preferred_output": [rejected]}:
                shown.append(f"{chosen['content']} > {rejected['content']}")
    return shown


@pytest.mark.parametrize("form", ["openai-sft", "trl-sft"])
def test_supervised_formats_take_one_well_scored_or_human_answer_a_cluster_and_none_that_awaits_review(
    lake: str, form: str
) -> None:
    assert answers(lake, form) == ["elsewhere", "corrected", "good", "human", "middle", "reviewed", "role", "tool"]
    assert answers(lake, form, min_score=0.85) == ["elsewhere", "corrected", "good", "human", "reviewed"]


def test_the_plain_format_takes_whatever_is_scored_and_none_that_awaits_review(lake: str) -> None:
    everything = ["elsewhere", "bad", "corrected", "good", "human", "middle", "reviewed", "role", "tool", "unrated"]
    assert answers(lake, "sample") == everything
    assert answers(lake, "sample", min_score=0.6) == [
        "elsewhere",
        "corrected",
        "good",
        "human",
        "reviewed",
        "role",
        "tool",
    ]


def test_kto_takes_good_and_bad_answers_and_none_in_the_middle(lake: str) -> None:
    labelled = ["+elsewhere", "-bad", "+corrected", "+good", "+human", "+reviewed", "+role", "+tool"]
    assert answers(lake, "trl-kto") == labelled
    assert answers(lake, "trl-kto", min_score=0.85) == [
        "+elsewhere",
        "-bad",
        "+corrected",
        "+good",
        "+human",
        "+reviewed",
    ]
    assert "+middle" in answers(lake, "trl-kto", min_score=0.5)


@pytest.mark.parametrize("form", ["openai-dpo", "trl-preference"])
def test_preference_formats_take_all_pairs_and_what_awaits_review_as_rejected_only(lake: str, form: str) -> None:
    assert answers(lake, form) == ["good > bad", "good > tuned_bad", "corrected > wrong", "reviewed > false"]
    assert answers(lake, form, where="sample_id <> 't/bad'") == [
        "good > tuned_bad",
        "corrected > wrong",
        "reviewed > false",
    ]
    assert answers(lake, form, min_score=1.0) == [
        "good > bad",
        "good > tuned_bad",
        "corrected > wrong",
        "reviewed > false",
    ]
    assert answers(lake, form, where="origin <> 'human'", min_score=1.0) == [
        "good > bad",
        "good > tuned_bad",
        "reviewed > false",
    ]


def test_role_tenant_tools_and_a_condition_narrow_an_export(lake: str) -> None:
    assert answers(lake, "sample", role="helper") == ["role"]
    assert answers(lake, "sample", tenant="other") == ["elsewhere"]
    assert answers(lake, "sample", role="helper", tenant="other") == []
    assert answers(lake, "openai-sft", tools_only=True) == ["tool"]
    assert answers(lake, "sample", where="language = 'de' -- Austrian") == ["role"]
    assert answers(lake, "sample", where="duplicates > 0") == ["good"]
    assert answers(lake, "sample", where="role = 'helper' OR score = 0.7", tenant="t") == ["role", "tool"]


def test_two_exports_of_one_lake_are_the_same_bytes(lake: str) -> None:
    for form in ("sample", "trl-preference"):
        one, other = (list(lines(source(lake), Wanted(form), Counter())) for _ in range(2))
        assert one == other


def test_lineage_stands_beside_a_line_that_has_no_room_for_it(lake: str) -> None:
    for each in lines(source(lake), Wanted("openai-sft"), Counter()):
        assert each.lineage is not None
        meta = json.loads(each.lineage)
        assert meta["sample_id"].split("/")[1] == json.loads(each.line)["messages"][-1]["content"]
        assert meta["table_versions"] == {"samples": len(OUTCOMES)}
    assert {each.lineage for each in lines(source(lake), Wanted("trl-sft"), Counter())} == {None}


def test_what_a_format_has_no_room_for_is_counted_by_reason(lake: str) -> None:
    picture = answer("picture", 1.0, "z", messages=PICTURE)
    DeltaLake(lake).create(SAMPLES).append(arrow_table(SAMPLES, [outcome_row(picture)[1]]), {}, {})
    left_out: Counter[str] = Counter()
    assert len(list(lines(source(lake), Wanted("trl-sft"), left_out))) == 8
    assert left_out == {"a message has content that is no text": 1}


@pytest.mark.parametrize("where", ["nothing = 1", "true)", "1; DROP VIEW samples", "read_text('/etc/hosts') = ''"])
def test_a_wrong_condition_is_an_error(lake: str, where: str) -> None:
    with pytest.raises(duckdb.Error):
        list(lines(source(lake), Wanted("sample", where=where), Counter()))


def test_a_row_from_before_a_column_was_there_is_exported(tmp_path: Path) -> None:
    old = answer("old", 1.0, awaits_review=None, reviewed=None, profile=None, prompt_id=None)
    DeltaLake(str(tmp_path)).create(SAMPLES).append(arrow_table(SAMPLES, [outcome_row(old)[1]]), {}, {})
    assert answers(str(tmp_path), "openai-sft") == ["old"]


def test_of_an_empty_lake_there_is_nothing(tmp_path: Path) -> None:
    for form in ("sample", "openai-dpo"):
        assert written(str(tmp_path), form) == []
