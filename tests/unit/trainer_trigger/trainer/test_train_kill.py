"""The training process itself, killed where it hurts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests import tuning
from tests.trainers import need_torch
from trainer_trigger.trainer import checkpoints
from trainer_trigger.trainer.job import (
    ADAPTER,
    BUSY,
    LOCK,
    STOPPED,
    Hyperparameters,
    read_events,
    read_result,
)
from trainer_trigger.trainer.train import main, work

pytestmark = pytest.mark.filterwarnings("ignore")

REPOSITORY = Path(__file__).parents[4]
LONG = Hyperparameters(n_epochs=6, batch_size=4, learning_rate=5e-3)
DEADLINE_S = 120


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_torch()
    return tuning.make_base(tmp_path_factory.mktemp("tiny"))


def _job(folder: Path, base: Path, **more: Any) -> Path:
    return tuning.job(folder, base, tuning.sft(tuning.prompts()[:64]), hyperparameters=LONG, job_id="job", **more)


def _started(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "trainer_trigger.trainer.train", str(folder)]
    return subprocess.Popen(command, cwd=REPOSITORY, stderr=(folder / "stderr").open("wb"))


def _wait_for_checkpoint(process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not checkpoints.steps(folder):
        assert process.poll() is None, (folder / "stderr").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes_as_without(base: Path, tmp_path: Path) -> None:
    whole = _job(tmp_path / "whole", base)
    killed = _job(tmp_path / "killed", base, checkpoint_every_s=0.05)
    process = _started(killed)
    try:
        _wait_for_checkpoint(process, killed)
    finally:
        process.kill()
        process.wait()
    assert read_result(killed) is None
    assert not (killed / ADAPTER).exists()
    with (killed / "events.ndjson").open("ab") as file:
        file.write(b'{"at_ms": 1, "mess')  # as a kill within a line leaves it
    for folder in (killed, whole):
        assert work(folder, lambda: False) == 0
        result = read_result(folder)
        assert result is not None
        assert result.status == "succeeded"
    events = read_events(killed)[0]
    assert any(each.message.startswith("Resumed from step") for each in events)
    steps = [each.data["step"] for each in events if "train_loss" in each.data]
    assert steps == list(range(1, 97))
    for path in (whole / ADAPTER).iterdir():
        assert (killed / ADAPTER / path.name).read_bytes() == path.read_bytes()


def test_one_process_works_on_a_folder_and_a_signal_stops_it_to_go_on_later(base: Path, tmp_path: Path) -> None:
    folder = _job(tmp_path / "job", base, checkpoint_every_s=0.05)
    process = _started(folder)
    try:
        _wait_for_checkpoint(process, folder)
        assert main(folder) == BUSY
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(DEADLINE_S) == STOPPED
    finally:
        process.kill()
        process.wait()
    assert read_result(folder) is None
    assert (folder / LOCK).exists()
    step, problems = checkpoints.newest(folder)
    assert step
    assert not problems
