"""`millrace trigger`: what it says, as tables, sentences and JSON, and its exit statuses."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from millrace.__main__ import main
from millrace.trigger import WIDTH, app, drawn
from schemas import targets
from schemas.targets import Policy
from tests.trigger_parts import Stand, target
from trainer_trigger.launchers import JobState
from trainer_trigger.ledger import Event, Point
from trainer_trigger.views import Curve

POLICY = Policy(
    any=(
        Policy(volume=targets.Volume(samples=500)),
        Policy(event=targets.Event(kinds=("incident",))),
        Policy(performance=targets.Performance(metric="wins")),
    )
)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Behind the command stands a trigger with fakes around it."""
    stand = Stand(chat=target(policy=POLICY, budget_cents=1_000, cost_cents=400))
    outlives = SimpleNamespace(close=lambda: None)
    monkeypatch.setattr(
        "trainer_trigger.wiring.open_trigger",
        lambda *_, **__: SimpleNamespace(trigger=stand.trigger, database=outlives),
    )
    return stand


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.stdout


def rows(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said(*arguments, "--json").splitlines()]


def failed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["millrace", "trigger", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert isinstance(caught.value.code, int)
    return caught.value.code, capsys.readouterr().err


def test_explain_reads_like_a_sentence_and_marks_each_policy_and_guard(stand: Stand) -> None:
    stand.watch.fresh = 412
    text = said("explain", "chat")
    assert text.startswith(
        "chat does not train now: 412 of 500 new samples since the last training set, 88 are missing"
    )
    assert "\n    ✗ volume: 412 of 500" in text
    assert "\n  ✓ budget: a run costs 400 cents, 1,000 of 1,000 are left in " in text
    (told,) = rows("explain", "chat")
    assert (told["fires"], told["finding"]["children"][0]["holds"], len(told["guards"])) == (False, False, 9)
    assert stand.controls.outcomes() == []


def test_once_is_a_tick_and_status_shows_what_it_did(stand: Stand) -> None:
    stand.provider.ends = JobState.RUNNING
    (shown,) = rows("once")
    assert (shown["active_state"], shown["spent_cents"]) == ("running", 400)
    text = said("status")
    assert f"chat v1: launch {shown['active_launch']} is running" in text
    assert "600 new samples of 600, 600 of 1,000 cents left in " in text


def test_a_job_is_shown_with_its_history_its_events_and_its_curve(stand: Stand) -> None:
    said("once")
    (job,) = rows("jobs")
    lease = stand.ledger.acquire("chat", "one", 60_000)
    assert lease is not None
    points = [Point(step, "train_loss", 8 / step) for step in range(1, 5)]
    stand.ledger.progress(lease, job["key"], [Event("e1", 1, "info", "epoch 1 of 3")], points)
    stand.ledger.release(lease)
    text = said("job", job["id"])
    for words in ("succeeded", "ft:job-1", "intended", "launching", "info   epoch 1 of 3", job["dataset_place"]):
        assert words in text
    assert "8.0000 at step 1 to 2.0000 at step 4" in text
    assert said("jobs").splitlines()[0].endswith(f"chat  succeeded  {job['id']}  ft:job-1")
    assert rows("job", job["key"]) == rows("job", job["id"])


def test_fire_prints_the_job_and_takes_examples_from_a_file(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("t/a\n\nt/b\n")
    asked = ("fire", "chat", "--kind", "incident", "--reason", "refunds", "--examples", str(tmp_path / "ids"))
    job = said(*asked, "--request-id", "r1", "--who", "ann").strip()
    assert rows(*asked, "--request-id", "r1", "--who", "ann") == [{"job": job}]
    (shown,) = rows("jobs")
    assert (shown["id"], shown["state"]) == (job, "queued")
    assert shown["words"] == "ann reported incident: refunds (2 examples)"
    assert "examples       2: t/a, t/b" in said("job", job)
    assert said("cancel", job).strip() == f"{job} is withdrawn"
    wish = said(*asked).strip()
    said("once")
    (known,) = rows("job", wish)
    assert (known["decision_id"], known["examples"]) == (wish, ["t/a", "t/b"])


def test_a_person_approves_or_refuses(stand: Stand) -> None:
    stand.targets = {"chat": target(approval="manual")}
    stand.trigger = stand.process("one")
    stand.ticks()
    (waiting,) = stand.trigger.jobs()
    assert "is waiting for approval" in said("status")
    assert said("refuse", waiting.id, "--who", "bea", "--note", "later").strip() == (
        f"{waiting.id} is refused: refused by bea: later"
    )
    assert rows("decisions")[0]["stage"] == "refused"


def test_pause_resume_and_measure_say_what_they_did(stand: Stand) -> None:
    assert said("pause", "chat", "--reason", "we migrate", "--who", "ann") == "chat is paused\n"
    assert "paused by ann: we migrate" in said("status")
    assert said("resume", "chat") == "chat goes on\n"
    assert said("measure", "chat", "wins", "0.25") == "wins of chat is 0.25\n"
    assert "wins is 0.25" in said("explain", "chat")


def test_decisions_count_a_steady_no(stand: Stand) -> None:
    stand.watch.fresh = 1
    stand.ticks(3)
    assert ", 3 times since " in said("decisions")
    (row,) = rows("decisions", "--target", "chat")
    assert (row["stage"], row["times"]) == ("no", 3)


def test_a_blocked_launch_is_resolved_by_a_person(stand: Stand) -> None:
    stand.provider.settles_s = None
    stand.provider.create = lambda *_: (_ for _ in ()).throw(_unknown())  # type: ignore[method-assign]
    stand.until(lambda: stand.trigger.jobs()[0].state == "blocked_for_person")
    (blocked,) = stand.trigger.jobs()
    assert f"{blocked.id} is cancelled" in said("resolve", blocked.id, "--to", "cancelled", "--note", "none there")
    wrong = CliRunner().invoke(app, ["resolve", blocked.id, "--to", "succeeded", "--note", "x"])
    assert (wrong.exit_code, "launched, intended or cancelled" in wrong.output) == (2, True)


def _unknown() -> Exception:
    from trainer_trigger.launchers.errors import LaunchStateUnknownError

    return LaunchStateUnknownError("no answer")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("explain", "none"), "there is no tuning target 'none'"),
        (("job", "none"), "there is no job none"),
        (("approve", "none"), "there is no decision none"),
        (("fire", "chat", "--reason", "r", "--kind", "holiday"), "no policy of chat asks for 'holiday'"),
        (("measure", "chat", "score", "0.1"), "no performance policy of chat asks for 'score': they ask for wins"),
        (("cancel", "none"), "there is no job none"),
    ],
)
def test_what_is_asked_wrongly_is_said_and_exits_2(
    stand: Stand,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    status, told = failed(monkeypatch, capsys, *arguments)
    assert (status, told.startswith(f"millrace: {words}")) == (2, True), told


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (None, "names no file of tuning targets"),
        ("version: 2", "Invalid enum value 2"),
        ("version: 1\ntargets: {chat: {traning: {}}}", "unknown field `traning`"),
        ("version: 1\ntargets: {Chat!: {}}", "matching regex"),
    ],
)
def test_a_wrong_targets_file_names_what_is_wrong_and_exits_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    file: str | None,
    words: str,
) -> None:
    if file is not None:
        (tmp_path / "targets.yaml").write_text(file)
        monkeypatch.setenv("MILLRACE_TARGETS", str(tmp_path / "targets.yaml"))
    monkeypatch.chdir(tmp_path)
    status, told = failed(monkeypatch, capsys, "status")
    assert (status, "MILLRACE_TARGETS" in told, words in told) == (2, True, True), told


def test_a_database_that_is_away_exits_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    configured = msgspec.to_builtins(target())
    (tmp_path / "targets.yaml").write_text(json.dumps({"version": 1, "targets": {"chat": configured}}))
    monkeypatch.setenv("MILLRACE_TARGETS", str(tmp_path / "targets.yaml"))
    monkeypatch.setenv("MILLRACE_DATABASE_URL", f"sqlite:///{tmp_path}/none/trigger.sqlite")
    status, told = failed(monkeypatch, capsys, "status")
    assert status == 3, told


@given(st.lists(st.tuples(st.integers(0, 2**63 - 1), st.floats()), max_size=200))
@example([(1, -1.7e308), (2, 1.7e308)])
def test_whatever_a_curve_holds_is_one_line(points: list[tuple[int, float]]) -> None:
    assert "\n" not in drawn(Curve("train_loss", tuple(points)))


def test_a_curve_without_what_is_no_number_is_drawn_as_if_that_were_not_there() -> None:
    points = ((1, 3.0), (2, math.nan), (3, 2.0), (4, math.inf))
    assert drawn(Curve("train_loss", points)) == drawn(Curve("train_loss", (points[0], points[2])))
    assert "no finite value" in drawn(Curve("train_loss", ((1, math.nan),)))


@pytest.mark.parametrize("points", [1, 2, WIDTH, WIDTH + 1, 1_000])
def test_a_curve_of_any_length_is_one_line_of_at_most_sixty_bars(points: int) -> None:
    line = drawn(Curve("train_loss", tuple((step, float(-step)) for step in range(points))))
    bars = [each for each in line if "▁" <= each <= "█"]
    assert len(bars) == min(points, WIDTH)
    assert points == 1 or (bars[0], bars[-1]) == ("█", "▁")
    assert "\n" not in line
