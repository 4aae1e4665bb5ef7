"""Tells MLflow and Weights & Biases of launches that have ended: once each, later if they are away, never in the way.

`reporter` finds what is to be told and remembers what was (`sql`); `run` is what is told; `mlflow` and `wandb` tell it,
in a process of their own (`__main__`), so that neither their memory nor a call that hangs touches a launch.
"""

from trainer_trigger.tracking.reporter import Reporter, Tracker, TrackerError
from trainer_trigger.tracking.run import Run

__all__ = ["Reporter", "Run", "Tracker", "TrackerError"]
