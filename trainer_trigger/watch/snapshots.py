"""What drift windows are compared with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from schemas.targets import Target
from trainer_trigger.drift.rows import Row

Known = Callable[[], Collection[str]]
"""Ids of the samples that were there when the training set was made, and were to be compared with even then."""


class Snapshot(NamedTuple):
    """The rows of a target's last training set; of an erased one they are made again, without those who are gone."""

    identity: str
    """Another one after an erasure."""
    lasting: bool
    """False: who has withdrawn since was left out, so they are read again for each check."""
    read: Callable[[Known], Sequence[Row] | None]
    """None where the rows are gone."""


Snapshots = Callable[[str, Target], Snapshot | None]
"""Of a target, by its name; None where there is none. Cheap: asked each time."""
