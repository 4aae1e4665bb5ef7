"""The snapshot of an erased training set, made again out of the lake: one person's withdrawal ends no drift checks."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from schemas.datasets import Manifest
from schemas.targets import Target
from streams.exports.rows import exported
from trainer_trigger.datasets import keyed, memory
from trainer_trigger.datasets.errors import LakeMissingError
from trainer_trigger.datasets.population import Population, gone, newest
from trainer_trigger.datasets.store import Store
from trainer_trigger.drift.rows import Row
from trainer_trigger.watch.snapshots import Known
from trainer_trigger.watch.windows import drift_row


def remade(lake: str, store: Store, key: str, manifest: Manifest, target: Target, known: Known) -> list[Row] | None:
    """The rows of a training set without those who are gone by now; None where that cannot be told.

    1 at the versions that it was made of → 2 where a purge took these, of what the lake has now the samples that were
    `known` then, as they are now. `key` is the setting `hash_key`: without it named persons cannot be left out.

    Raises DatasetUnavailable.
    """
    if not key and memory.erased(store):
        return None
    try:
        try:
            return _rows(lake, store, key, manifest.table_versions, target, None)  # 1
        except LakeMissingError:
            return _rows(lake, store, key, newest(lake), target, known)  # 2
    except LakeMissingError:
        return None


def _rows(
    lake: str, store: Store, key: str, versions: Mapping[str, int], target: Target, known: Known | None
) -> list[Row]:
    among = None if known is None else pa.table({"sample_id": pa.array(sorted(known()), pa.string())})
    population = Population(lake, versions, keyed.subkey(key), gone(lake), memory.erased(store))
    try:
        population.select(target)
        return [drift_row(row, exported(row).cluster_id) for row in population.snapshot(among)]
    finally:
        population.close()
