"""Which checkpoint a run goes on from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer_trigger.trainer import checkpoints
from trainer_trigger.trainer.adapters import CONFIG

HISTORY = [{"step": 1, "loss": 2.0}]


def _kept(job: Path, step: int, leave_out: str = "") -> Path:
    written = job / "work" / f"checkpoint-{step}"
    written.mkdir(parents=True)
    for name in (checkpoints.NEEDED | checkpoints.NOT_KEPT) - {leave_out}:
        (written / name).write_bytes(b"x" * step)
    (written / CONFIG).write_text(json.dumps({"target_modules": ["v", "k", "q"], "r": 8}))
    if leave_out != checkpoints.STATE:
        (written / checkpoints.STATE).write_text(json.dumps({"log_history": HISTORY, "num_input_tokens_seen": 5}))
    checkpoints.keep(job, written, step, "job", "/base")
    return checkpoints.place(job, step)


def test_the_newest_whole_checkpoint_is_taken_and_the_damaged_are_told(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path) == (None, [])
    for step in (2, 4, 10, 12):
        _kept(tmp_path, step)
    (checkpoints.place(tmp_path, 12) / "optimizer.pt").write_bytes(b"xx")
    (checkpoints.place(tmp_path, 10) / "rng_state.pth").unlink()
    newest, problems = checkpoints.newest(tmp_path)
    assert newest == 4
    assert [problem.partition(" is ")[0] for problem in problems] == ["step-12/optimizer.pt", "step-10/rng_state.pth"]
    assert checkpoints.history(tmp_path, 4) == HISTORY
    assert checkpoints.tokens(tmp_path, 4) == 5


@pytest.mark.parametrize("name", sorted(checkpoints.NEEDED - {CONFIG, checkpoints.STATE}))
def test_a_checkpoint_that_was_written_without_a_file_is_passed_over(tmp_path: Path, name: str) -> None:
    _kept(tmp_path, 3, leave_out=name)
    assert checkpoints.newest(tmp_path) == (None, [f"step-3 lacks {name}"])


def test_a_damaged_checkpoint_is_replaced_when_its_step_comes_again(tmp_path: Path) -> None:
    (_kept(tmp_path, 3) / "optimizer.pt").unlink()
    _kept(tmp_path, 3)
    assert checkpoints.newest(tmp_path) == (3, [])


def test_only_what_is_needed_is_kept_and_the_modules_are_in_order(tmp_path: Path) -> None:
    folder = _kept(tmp_path, 3)
    assert not checkpoints.NOT_KEPT & {path.name for path in folder.iterdir()}
    assert json.loads((folder / CONFIG).read_bytes())["target_modules"] == ["k", "q", "v"]
    assert not (tmp_path / "work" / "checkpoint-3").exists()


def test_the_newest_three_stay_and_the_best(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8, 10):
        _kept(tmp_path, step)
    checkpoints.prune(tmp_path, best=2)
    assert checkpoints.steps(tmp_path) == [2, 6, 8, 10]
    checkpoints.prune(tmp_path, best=None)
    assert checkpoints.steps(tmp_path) == [6, 8, 10]
