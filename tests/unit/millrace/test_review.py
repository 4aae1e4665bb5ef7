"""`millrace review` and `millrace held`: what is listed; `tests/integration/test_curation.py` has what they send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner, Result

from millrace import held, review
from schemas.events import RedactedEvent, Score
from schemas.outcomes import Outcome
from schemas.reasons import Reason
from schemas.tables import EVENTS, arrow_table, event_row, outcome_row
from streams.lake.delta import DeltaLake
from tests.events import interaction, redacted
from tests.outcomes import outcome


def lake_of(folder: Path, *records: RedactedEvent | Outcome) -> str:
    lake = DeltaLake(str(folder))
    for record in records:
        table, row = (EVENTS, event_row(record)) if isinstance(record, RedactedEvent) else outcome_row(record)
        lake.create(table).append(arrow_table(table, [row]), {}, {})
    return str(folder)


def run(app: typer.Typer, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def rows(app: typer.Typer, *arguments: str) -> list[dict[str, Any]]:
    done = run(app, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_queue_has_what_awaits_review_the_oldest_first(tmp_path: Path) -> None:
    waiting = [outcome(name, at=at, awaits_review=True, role="r") for name, at in (("b", 2), ("a", 1), ("d", 3))]
    lake = lake_of(tmp_path, *waiting, outcome("c"), outcome("b", 2, at=4, reviewed=True))
    assert [row["sample_id"] for row in rows(review.app, "list", "--lake", lake)] == ["t/a", "t/d"]
    assert rows(review.app, "list", "--lake", lake, "--role", "other") == []
    assert "t/a" in run(review.app, "list", "--lake", lake).stdout


def test_an_audit_draws_the_same_share_of_every_task_type_and_another_seed_draws_others(tmp_path: Path) -> None:
    kinds = ["many"] * 20 + ["few"] * 5
    samples = [outcome(f"i{at}", at=at, task_type=kind, output=f"{at}") for at, kind in enumerate(kinds)]
    lake = lake_of(tmp_path, *samples, outcome("done", at=99, task_type="few", reviewed=True))
    drawn = {seed: rows(review.app, "list", "--audit", "--limit", "6", "--seed", seed, "--lake", lake) for seed in "xy"}
    for one in drawn.values():
        few = [row for row in one if int(row["sample_id"].removeprefix("t/i")) >= 20]
        assert (len(one), len(few)) == (6, 3)
    assert drawn["x"] != drawn["y"]


@pytest.mark.parametrize("verdict", [("approve",), ("reject",), ("edit", "--output", "x")])
def test_a_verdict_on_what_the_lake_does_not_have_is_refused_and_nothing_is_sent(
    tmp_path: Path, verdict: tuple[str, ...]
) -> None:
    lake = lake_of(tmp_path, redacted("e", interaction_id="i", interaction=interaction("q", "a")))
    done = run(review.app, verdict[0], "t/nothing", *verdict[1:], "--lake", lake)
    assert (done.exit_code, "t/nothing" in done.stderr) == (2, True)


def test_held_scores_are_counted_by_person_also_where_only_the_interaction_says_who(tmp_path: Path) -> None:
    chats = [
        redacted(f"c{at}", at, interaction_id=f"i{at}", interaction=interaction("q", "a", user="u1")) for at in (1, 2)
    ]
    scores = [
        redacted("s1", 3, interaction_id="i1", scores=(Score("thumbs", value=1.0),)),
        redacted("s2", 4, interaction_id="i2", scores=(Score("thumbs", value=1.0, by="u1"),)),
        redacted("s3", 5, interaction_id="i2", scores=(Score("thumbs", value=1.0, by="u2"),)),
    ]
    holds = [
        msgspec.structs.replace(outcome(f"i{at}", 0, rejected=Reason.BURST_HELD, scope="event"), event_id=name)
        for at, name in ((1, "s1"), (2, "s2"), (2, "s3"))
    ]
    lake = lake_of(tmp_path, *chats, *scores, *holds)
    listed = [(row["person"], row["held"], row["interactions"]) for row in rows(held.app, "list", "--lake", lake)]
    assert listed == [("u1", 2, 2), ("u2", 1, 1)]
    assert [row["event_id"] for row in rows(held.app, "list", "--events", "--lake", lake)] == ["s1", "s2", "s3"]


@pytest.mark.parametrize("said", [(), ("--all", "--id", "x")])
def test_a_release_says_either_which_or_all(said: tuple[str, ...]) -> None:
    assert run(held.app, "release", *said).exit_code == 2
