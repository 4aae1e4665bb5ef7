"""One window against the reference: a p-value a feature, Holm over the features."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, Literal

import msgspec
import numpy as np
from msgspec import Struct

from trainer_trigger.drift.categorical import Columns, label_columns
from trainer_trigger.drift.errors import DriftError
from trainer_trigger.drift.numeric import number_columns
from trainer_trigger.drift.permutations import distances, holm, reaches
from trainer_trigger.drift.rows import LABELS, NUMBERS, Prepared, limited

VERSION: Final = "drift-1"
TEXT: Final = "text"
FEATURES: Final = (TEXT, *LABELS, *NUMBERS)


class Rule(Struct, frozen=True, kw_only=True):
    """When a window counts as moved.

    Raises:
        DriftError: not 0 < alpha < 1, no row needed, or too few permutations to reach alpha with every feature tested.
    """

    alpha: float = 0.01
    minimum_rows: int = 300
    """Of the window and of the reference."""
    permutations: int = 2_999
    """At most. 3,000 is a multiple of 100 · 6, so that no part of alpha / 6 is lost to rounding."""

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise DriftError(f"alpha is {self.alpha}; it must lie between 0 and 1")
        if self.minimum_rows < 2:
            raise DriftError(f"minimum_rows is {self.minimum_rows}; it must be 2 or more")
        fewest = int(np.ceil(len(FEATURES) / self.alpha)) - 1
        if self.permutations < fewest:
            raise DriftError(
                f"permutations is {self.permutations}; alpha {self.alpha} over {len(FEATURES)} features takes {fewest}"
            )


class FeatureTest(Struct, frozen=True, kw_only=True):
    """One feature. A distance means little without `by_chance`, the mean distance of random divisions of these rows."""

    feature: str
    p: float
    adjusted: float
    """p after Holm; at or below alpha the feature has moved in this window."""
    distance: float
    """√MMD² for the text, else the Jensen-Shannon distance: 0 alike, 1 nothing in common."""
    by_chance: float
    permutations: int


class Shortage(Struct, frozen=True):
    """A side with too few rows."""

    side: Literal["reference", "window"]
    rows: int
    needed: int

    @property
    def missing(self) -> int:
        return self.needed - self.rows


class Outcome(Struct, frozen=True, kw_only=True):
    """What one window says; `judge` needs two. Serialisable; it holds hashes of ids and no content."""

    reference: str
    """Digest of the reference's ids."""
    window: str
    """Digest of the window's ids."""
    method: str
    """Version, featuriser and rule: outcomes of different methods are not compared."""
    alpha: float
    reference_rows: int
    reference_clusters: int
    window_rows: int
    window_clusters: int
    members: bytes
    """See `Prepared.members`."""
    tests: tuple[FeatureTest, ...] = ()
    """In the order of FEATURES; a feature that is the same in all rows is not tested."""
    moved: tuple[str, ...] = ()
    shortages: tuple[Shortage, ...] = ()


def check(reference: Prepared, window: Prepared, rule: Rule | None = None) -> Outcome:
    """Compare `window` with `reference`; the same rows give the same p-values.

    Of a window with more clusters than the reference only as many are compared. All windows are held against the same
    reference: the smaller it is beside them, the more often one that is odd by chance looks moved twice in a row.

    Raises:
        DriftError: the two were prepared with different featurisers.
    """
    rule = rule or Rule()
    if reference.featuriser != window.featuriser:
        raise DriftError(f"reference is prepared with {reference.featuriser}, window with {window.featuriser}")
    sides = (
        Shortage("reference", reference.row_count, rule.minimum_rows),
        Shortage("window", window.row_count, rule.minimum_rows),
    )
    outcome = Outcome(
        reference=reference.digest.hex(),
        window=window.digest.hex(),
        method=f"{VERSION} {window.featuriser} {rule.alpha:g} {rule.minimum_rows} {rule.permutations}",
        alpha=rule.alpha,
        reference_rows=reference.row_count,
        reference_clusters=reference.cluster_count,
        window_rows=window.row_count,
        window_clusters=window.cluster_count,
        members=window.members,
        shortages=tuple(each for each in sides if each.missing > 0),
    )
    if outcome.shortages:
        return outcome
    window = limited(window, len(reference.text))
    found = distances(
        window.text,
        reference.text,
        feature_columns(reference, window),
        seed=_seed(outcome),
        permutations=rule.permutations,
        alpha=rule.alpha,
    )
    adjusted = holm([each.p for each in found.values()])
    tests = tuple(
        FeatureTest(feature=name, adjusted=after, **each._asdict())
        for (name, each), after in zip(found.items(), adjusted, strict=True)
    )
    moved = tuple(test.feature for test in tests if reaches(test.adjusted, rule.alpha))
    return msgspec.structs.replace(outcome, tests=tests, moved=moved)


def feature_columns(reference: Prepared, window: Prepared) -> Mapping[str, Columns]:
    """The features besides the text that differ between rows; the window's units come first."""
    units = np.concatenate([window.units, reference.units + len(window.text)])
    count = len(window.text) + len(reference.text)
    found = {name: label_columns(window.labels[name] + reference.labels[name], units, count) for name in LABELS}
    for name in NUMBERS:
        values = np.concatenate([window.numbers[name], reference.numbers[name]])
        found[name] = number_columns(values, units, count)
    return {name: columns for name, columns in found.items() if columns is not None}


def _seed(outcome: Outcome) -> int:
    """By the ids of both sides: nobody can draw again until they like the answer."""
    named = f"{outcome.reference} {outcome.window} {VERSION}".encode()
    return int.from_bytes(hashlib.blake2b(named, digest_size=16).digest())
