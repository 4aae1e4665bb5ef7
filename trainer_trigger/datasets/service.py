"""Training sets as the trigger asks for them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.datasets import TRAIN, VALIDATION
from schemas.targets import Target
from trainer_trigger import ports
from trainer_trigger.controls.records import TrainingSet
from trainer_trigger.datasets.build import Request, build
from trainer_trigger.datasets.published import data_file, find, snapshot
from trainer_trigger.datasets.store import Store
from trainer_trigger.drift.rows import Row
from trainer_trigger.watch import Versions


class LakeDatasets:
    """A `trainer_trigger.ports.Datasets` over a lake and a store; `key` is the setting `hash_key`."""

    def __init__(self, lake: str, store: Store, key: str) -> None:
        self._lake = lake
        self._store = store
        self._key = key

    def build(self, name: str, target: Target, versions: Versions, earlier: str | None) -> ports.Built:
        """See the port."""
        request = Request(
            name=name,
            target=target,
            lake=self._lake,
            versions=msgspec.structs.asdict(versions),
            key=self._key,
            earlier=None if earlier is None else find(self._store, name, earlier),
        )
        built = build(request, self._store)
        manifest = built.manifest
        code = manifest.code.commit or f"{manifest.code.version} {manifest.code.source_sha256}"
        validation = data_file(self._store, manifest, VALIDATION) if manifest.counts.validation else None
        return ports.Built(
            training_set=TrainingSet(place=built.place, dataset_hash=manifest.dataset_hash, code=code),
            train=data_file(self._store, manifest, TRAIN),
            validation=validation,
        )

    def snapshot(self, name: str, dataset_hash: str) -> Sequence[Row] | None:
        """What drift checks compare with; None where the set is not there or was erased."""
        manifest = find(self._store, name, dataset_hash)
        return None if manifest is None or manifest.erased is not None else snapshot(self._store, manifest)
