"""`python tests/stand_in_training.py FOLDER`: what the service sees of a training process, without torch.

The name of the base model's folder says what it does: `quick` succeeds, `slow` does so when a file `go` lies in the
base, `dies` is killed before each step 3, `dies-once` after the first, `dies-often` after each step, `dies-late`
too but never does step 5, `full` finds no room on the disk for step 3 until a file `room` lies in the base, `deaf` sees
no cancel, `diverges` fails.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from trainer_trigger.trainer.job import (
    ADAPTER,
    BUSY,
    CANCEL,
    DISK_FULL,
    EVENTS,
    LOCK,
    RESULT,
    STOPPED,
    Checkpoint,
    Event,
    Failure,
    Result,
    now_ms,
    read_job,
    write_whole,
)

STEPS = 6
STEP_S = 0.01


def main(folder: Path) -> int:
    """The exit status, as `job` has it."""
    lock = (folder / LOCK).open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return BUSY
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    job = read_job(folder)
    base = Path(job.base_model)
    assert Path(job.train_file).read_bytes()
    begin = (folder / EVENTS).read_bytes().count(b"\n") if (folder / EVENTS).exists() else 0
    for step in range(begin + 1, STEPS + 1):
        while base.name in {"slow", "deaf"} and step > 3 and not (base / "go").exists():
            if (folder / CANCEL).exists() and base.name != "deaf":
                return end(folder, Result(status="cancelled", trained_tokens=7, steps=step - 1))
            time.sleep(STEP_S)
        if (base.name, step) in {("dies", 3), ("dies-late", 5)}:
            os.kill(os.getpid(), signal.SIGKILL)
        if base.name == "full" and step == 3 and not (base / "room").exists():
            return DISK_FULL
        loss = 4.0 / step
        data = {"step": step, "total_steps": STEPS, "train_loss": loss, "train_mean_token_accuracy": 0.5}
        told = Event(at_ms=now_ms(), type="metrics", message=f"Step {step}/{STEPS}: loss={loss:.2f}", data=data)
        with (folder / EVENTS).open("ab") as events:
            events.write(msgspec.json.encode(told) + b"\n")
        if base.name in {"dies-often", "dies-late"} or (base.name == "dies-once" and step == 3):
            os.kill(os.getpid(), signal.SIGKILL)
        if base.name == "diverges" and step == 3:
            return end(
                folder, Result(status="failed", steps=step, error=Failure(code="training_diverged", message="NaN"))
            )
        (folder / "checkpoints" / f"step-{step}").mkdir(parents=True, exist_ok=True)
        time.sleep(STEP_S)
    for place in (folder / ADAPTER, folder / "checkpoints" / f"step-{STEPS}"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "adapter_model.safetensors").write_bytes(b"weights")
    kept = [Checkpoint(step=STEPS, metrics={"train_loss": 4.0 / STEPS})]
    return end(folder, Result(status="succeeded", trained_tokens=1234, steps=STEPS, checkpoints=kept))


def end(folder: Path, result: Result) -> int:
    """Tell it, last of all."""
    write_whole(folder / RESULT, msgspec.json.encode(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
