"""Rows in, clusters out: what a check compares.

Near duplicates are no independent evidence: five copies of each sample make a test by rows fire at anything. So a
duplicate cluster counts once a side, as the mean of its rows, as training keeps one row of it; whole clusters are then
permuted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from itertools import pairwise
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from trainer_trigger.drift.errors import RepeatedSampleError
from trainer_trigger.drift.text import FREQUENCIES, Featuriser, Floats, HashedNgrams, features

LABELS: Final = ("intent", "language", "task_type")
NUMBERS: Final = ("words", "score")

MOST_CLUSTERS: Final = 5_000
"""Of a side, those with the lowest hashes: a choice that knows neither side nor content. Bounds time and memory."""

MOST_OF_CLUSTER: Final = 4
"""Rows of a cluster whose mean is taken; the others are near duplicates of them."""

MOST_MEMBERS: Final = 4_096
"""Row hashes kept to see that two windows share rows: exact up to so many rows, and a sample of them beyond."""


class Row(Struct, frozen=True, kw_only=True):
    """One sample, redacted. `cluster` is the id of its duplicate cluster; `words` its length in words."""

    sample_id: str
    cluster: str
    text: str
    intent: str | None = None
    language: str | None = None
    task_type: str | None = None
    words: float | None = None
    score: float | None = None


class Prepared(NamedTuple):
    """One side of a check. A unit is a cluster; units are sorted by id, so the order of rows does not count."""

    rows: tuple[Row, ...]
    """Those that are compared, by cluster and id."""
    units: NDArray[np.intp]
    """Unit of each of `rows`, shape (rows,), growing."""
    firsts: NDArray[np.intp]
    """Place in `rows` of each unit's first, shape (units,)."""
    text: Floats
    """Mean random features of each unit, shape (units, 2 · FREQUENCIES)."""
    labels: Mapping[str, tuple[str | None, ...]]
    """A value each of `rows`, by the names in LABELS."""
    numbers: Mapping[str, NDArray[np.float64]]
    """A value each of `rows`, by the names in NUMBERS; NaN where there is none."""
    row_count: int
    """Rows given."""
    cluster_count: int
    """Clusters given."""
    digest: bytes
    """Of all sample ids given."""
    members: bytes
    """Hashes of sample ids, the lowest ones, 8 bytes each, sorted."""
    featuriser: str


def prepare(rows: Iterable[Row], featuriser: Featuriser | None = None) -> Prepared:
    """What `check` compares; a reference's can be kept for the next checks.

    Raises:
        RepeatedSampleError: a sample id is there twice.
        FeaturiserError: the featuriser's answer cannot be used.
    """
    featuriser = featuriser or HashedNgrams()
    given = list(rows)
    ids = sorted(row.sample_id for row in given)
    for one, other in pairwise(ids):
        if one == other:
            raise RepeatedSampleError(f"sample {one} is there twice; give its newest revision only")
    by_cluster: dict[str, list[Row]] = {}
    for row in given:
        by_cluster.setdefault(row.cluster, []).append(row)
    kept = by_cluster if len(by_cluster) <= MOST_CLUSTERS else sorted(by_cluster, key=_hash)[:MOST_CLUSTERS]
    compared = tuple(row for cluster in sorted(kept) for row in _some(by_cluster[cluster]))

    clusters = {cluster: unit for unit, cluster in enumerate(sorted(kept))}
    units = np.array([clusters[row.cluster] for row in compared], np.intp)
    sizes = np.bincount(units, minlength=len(clusters)).astype(np.float32)
    text = np.zeros((len(clusters), 2 * FREQUENCIES), np.float32)
    done = 0
    for batch in features([row.text for row in compared], featuriser):
        np.add.at(text, units[done : done + len(batch)], batch)
        done += len(batch)
    text /= np.maximum(sizes, 1)[:, None]

    return Prepared(
        rows=compared,
        units=units,
        firsts=np.flatnonzero(np.diff(units, prepend=-1)),
        text=text,
        labels={name: tuple(map(attrgetter(name), compared)) for name in LABELS},
        numbers={name: _numbers(map(attrgetter(name), compared)) for name in NUMBERS},
        row_count=len(given),
        cluster_count=len(by_cluster),
        digest=hashlib.blake2b("\0".join(ids).encode("utf-8", "surrogatepass"), digest_size=16).digest(),
        members=b"".join(sorted(map(_hash, ids))[:MOST_MEMBERS]),
        featuriser=featuriser.name,
    )


def limited(side: Prepared, most: int) -> Prepared:
    """`side` with at most `most` clusters: those with the lowest hashes."""
    if len(side.text) <= most:
        return side
    names = [side.rows[first].cluster for first in side.firsts]
    units = np.sort(sorted(range(len(names)), key=lambda unit: _hash(names[unit]))[:most])
    places = np.flatnonzero(np.isin(side.units, units))
    kept = np.searchsorted(units, side.units[places])
    return side._replace(
        rows=tuple(side.rows[at] for at in places),
        units=kept,
        firsts=np.flatnonzero(np.diff(kept, prepend=-1)),
        text=side.text[units],
        labels={name: tuple(values[at] for at in places) for name, values in side.labels.items()},
        numbers={name: values[places] for name, values in side.numbers.items()},
    )


def _some(rows: list[Row]) -> list[Row]:
    if len(rows) > MOST_OF_CLUSTER:
        rows = sorted(rows, key=lambda row: _hash(row.sample_id))[:MOST_OF_CLUSTER]
    return sorted(rows, key=attrgetter("sample_id"))


def _hash(name: str) -> bytes:
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _numbers(values: Iterable[float | None]) -> NDArray[np.float64]:
    found = np.array([np.nan if value is None else value for value in values], np.float64)
    found[~np.isfinite(found)] = np.nan
    return found
