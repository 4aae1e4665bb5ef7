"""`millrace demo` as a newcomer runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.trainers import need_torch

DEADLINE_S = 280


def demo(home: Path, *options: str) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    done = subprocess.run(
        [sys.executable, "-m", "millrace", "demo", "--home", str(home), *options],
        env=environ,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def launches(home: Path) -> list[tuple[str, str | None]]:
    with create_engine(f"sqlite:///{home / 'trigger.sqlite'}").connect() as connection:
        rows = connection.execute(text("SELECT state, job_id FROM trigger_launches"))
        return [(state, job_id) for state, job_id in rows]


def test_the_light_demo_ends_with_a_dataset_and_a_recorded_intent_and_calls_nothing(tmp_path: Path) -> None:
    told = demo(tmp_path, "--light")
    assert "new samples since the last training set, 300 are enough" in told
    assert "the demo ends here" in told
    assert len(list(tmp_path.glob("datasets/support-chat/*/manifest.json"))) == 1
    assert launches(tmp_path) == [("intended", None)]
    assert not (tmp_path / "trainer").exists()


@pytest.mark.timeout(DEADLINE_S + 20)
def test_the_demo_ends_with_a_model_that_was_really_trained(tmp_path: Path) -> None:
    need_torch()
    told = demo(tmp_path, "--interactions", "800")
    assert "train_loss" in told
    assert "after  Sorry" in told
    ((state, job_id),) = launches(tmp_path)
    assert state == "succeeded"
    assert job_id is not None
    assert len(list(tmp_path.glob("trainer/jobs/*/adapter"))) == 1
