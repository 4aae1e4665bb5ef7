"""What only the watch raises."""

from __future__ import annotations

from trainer_trigger.errors import TriggerError


class MovedOnError(TriggerError):
    """Another process has written the target's index since it was read: read it again."""

    def __init__(self, target: str) -> None:
        super().__init__(f"the index of {target} was written by another process")
