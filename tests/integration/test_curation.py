"""Curation on real Kafka, Redis and S3: a person's review, a burst that is held and let in, tenants apart."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from millrace import held, review
from millrace.made_up import MAX_TEXT_CHARS
from schemas.events import FeedbackEvent, Interaction, Message, Score
from streams.lake.query import connect
from streams.pipeline import StalledError, wait_until
from streams.settings import environment
from tests.integration.roles import WholeWay, running, settings_on
from tests.servers import Servers

DEADLINE_S = 120
TUNED = "ft:acme:small"


@pytest.fixture
def way(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WholeWay]:
    curation = tmp_path / "curation.yaml"
    curation.write_text("{version: test, scores: {burst_per_hour: 2}, gates: {tuned_models: ['ft:*']}}")
    settings = settings_on(
        servers, servers.fresh_lake(monkeypatch), max_text_chars=MAX_TEXT_CHARS, curation=str(curation)
    )
    for name, value in environment(settings).items():
        monkeypatch.setitem(os.environ, name, value)
    made = WholeWay(settings, tmp_path)
    with running(made.pipeline):
        yield made


def chat(name: str, answer: str, **fields: Any) -> FeedbackEvent:
    messages = (Message("user", f"What is {name * 3}?"), Message("assistant", answer))
    return FeedbackEvent(event_id=f"{name}-chat", interaction_id=name, interaction=Interaction(messages, **fields))


def thumb(name: str, value: float = 1.0, by: str | None = None) -> FeedbackEvent:
    scores = (Score("thumbs", value=value, by=by),)
    return FeedbackEvent(event_id=f"{name}-{by}", interaction_id=name, scores=scores)


def run(app: Any, *arguments: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def await_rows(way: WholeWay, query: str, expected: list[tuple[Any, ...]]) -> None:
    def rows() -> list[tuple[Any, ...]]:
        return connect(way.settings.lake).execute(query).fetchall()

    try:
        wait_until(lambda: rows() == expected, DEADLINE_S, "the rows")
    except StalledError:
        assert rows() == expected


@pytest.mark.timeout(600)
def test_a_tuned_model_s_output_waits_for_a_person_whose_verdict_is_a_new_revision(way: WholeWay) -> None:
    names = ("one", "two", "six")
    way.send([event for name in names for event in (chat(name, f"{name} is a number.", model=TUNED), thumb(name))])
    current = "SELECT interaction_id, revision, output, awaits_review, reviewed FROM samples_current ORDER BY ALL"
    await_rows(way, current, [(name, 2, f"{name} is a number.", True, False) for name in sorted(names)])
    assert {row["sample_id"] for row in run(review.app, "list")} == {f"acme/{name}" for name in names}
    assert run(review.app, "approve", "acme/one", "--reviewer", "ada@example.com") == [{"sent": 1}]
    run(review.app, "edit", "acme/two", "--output", "Two is even. Ask jo@example.com.")
    run(review.app, "reject", "acme/six")
    await_rows(
        way,
        current,
        [
            ("one", 3, "one is a number.", False, True),
            ("two", 3, "Two is even. Ask <EMAIL_ADDRESS_1>.", False, True),
        ],
    )
    assert run(review.app, "list") == []
    said = connect(way.settings.lake).execute("SELECT reviewer FROM reviews WHERE decision = 'approve'").fetchone()
    assert said is not None and "ada" not in said[0]
    done = CliRunner().invoke(review.app, ["approve", "acme/one", "acme/nine"])
    assert (done.exit_code, "acme/nine" in done.stderr) == (2, True)


@pytest.mark.timeout(600)
def test_a_burst_of_one_person_is_held_shown_and_let_in_by_command(way: WholeWay) -> None:
    names = ("one", "two", "six", "ten")
    way.send([chat(name, f"{name} is a number.") for name in names])
    way.send([thumb(name, 0.0, "bot") for name in names] + [thumb("ten", 1.0, "ada")])
    scored = "SELECT count(*) FROM samples_current"
    await_rows(way, "SELECT count(*) FROM rejected WHERE reason = 'burst_held'", [(2,)])
    (person,) = run(held.app, "list")
    assert (person["tenant"], person["held"], "bot" in person["person"]) == ("acme", 2, False)
    assert len(run(held.app, "list", "--events")) == 2
    run(held.app, "release", "--all")
    await_rows(way, scored, [(4,)])
    await_rows(way, "SELECT score FROM samples_current WHERE interaction_id = 'ten'", [(0.5,)])
    await_rows(way, "SELECT count(*) FROM held", [(0,)])


@pytest.mark.timeout(600)
def test_what_a_tenant_says_of_another_s_interaction_concerns_only_its_own(way: WholeWay) -> None:
    way.send([chat("one", "One is a number."), thumb("one")])
    await_rows(way, "SELECT sample_id, score FROM samples_current", [("acme/one", 1.0)])
    way.send([thumb("one", 0.0, "evil")], tenant="globex")
    await_rows(way, "SELECT tenant, count(*) FROM events GROUP BY ALL ORDER BY ALL", [("acme", 2), ("globex", 1)])
    await_rows(way, "SELECT sample_id, score, revision FROM samples_current", [("acme/one", 1.0, 2)])
