"""`millrace dataset`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from millrace.dataset import app
from streams.errors import SettingError
from tests.training_sets import KEY, answers, commit, withdraw
from trainer_trigger.ledger import Change, Intent, State
from trainer_trigger.ledger.sql import SqlLedger

TARGETS = """
version: 1
targets:
  chat:
    version: v2
    dataset: {golden: none, harm: none}
    training: {base_model: m}
    launcher: {command: {argv: [trainer]}}
  unsaid:
    training: {base_model: m}
    launcher: {command: {argv: [trainer]}}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lake, a targets file, and the settings that name them."""
    commit(tmp_path / "lake", answers(150))
    (tmp_path / "targets.yaml").write_text(TARGETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MILLRACE_HASH_KEY", KEY)
    monkeypatch.setenv("MILLRACE_TARGETS", "targets.yaml")
    return tmp_path


def run(*arguments: str, code: int = 0) -> tuple[str, str]:
    done = CliRunner().invoke(app, arguments)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout, done.stderr


def test_a_set_is_built_listed_shown_verified_and_erased(place: Path) -> None:
    manifest = json.loads(run("build", "chat")[0])
    assert manifest["configuration"]["version"] == "v2"
    short = manifest["dataset_hash"][:8]
    assert (
        json.loads(run("build", "chat", "--at", "samples=1", "--at", "rejected=-1", "--at", "events=-1")[0]) == manifest
    )
    assert json.loads(run("show", "chat", short)[0]) == manifest
    assert [json.loads(line) for line in run("list", "--json")[0].splitlines()] == [manifest]
    assert short in run("list", "chat")[0]
    assert "1 training sets, 0 problems" in run("verify")[1]
    assert "1,000" in run("readiness", "chat", short, code=1)[0]
    assert run("readiness", "chat", code=1) == run("readiness", "chat", short, code=1)

    train = place / "datasets" / "chat" / manifest["dataset_hash"][:16] / "train.jsonl"
    data = train.read_bytes()
    train.write_bytes(data[1:])
    assert "train.jsonl has other bytes" in run("verify", "chat", short, code=1)[1]
    train.write_bytes(data)

    withdraw(place / "lake", "user-s0003")
    assert run("erase", "--from-lake")[0] == f"chat {manifest['dataset_hash']}\n"
    assert not train.exists()
    assert "1 training sets, 0 problems" in run("verify")[1]
    assert run("erase", "--person", "t/user-s0003", "--sample", "t/s0001")[0] == ""
    after = json.loads(run("build", "chat")[0])
    assert after["excluded"]["withdrawn"] == 2
    assert after["erased"] is None


def test_an_erased_sets_manifest_names_the_models_that_saw_it_and_drift_reports_go_too(place: Path) -> None:
    manifest = json.loads(run("build", "chat")[0])
    report = place / "datasets" / "drift-reports" / "chat" / "one" / "report.txt"
    report.parent.mkdir(parents=True)
    report.write_text("an excerpt")
    ledger = SqlLedger("sqlite:///millrace-trigger.sqlite")
    lease = ledger.acquire("chat", "one", 60_000)
    assert lease is not None
    launch = ledger.intend(
        lease,
        Intent(
            decision_id="d1",
            target="chat",
            table_version=1,
            dataset_hash=manifest["dataset_hash"],
            configuration_hash="c",
        ),
    )
    launch = ledger.move(lease, launch, State.LAUNCHING)
    launch = ledger.move(lease, launch, State.LAUNCHED, change=Change(job_id="job-1"))
    ledger.move(lease, launch, State.SUCCEEDED, change=Change(model="ft:chat:1"))
    ledger.close()
    withdraw(place / "lake", "user-s0003")
    assert run("erase", "--from-lake")[0] == f"chat {manifest['dataset_hash']} seen by ft:chat:1\n"
    assert json.loads(run("show", "chat", manifest["dataset_hash"])[0])["erased"]["models"] == ["ft:chat:1"]
    assert not report.exists()


def test_there_is_no_set_and_the_reason_is_said(place: Path) -> None:
    (place / "targets.yaml").write_text(TARGETS.replace("v2", "v2\n    min_samples: 200"))
    assert "200 needed" in run("build", "chat", code=1)[1]
    assert "1,000" in run("readiness", "chat", code=1)[0]
    assert not (place / "datasets").exists()
    assert "dataset.golden and dataset.harm not set" in run("build", "unsaid", code=1)[1]
    for wrong in (
        ("build", "nobody"),
        ("show", "chat", "0123"),
        ("build", "chat", "--at", "samples=x"),
        ("build", "chat", "--at", "samples=1"),
        ("erase",),
        ("erase", "--person", "t"),
    ):
        with pytest.raises(SettingError):
            run(*wrong)
