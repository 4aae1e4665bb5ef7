"""What the trigger asks of the datasets. What it asks of the lake is `trainer_trigger.watch.Watching`."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from schemas.targets import Target
from trainer_trigger.controls.records import TrainingSet
from trainer_trigger.launchers import DataFile
from trainer_trigger.watch import Versions


class Built(Struct, frozen=True, kw_only=True):
    """A training set with its files. `validation` is None where it has no lines."""

    training_set: TrainingSet
    train: DataFile
    validation: DataFile | None = None


class Datasets(Protocol):
    """Makes training sets. The same arguments make the same bytes; what is there already is answered."""

    def build(self, name: str, target: Target, versions: Versions, earlier: str | None) -> Built:
        """Of the lake at these versions; `earlier` is the hash of the training set before.

        Raises NoDatasetError, DatasetsAway.
        """
