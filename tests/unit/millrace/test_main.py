"""The command as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from millrace.__main__ import COMMANDS, app

ROOT = Path(__file__).parent.parent.parent.parent


def _run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "millrace", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_lists_every_subcommand_with_what_it_is_for() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    for name, purpose in COMMANDS.items():
        assert name in shown
        assert purpose in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_subcommand_explains_itself(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert f"{name} " in result.output


def test_a_wrong_setting_names_the_variable_the_value_and_the_mend_and_exits_2() -> None:
    done = _run("worker", MILLRACE_BATCH_EVENTS="many")
    assert done.returncode == 2
    assert done.stderr.startswith("millrace: MILLRACE_BATCH_EVENTS='many'")
    assert "Traceback" not in done.stderr


def test_a_worker_without_its_secrets_says_which_and_what_for() -> None:
    done = _run("worker")
    assert (done.returncode, "MILLRACE_HASH_KEY" in done.stderr) == (2, True)


def test_a_role_loads_nothing_that_only_another_needs() -> None:
    others = ("fastapi", "deltalake", "spacy", "boto3", "authlib")
    code = f"import sys, millrace.worker, streams.agents; print([m for m in {others} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
