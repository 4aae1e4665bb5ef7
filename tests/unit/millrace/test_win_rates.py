"""`millrace lake win-rates`: which battles count, and what is shown of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from millrace.lake import app
from schemas.events import Consent, Erasure, RedactedEvent, Retraction, Score
from schemas.reasons import Reason
from schemas.tables import EVENTS, REJECTED, SAMPLES, arrow_table, event_row, outcome_row
from streams.battles import By, compare
from streams.lake import query
from streams.lake.delta import DeltaLake
from tests.events import interaction, redacted
from tests.outcomes import outcome


def answer(name: str, model: str | None, tenant: str = "t", **fields: Any) -> RedactedEvent:
    """An answer of a model."""
    body = interaction("question", "answer", model=model, **fields)
    return redacted(f"{tenant}-{name}", interaction_id=name, tenant=tenant, interaction=body)


def beats(winner: str, loser: str, event_id: str = "", at: int = 1, tenant: str = "t", **fields: Any) -> RedactedEvent:
    """A judge's word on two answers."""
    score = Score("pairwise", over=loser, **fields)
    return redacted(event_id or f"{winner}>{loser}@{at}", at, interaction_id=winner, tenant=tenant, scores=(score,))


def counted(name: str, event_id: str, wins: int, losses: int, at: int = 1, **fields: Any) -> RedactedEvent:
    """A win rate from counts."""
    score = Score("win_rate", wins=wins, losses=losses, **fields)
    return redacted(event_id, at, interaction_id=name, scores=(score,))


def lake_of(folder: Path, *events: RedactedEvent) -> str:
    root = str(folder / "lake")
    DeltaLake(root).create(EVENTS).append(arrow_table(EVENTS, [event_row(event) for event in events]), {}, {})
    return root


def tallies(root: str, by: By = By.MODEL, tenant: str = "") -> dict[str, tuple[int, ...]]:
    compared = compare(query.connect(root), by, tenant)
    return {line.name: tuple(line.tally) for line in compared.win_rates}


ANSWERS = (answer("1", "a"), answer("2", "b"), answer("3", "b"), answer("4", "c"))


def test_wins_losses_and_ties_are_counted_on_both_sides_whichever_name_is_first(tmp_path: Path) -> None:
    root = lake_of(tmp_path, *ANSWERS, beats("1", "2"), beats("3", "1"), beats("1", "4", value=0.5), beats("4", "3"))
    assert tallies(root) == {"a": (1, 1, 1), "b": (1, 2, 0), "c": (1, 0, 1)}


def test_a_judge_has_one_word_on_two_answers_the_last_whichever_it_was_said_of(tmp_path: Path) -> None:
    root = lake_of(tmp_path, *ANSWERS, *(beats("1", "2", at=at) for at in range(1, 9)), beats("2", "1", at=9))
    assert tallies(root) == {"a": (0, 1, 0), "b": (1, 0, 0)}


def test_several_judges_and_one_as_several_raters_have_a_word_each(tmp_path: Path) -> None:
    words = [
        beats("1", "2", at=1, by="x"),
        beats("1", "2", at=2, by="y"),
        beats("2", "1", at=3, by="y", rater="expert"),
    ]
    assert tallies(lake_of(tmp_path, *ANSWERS, *words)) == {"a": (2, 1, 0), "b": (1, 2, 0)}


def test_an_event_that_came_in_twice_counts_once(tmp_path: Path) -> None:
    word = beats("1", "2")
    assert tallies(lake_of(tmp_path, *ANSWERS, ANSWERS[0], word, word)) == {"a": (1, 0, 0), "b": (0, 1, 0)}


def test_retracted_scores_do_not_count_and_what_was_said_before_them_does(tmp_path: Path) -> None:
    taken_back = redacted("r", 3, interaction_id="2", retraction=Retraction("late"))
    root = lake_of(tmp_path, *ANSWERS, beats("1", "2", at=1), beats("2", "1", "late", at=2), taken_back)
    assert tallies(root) == {"a": (1, 0, 0), "b": (0, 1, 0)}


def test_a_retraction_in_another_interaction_takes_nothing_back(tmp_path: Path) -> None:
    elsewhere = redacted("r", 3, interaction_id="4", retraction=Retraction("word"))
    assert tallies(lake_of(tmp_path, *ANSWERS, beats("1", "2", "word"), elsewhere)) == {"a": (1, 0, 0), "b": (0, 1, 0)}


@pytest.mark.parametrize(
    "gone",
    [
        redacted("w", 9, interaction_id="", erasure=Erasure("winner")),
        redacted("w", 9, interaction_id="", erasure=Erasure("loser")),
        redacted("w", 9, interaction_id="", erasure=Erasure("judge")),
        redacted("w", 9, interaction_id="", consent=Consent(False, "judge")),
    ],
)
def test_withdrawn_persons_do_not_count_as_winner_loser_or_judge(tmp_path: Path, gone: RedactedEvent) -> None:
    events = [answer("1", "a", user="winner"), answer("2", "b", user="loser"), beats("1", "2", by="judge")]
    assert tallies(lake_of(tmp_path, *events)) == {"a": (1, 0, 0), "b": (0, 1, 0)}
    (tmp_path / "after").mkdir()
    assert tallies(lake_of(tmp_path / "after", *events, gone)) == {}


@pytest.mark.parametrize("name", ["1", "2"])
def test_an_interaction_without_consent_does_not_count(tmp_path: Path, name: str) -> None:
    root = lake_of(tmp_path, *ANSWERS, beats("1", "2"))
    table, row = outcome_row(outcome(name, rejected=Reason.CONSENT_WITHDRAWN))
    DeltaLake(root).create(REJECTED).append(arrow_table(table, [row]), {}, {})
    assert tallies(root) == {}


def test_what_is_held_does_not_count_until_it_is_let_in(tmp_path: Path) -> None:
    root = lake_of(tmp_path, *ANSWERS, beats("1", "2", "1-7"), beats("4", "2"))
    table, row = outcome_row(outcome("1", 7, rejected=Reason.BURST_HELD, scope="event"))
    DeltaLake(root).create(REJECTED).append(arrow_table(table, [row]), {}, {})
    assert tallies(root) == {"c": (1, 0, 0), "b": (0, 1, 0)}
    table, row = outcome_row(outcome("1", 7))
    DeltaLake(root).create(SAMPLES).append(arrow_table(table, [row]), {}, {})
    assert tallies(root) == {"a": (1, 0, 0), "c": (1, 0, 0), "b": (0, 2, 0)}


def test_another_event_with_an_id_that_was_taken_does_not_count(tmp_path: Path) -> None:
    root = lake_of(tmp_path, *ANSWERS, beats("1", "2", "1-7", at=1), beats("1", "4", "1-7", at=2))
    table, row = outcome_row(outcome("1", 7, at=2, rejected=Reason.ID_CONFLICT, scope="event"))
    DeltaLake(root).create(REJECTED).append(arrow_table(table, [row]), {}, {})
    assert tallies(root) == {"a": (1, 0, 0), "b": (0, 1, 0)}


def test_counts_are_against_the_field_and_a_judge_s_last_ones_count(tmp_path: Path) -> None:
    words = [
        counted("1", "e1", 1, 1),
        counted("1", "e2", 8, 2, at=2, ties=1),
        counted("1", "e3", 3, 0, by="x"),
        counted("2", "e4", 1, 9),
    ]
    root = lake_of(tmp_path, *ANSWERS, *words)
    assert tallies(root) == {"a": (11, 2, 1), "b": (1, 9, 0)}
    strong, weak = compare(query.connect(root), By.MODEL).win_rates
    assert strong.strength is not None
    assert weak.strength is not None
    assert strong.strength.low > weak.strength.high
    assert strong.strength.group == weak.strength.group == 0


def test_battles_of_one_name_of_none_or_with_an_unknown_answer_are_left_out_and_counted(tmp_path: Path) -> None:
    words = [beats("2", "3"), beats("1", "nowhere"), beats("5", "1"), beats("1", "1"), beats("1", "4")]
    root = lake_of(tmp_path, *ANSWERS, answer("5", None), *words, counted("5", "n", 2, 1))
    compared = compare(query.connect(root), By.MODEL)
    assert {line.name for line in compared.win_rates} == {"a", "c"}
    assert compared.left_out == 3 + 3


def test_interactions_of_another_tenant_are_others(tmp_path: Path) -> None:
    theirs = [answer("1", "x", "u"), answer("2", "y", "u"), beats("2", "1", "u-word", tenant="u")]
    root = lake_of(tmp_path, *ANSWERS, *theirs, beats("1", "2"))
    assert tallies(root) == {"a": (1, 0, 0), "b": (0, 1, 0), "y": (1, 0, 0), "x": (0, 1, 0)}
    assert tallies(root, tenant="u") == {"y": (1, 0, 0), "x": (0, 1, 0)}


def test_versions_go_by_their_model_and_variants_by_themselves(tmp_path: Path) -> None:
    one = answer("1", "a", model_version="1", variant="red")
    other = answer("2", "a", model_version="2", variant="blue")
    root = lake_of(tmp_path, one, other, beats("1", "2"))
    assert set(tallies(root, By.MODEL_VERSION)) == {"a 1", "a 2"}
    assert set(tallies(root, By.VARIANT)) == {"red", "blue"}
    assert tallies(root, By.MODEL) == {}


def test_the_table_has_the_strongest_first_and_says_what_cannot_be_compared(tmp_path: Path) -> None:
    events = [answer("1", "a"), answer("2", "b"), answer("3", "c"), answer("4", "d"), answer("5", "b")]
    words = [beats("1", "2"), beats("1", "5"), beats("3", "4"), beats("2", "5")]
    root = lake_of(tmp_path, *events, *words)
    done = CliRunner().invoke(app, ["win-rates", "--lake", root], env={"COLUMNS": "120"})
    assert done.exit_code == 0
    rows = [line for line in done.stdout.splitlines() if "–" in line]
    assert [row.split("│")[1].strip() for row in rows] == ["a", "b", "c", "d"]
    assert rows[0].split("│")[2].strip() == "2"
    assert "0.750" in rows[0]
    assert "2 groups that no battle connects" in done.stdout
    assert "Battles left out: 1," in done.stdout


def test_json_is_one_object_a_name(tmp_path: Path) -> None:
    root = lake_of(tmp_path, *ANSWERS, beats("1", "2"), beats("1", "3", value=0.5))
    done = CliRunner().invoke(app, ["win-rates", "--by", "model", "--lake", root, "--json"])
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["name"], first["battles"], first["wins"], first["losses"], first["ties"]) == ("a", 2, 1, 0, 1)
    assert first["win_rate_low"] < first["win_rate"] == 2.5 / 4 < first["win_rate_high"]
    assert first["strength_low"] < first["strength"] < first["strength_high"]
    assert first["strength"] == pytest.approx(-second["strength"])
    assert second["group"] == 0


def test_without_battles_there_are_no_lines_and_without_a_lake_it_exits_2(tmp_path: Path) -> None:
    root = lake_of(tmp_path, *ANSWERS)
    assert CliRunner().invoke(app, ["win-rates", "--lake", root, "--json"]).stdout == ""
    missing = CliRunner().invoke(app, ["win-rates", "--lake", str(tmp_path / "nowhere")])
    assert (missing.exit_code, "there is no lake" in missing.stderr) == (2, True)
