"""What happens between the steps of a run: metrics are told, checkpoints kept, and a reason to stop is looked for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from transformers import TrainerCallback

from trainer_trigger.trainer import checkpoints
from trainer_trigger.trainer.errors import DivergedError
from trainer_trigger.trainer.job import CANCEL, EVENTS, Event, Metrics, Resolved, TrainJob, now_ms, read_events
from trainer_trigger.trainer.train_plan import best_step, epoch_ends, evaluations, stops, valid_losses

LOGGED: Final = 1000
"""So many points a curve at most; short runs tell every step."""

_TRAIN: Final = {
    "loss": "train_loss",
    "mean_token_accuracy": "train_mean_token_accuracy",
    "rewards/margins": "train_reward_margin",
}
_VALID: Final = {
    "eval_loss": "full_valid_loss",
    "eval_mean_token_accuracy": "full_valid_mean_token_accuracy",
}


class EventLog:
    """Appends to `events.ndjson`. What a killed process left half written is cut off; a step is told once."""

    def __init__(self, folder: Path) -> None:
        path = folder / EVENTS
        told, whole = read_events(folder)
        self._steps = {(name, each.data["step"]) for each in told if each.type == "metrics" for name in each.data}
        self._file = path.open("ab")
        self._file.truncate(whole)

    def say(self, message: str, level: str = "info", **data: Any) -> None:
        """A message; `data` in plain types."""
        self._write({"level": level, "type": "message", "message": message, "data": data})

    def metrics(self, metrics: Metrics) -> None:
        """The metrics of a step, unless they have been told before."""
        step = metrics["step"]
        named = {(name, step) for name in metrics if name not in {"step", "total_steps"}}
        if named <= self._steps:
            return
        self._steps |= named
        told = ", ".join(
            f"{words}={metrics[name]:.4f}"  # type: ignore[literal-required]
            for name, words in (("train_loss", "training loss"), ("full_valid_loss", "validation loss"))
            if name in metrics
        )
        text = f"Step {step}/{metrics['total_steps']}: {told}"
        self._write({"level": "info", "type": "metrics", "message": text, "data": metrics})

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, event: dict[str, Any]) -> None:
        line = msgspec.json.encode(msgspec.convert({"at_ms": now_ms(), **event}, Event))
        self._file.write(line + b"\n")
        self._file.flush()


class Watch(TrainerCallback):
    """Called back by the training loop. `written` is the folder where that puts its checkpoints.

    `templates` writes the chat templates into a checkpoint.
    """

    def __init__(
        self,
        folder: Path,
        job: TrainJob,
        resolved: Resolved,
        log: EventLog,
        *,
        total_steps: int,
        written: Path,
        templates: Callable[[Path], None],
        validates: bool,
        stopping: Callable[[], bool],
    ) -> None:
        self._folder = folder
        self._job = job
        self._resolved = resolved
        self._log = log
        self._total = total_steps
        self._written = written
        self._templates = templates
        self._stopping = stopping
        often = resolved.early_stopping is not None
        self._evaluated = evaluations(total_steps, resolved.n_epochs, often) if validates else frozenset()
        self._saved = frozenset(epoch_ends(total_steps, resolved.n_epochs)) | (self._evaluated if often else set())
        self._saved_at = time.monotonic()
        self.cancelled = False
        self.stopped = False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Decide what comes after this step."""
        self.cancelled = (self._folder / CANCEL).exists()
        self.stopped = self._stopping() and not self.cancelled
        control.should_training_stop = control.should_training_stop or self.cancelled or self.stopped
        if self.cancelled:
            return
        control.should_evaluate = state.global_step in self._evaluated
        due = time.monotonic() - self._saved_at >= self._job.checkpoint_every_s
        control.should_save = state.global_step in self._saved or due or self.stopped

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop early, once the checkpoint of this step is written."""
        if stops([loss for _, loss in valid_losses(state.log_history)], self._resolved.early_stopping):
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the checkpoint that was just written."""
        step = state.global_step
        written = self._written / f"checkpoint-{step}"
        checkpoints.keep(self._folder, written, step, self._job.job_id, self._job.base_model, self._templates)
        checkpoints.prune(self._folder, chosen(state.log_history, self._resolved))
        self._saved_at = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Tell the metrics. Raises DivergedError."""
        for name in ("loss", "grad_norm", "eval_loss"):
            if name in logs and not math.isfinite(logs[name]):
                raise DivergedError(
                    f"{name} is {logs[name]} at step {state.global_step}; try a lower learning rate", "learning_rate"
                )
        metrics = named(logs)
        if metrics:
            self._log.metrics({"step": state.global_step, "total_steps": self._total, **metrics})


def named(logs: dict[str, Any]) -> Metrics:
    """Metrics by the API's names, from the library's."""
    found = {ours: float(logs[theirs]) for theirs, ours in (_TRAIN | _VALID).items() if theirs in logs}
    if "full_valid_loss" in found:
        found["valid_loss"] = found["full_valid_loss"]
    return msgspec.convert(found, Metrics)


def chosen(history: Sequence[dict[str, Any]], resolved: Resolved) -> int | None:
    """The step whose adapter is the result, where it need not be the last: the best one, with early stopping."""
    return best_step(valid_losses(history)) if resolved.early_stopping is not None else None


def at(history: Sequence[dict[str, Any]], step: int) -> Metrics:
    """What was known of a step: the last training metrics up to it, and its validation."""
    found: Metrics = {"step": step}
    for entry in history:
        if entry["step"] == step or (entry["step"] < step and "eval_loss" not in entry):
            found.update(named(entry))
    return found
