"""Ways to run a fine-tune, each behind the port `Launcher`, and the procedure that launches once."""

from trainer_trigger.launchers.port import DataFile, JobState, Launcher, LaunchRequest, Progress
from trainer_trigger.launchers.procedure import Scheduler, Timing

__all__ = ["DataFile", "JobState", "LaunchRequest", "Launcher", "Progress", "Scheduler", "Timing"]
