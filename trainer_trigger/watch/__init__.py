"""What has come into the lake since a target was last looked at: counted, scored, held against the last training set.

`Watch` (`trainer_trigger.watch.watching`) reads only what was committed since the target's watermark and keeps in SQL
what a full query would have to work out again. Texts stay in the lake; SQL keeps ids, numbers and hashes.
"""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

from schemas import targets
from schemas.targets import Target


class Versions(Struct, frozen=True):
    """The Delta versions that were read; −1 where the table is not there yet."""

    samples: int = -1
    rejected: int = -1
    events: int = -1


class Count(Struct, frozen=True):
    """Clusters that qualify for training: `fresh` first came after the last training set; `total` are all."""

    fresh: int
    total: int


class Production(Struct, frozen=True):
    """Mean score in [0, 1] of the newest scored `clusters`, whoever answered; None where there are none."""

    clusters: int
    mean: float | None


class DriftState(Struct, frozen=True, kw_only=True):
    """The last verdict against the current training set, and the window that fills meanwhile.

    `reason` is in words, also for what is missing. `window_rows` clusters of `needed` wait for the next check. `place`
    names the folder of the last check's report.json, report.txt and report.png; None before the first. `at_ms`: of it.
    """

    kind: Literal["drift", "suspected", "steady", "not enough data", "overlap"]
    features: tuple[str, ...] = ()
    reason: str
    window_rows: int
    needed: int
    reference_rows: int
    place: str | None = None
    at_ms: int | None = None


class Watching(Protocol):
    """Everything may raise DatabaseUnavailable."""

    def catch_up(self, name: str, target: Target) -> Versions:
        """Read what was committed since the watermark. Raises LakeUnavailable: the same call again goes on."""
        ...

    def count(self, name: str, target: Target) -> Count:
        """As of the last `catch_up`."""
        ...

    def production(self, name: str, target: Target, clusters: int, after_ms: int | None = None) -> Production:
        """Of at most so many clusters, as of the last `catch_up`; after a time, if one is said, of what came later."""
        ...

    def drift(self, name: str, target: Target, rule: targets.Drift, *, checks: bool = True) -> DriftState:
        """Check one window if a whole one waits, and say how things stand; without `checks` only say it.

        A window is checked once. Raises LakeUnavailable, DriftError.
        """
        ...

    def trained(self, name: str, versions: Versions, dataset_hash: str) -> None:
        """A training set was made of these versions: what is fresh is counted from here. Again is the same."""
        ...
