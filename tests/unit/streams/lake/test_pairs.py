"""Which answers to one prompt make a preference pair, and which contradict each other."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from schemas.events import Consent, Message, RedactedEvent, ToolCall
from schemas.outcomes import Outcome
from schemas.reasons import Reason
from schemas.tables import EVENTS, arrow_table, event_row, outcome_row
from streams.lake.query import connect_to
from streams.lake.views import HIGH, MARGIN, PAIRS_A_PROMPT
from tests.events import redacted
from tests.fakes import FakeLake
from tests.outcomes import outcome


def lake_of(*records: Outcome | RedactedEvent) -> duckdb.DuckDBPyConnection:
    lake = FakeLake()
    for record in records:
        table, row = (EVENTS, event_row(record)) if isinstance(record, RedactedEvent) else outcome_row(record)
        lake.create(table).append(arrow_table(table, [row]), {}, {})
    return connect_to(lake)


def answer(name: str, score: float | None, prompt: str = "p", **fields: Any) -> Outcome:
    """An answer to a prompt that says its own name."""
    said = fields.pop("output", name)
    messages = (Message("user", prompt), Message("assistant", said))
    return outcome(name, **{"prompt_id": prompt, "output": said, "messages": messages, "score": score, **fields})


def pairs(*records: Outcome | RedactedEvent) -> list[tuple[str, str, str]]:
    query = "SELECT chosen_sample_id[3:], rejected_sample_id[3:], kind FROM preference_pairs ORDER BY ALL"
    return lake_of(*records).execute(query).fetchall()


def contradictions(*records: Outcome) -> list[tuple[str, int]]:
    query = "SELECT sample_id[3:], answers FROM contradictions ORDER BY ALL"
    return lake_of(*records).execute(query).fetchall()


def test_the_best_answer_to_a_prompt_makes_a_pair_with_each_that_is_worse_by_the_margin() -> None:
    answers = [answer("best", 1.0), answer("middle", 0.5), answer("worst", 0.0), answer("near", 1 - MARGIN + 0.01)]
    assert pairs(*answers) == [("best", "middle", "scores"), ("best", "worst", "scores")]
    assert pairs(answer("a", 0.5), answer("b", 0.5 - MARGIN)) == [("a", "b", "scores")]


@pytest.mark.parametrize(
    "other",
    [
        {"prompt_id": "another"},
        {"output": "good"},
        {"score": None},
        {"rejected": Reason.CONSENT_WITHDRAWN},
        {"duplicate_of": "t/good"},
    ],
)
def test_another_prompt_the_same_answer_no_score_a_rejection_or_a_near_duplicate_makes_none(
    other: dict[str, Any],
) -> None:
    assert pairs(answer("good", 1.0), answer("bad", 0.0)) == [("good", "bad", "scores")]
    assert pairs(answer("good", 1.0), answer("bad", **{"score": 0.0, **other})) == []


def test_samples_without_a_prompt_id_make_none() -> None:
    assert pairs(answer("good", 1.0, prompt_id=""), answer("bad", 0.0, prompt_id="")) == []


def test_a_person_who_withdrew_is_in_no_pair() -> None:
    withdrawn = redacted("c", at=1, interaction_id="", consent=Consent(False, "u" * 32))
    assert pairs(answer("good", 1.0), answer("bad", 0.0, user="u" * 32), withdrawn) == []


def test_only_the_latest_revision_counts() -> None:
    assert pairs(answer("good", 1.0), answer("bad", 0.0), answer("bad", 1.0, revision=2)) == []


def test_an_unreviewed_answer_of_a_tuned_model_is_only_ever_rejected() -> None:
    tuned, base, poor = answer("tuned", 1.0, awaits_review=True), answer("base", 0.9), answer("poor", 0.1)
    assert pairs(tuned, poor) == []
    assert pairs(tuned, base, poor) == [("base", "poor", "scores")]
    assert pairs(base, answer("tuned", 0.1, awaits_review=True)) == [("base", "tuned", "scores")]
    assert pairs(answer("tuned", None, preferred_over=("base",), awaits_review=True), base) == []
    assert pairs(answer("base", None, preferred_over=("tuned",)), tuned) == [("base", "tuned", "pairwise")]
    assert pairs(answer("tuned", 0.0, rejected_output="x", awaits_review=True)) == []


def test_near_duplicates_do_not_multiply_pairs_and_the_best_stands_for_them() -> None:
    answers = [
        answer("good", 0.8),
        answer("good2", 1.0, duplicate_of="t/good"),
        answer("bad", 0.1),
        answer("bad2", 0.0, duplicate_of="t/bad"),
    ]
    assert pairs(*answers) == [("good2", "bad", "scores")]
    # Also where the near duplicates answer prompts that are only alike.
    elsewhere = [answer("good3", 0.7, "q", duplicate_of="t/good"), answer("bad3", 0.0, "q", duplicate_of="t/bad")]
    assert len(pairs(*answers, *elsewhere)) == 1
    another = [answer("good3", 0.7, "q", duplicate_of="t/good"), answer("other", 0.0, "q")]
    assert pairs(*answers, *another) == [("good2", "bad", "scores"), ("good3", "other", "scores")]


def test_the_same_words_in_two_clusters_make_one_pair() -> None:
    assert pairs(answer("good", 1.0), answer("bad", 0.0, output="no"), answer("bad2", 0.0, output="no")) == [
        ("good", "bad", "scores")
    ]


def test_a_comparison_makes_a_pair_whatever_the_scores_and_overrules_them() -> None:
    assert pairs(answer("a", None, preferred_over=("b",)), answer("b", None)) == [("a", "b", "pairwise")]
    assert pairs(answer("a", 0.0, preferred_over=("b",)), answer("b", 1.0)) == [("a", "b", "pairwise")]
    assert pairs(answer("a", None, preferred_over=("b",)), answer("b", None, "q")) == []
    assert pairs(answer("a", None, preferred_over=("nowhere",)), answer("b", None)) == []
    assert pairs(answer("a", None, preferred_over=("b",), tenant="u"), answer("b", None)) == []


def test_two_comparisons_that_contradict_each_other_make_none() -> None:
    assert pairs(answer("a", None, preferred_over=("b",)), answer("b", None, preferred_over=("a",))) == []


def test_a_comparison_with_a_near_duplicate_is_one_with_the_best_of_its_cluster() -> None:
    lost = [answer("b", 0.5), answer("b2", 0.1, duplicate_of="t/b")]
    assert pairs(answer("a", 0.6, preferred_over=("b2",)), *lost) == [("a", "b", "pairwise")]
    assert pairs(answer("b3", None, preferred_over=("b",), duplicate_of="t/b"), *lost) == []


def test_a_correction_makes_a_pair_of_one_sample() -> None:
    corrected = answer("c", 0.0, output="56", rejected_output="54", origin="human")
    (row,) = lake_of(corrected).sql("FROM preference_pairs").to_arrow_table().to_pylist()
    assert (row["kind"], row["margin"], row["chosen_score"], row["rejected_score"]) == ("correction", None, None, 0.0)
    assert row["chosen_sample_id"] == row["rejected_sample_id"] == "t/c"
    assert (row["chosen_output"], row["rejected_output"]) == ("56", "54")
    assert [message["content"] for message in row["chosen_messages"]] == ["p", "56"]
    assert [message["content"] for message in row["rejected_messages"]] == ["p", "54"]
    assert pairs(answer("c", 0.0, output="56", rejected_output="56", origin="human")) == []


def test_a_score_says_nothing_of_the_answer_that_a_person_wrote_instead() -> None:
    corrected = answer("c", 0.0, output="56", rejected_output="54", origin="human")
    assert pairs(corrected, answer("good", 1.0)) == [("c", "c", "correction")]
    assert contradictions(answer("c", 1.0, origin="human"), answer("good", 1.0)) == []


def test_answers_that_only_call_tools_differ_by_their_calls() -> None:
    def calling(name: str, score: float, arguments: str) -> Outcome:
        call = Message("assistant", tool_calls=(ToolCall("look", arguments, f"id-{name}"),))
        return answer(name, score, output="", messages=(Message("user", "p"), call))

    assert pairs(calling("a", 1.0, '{"q":1}'), calling("b", 0.0, '{"q":2}')) == [("a", "b", "scores")]
    assert pairs(calling("a", 1.0, '{"q":1}'), calling("b", 0.0, '{"q":1}')) == []


def test_a_prompt_that_everybody_sends_makes_a_bounded_number_of_pairs_the_clearest_ones() -> None:
    answers = [answer(f"a{number:02}", number / 100) for number in range(30)]
    made = pairs(*answers, answer("best", 1.0), answer("z", None, preferred_over=("best",)))
    assert len(made) == PAIRS_A_PROMPT
    assert ("z", "best", "pairwise") in made
    assert [rejected for chosen, rejected, _ in made if chosen == "best"] == [f"a{n:02}" for n in range(7)]


def test_answers_that_disagree_and_are_both_scored_high_are_flagged() -> None:
    both = [answer("yes", 1.0), answer("no", HIGH)]
    assert contradictions(*both) == [("no", 2), ("yes", 2)]
    assert contradictions(*both, answer("maybe", 0.9), answer("wrong", HIGH - 0.01)) == [
        ("maybe", 3),
        ("no", 3),
        ("yes", 3),
    ]
    assert contradictions(answer("yes", 1.0), answer("no", HIGH - 0.01)) == []
    assert contradictions(answer("yes", 1.0), answer("no", 1.0, "q")) == []
    assert contradictions(answer("yes", 1.0), answer("no", 1.0, output="yes")) == []
    assert contradictions(answer("yes", 1.0), answer("yes!", 1.0, duplicate_of="t/yes")) == []
