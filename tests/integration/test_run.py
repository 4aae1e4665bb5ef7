"""`millrace run` as a user runs it: the embedded stream, its balance, and what a second run finds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from millrace.made_up import events
from schemas.intake import event_to_json
from streams.lake.query import connect
from streams.pipeline import wait_until
from tests.integration.command import command, environ, millrace, run


def made_up_file(path: Path, interactions: int, seed: int = 7) -> Path:
    path.write_bytes(b"".join(event_to_json(event) + b"\n" for event in events(interactions, seed)))
    return path


def count(lake: Path, table: str) -> int:
    row = connect(str(lake)).execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.timeout(600)
def test_a_file_drains_and_the_same_file_again_brings_nothing_new_and_another_arrives_whole(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    one = made_up_file(tmp_path / "one.jsonl", 150)
    first = run(one, lake)
    assert first["received"]["interaction"] == 150
    assert first["samples"] > 50
    assert first["replayed"] == 0
    counts = [count(lake, table) for table in ("events", "samples", "rejected", "dead_letters")]

    again = run(one, lake)
    assert (again["samples"], again["rejected"], again["waiting"]) == (0, {}, 0)
    assert again["replayed"] == sum(again["received"].values())
    assert [count(lake, table) for table in ("events", "samples", "rejected", "dead_letters")] == counts

    lines = one.read_text().splitlines()
    two = tmp_path / "two.jsonl"
    two.write_text("\n".join(line.replace('"chat-', '"talk-') for line in lines[:200]) + "\n")
    other = run(two, lake)
    assert other["replayed"] == 0
    assert count(lake, "events") == counts[0] + 200


@pytest.mark.timeout(600)
def test_a_broken_line_is_reported_by_its_number_and_the_rest_goes_on(tmp_path: Path) -> None:
    file = made_up_file(tmp_path / "file.jsonl", 12)
    lines = file.read_text().splitlines()
    lines.insert(4, '{"event_id": "x", "interaction_id": "y", "score": {"method": "stars", "value": 11, "maximum": 5}}')
    lines.insert(2, "no json")
    file.write_text("\n".join(lines))
    done = millrace("run", str(file), "--lake", str(tmp_path / "lake"), "--json", exit_code=1)
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["unreadable"], result["lost"]) == (2, 0)
    assert "line 3: not JSON" in done.stderr
    assert "line 6: scores[0].value" in done.stderr
    assert result["received"]["interaction"] == 12


@pytest.mark.timeout(600)
def test_late_feedback_in_another_file_revises_the_samples_of_an_earlier_run(tmp_path: Path) -> None:
    chat = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because it is so."}]}
    early, late = tmp_path / "early.jsonl", tmp_path / "late.jsonl"
    early.write_text(json.dumps({"event_id": "a", "interaction_id": "i", "interaction": chat}))
    late.write_text(
        json.dumps({"event_id": "b", "interaction_id": "i", "score": {"method": "stars", "value": 4}})
        + "\n"
        + json.dumps({"event_id": "c", "interaction_id": "unknown", "score": {"method": "thumbs", "value": "up"}})
    )
    lake = tmp_path / "lake"
    assert run(early, lake)["waiting"] == 1
    result = run(late, lake)
    assert (result["revised"], result["feedback"]["applied"], result["feedback"]["waiting"]) == (1, 1, 1)
    assert connect(str(lake)).execute("SELECT score FROM samples_current").fetchall() == [(0.75,)]


@pytest.mark.timeout(600)
def test_a_run_that_was_killed_is_completed_by_running_it_again(tmp_path: Path) -> None:
    lake, file = tmp_path / "lake", made_up_file(tmp_path / "file.jsonl", 1_500)
    whole = run(file, tmp_path / "undisturbed")
    killed = subprocess.Popen(
        command("run", str(file), "--lake", str(lake)),
        env=environ() | {"MILLRACE_LAKE_COMMIT_ROWS": "200"},  # the first commit comes long before the last
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: (lake / "events" / "_delta_log").exists() and count(lake, "events") > 0, 120, "a first commit")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    landed = count(lake, "events")
    assert 0 < landed < sum(whole["received"].values())
    again = run(file, lake)
    assert again["replayed"] == landed
    for table in ("events", "samples", "rejected", "dead_letters"):
        assert count(lake, table) == count(tmp_path / "undisturbed", table), table


@pytest.mark.timeout(600)
def test_nothing_unredacted_is_anywhere_in_the_lake(tmp_path: Path) -> None:
    lake, file = tmp_path / "lake", made_up_file(tmp_path / "file.jsonl", 60)
    assert "@example.com" in file.read_text()
    run(file, lake)
    everything = [path.read_bytes() for path in lake.rglob("*") if path.is_file()]
    assert everything
    assert not any(b"@example.com" in content for content in everything)
    for table in ("events", "samples", "rejected"):
        text = str(connect(str(lake)).execute(f"SELECT * FROM {table}").fetchall())
        assert "@example.com" not in text, table
    assert "<EMAIL_ADDRESS_1>" in str(connect(str(lake)).execute("SELECT messages FROM samples").fetchall())


def test_a_wrong_format_or_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    file = made_up_file(tmp_path / "file.jsonl", 10)
    done = millrace("run", str(file), "--lake", str(tmp_path / "lake"), "--format", "csv", exit_code=2)
    assert "must be one of events, openai-chat, alpaca, hh" in done.stderr
    done = millrace("run", str(file), "--lake", str(file), exit_code=2)
    assert "--lake" in done.stderr
    done = millrace("run", str(file), str(file), "--lake", str(tmp_path / "lake"), exit_code=2)
    assert "has the same content" in done.stderr
    done = millrace("run", str(file), "--lake", str(tmp_path / "lake"), "--tenant", "a/b", exit_code=2)
    assert "--tenant" in done.stderr
    done = millrace("run", str(tmp_path / "none"), "--lake", str(tmp_path / "lake"), exit_code=2)
    assert "does not exist" in " ".join(done.stderr.replace("│", "").split())
