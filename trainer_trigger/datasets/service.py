"""Training sets as the trigger asks for them."""

from __future__ import annotations

import msgspec

from schemas.datasets import TRAIN, VALIDATION
from schemas.targets import Target
from trainer_trigger import ports
from trainer_trigger.controls.records import TrainingSet
from trainer_trigger.datasets.build import Request, build
from trainer_trigger.datasets.published import data_file, find, snapshot
from trainer_trigger.datasets.reference import remade
from trainer_trigger.datasets.store import Store
from trainer_trigger.watch import Versions
from trainer_trigger.watch.snapshots import Snapshot


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

    def snapshot(self, name: str, target: Target, dataset_hash: str) -> Snapshot | None:
        """What drift checks compare with; None where the set is not there. Of an erased one it is made again."""
        manifest = find(self._store, name, dataset_hash)
        if manifest is None:
            return None
        if manifest.erased is None:
            return Snapshot(dataset_hash, True, lambda _known: snapshot(self._store, manifest))
        return Snapshot(
            f"{dataset_hash} erased",
            False,
            lambda known: remade(self._lake, self._store, self._key, manifest, target, known),
        )
