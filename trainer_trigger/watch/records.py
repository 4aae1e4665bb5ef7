"""What is read of the lake's rows, and what the index keeps of a sample."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from schemas.targets import Target
from trainer_trigger.watch import Versions

FORMAT: Final = "watch-2"
"""Of the index: a new one is read from the beginning."""

NEUTRAL: Final = 0.5
"""Below it an answer is a bad example, which the format kto has room for."""


class Place(Struct, frozen=True, order=True, array_like=True):
    """Which outcome of a sample is the latest: the greatest one, as in the view `latest_outcomes`."""

    revision: int
    received_us: int
    topic_id: str
    partition: int
    offset: int
    kept: bool


class Facts(Struct, frozen=True, kw_only=True):
    """What a row of `samples` says. `meets`: the target's filter; `good`: all that it asks of a training sample."""

    person: str | None
    duplicate_of: str | None
    rank: float
    score: float | None
    confidence: float
    awaits: bool
    meets: bool
    good: bool
    at_us: int


class Seen(Struct, frozen=True):
    """An outcome and the version of its table that brought it; without facts it is a rejection."""

    sample_id: str
    place: Place
    version: int
    facts: Facts | None


class Word(Struct, frozen=True, order=True, array_like=True):
    """A person's word on consent; the greatest counts, as in the view `withdrawn_persons`."""

    at_us: int
    denied: bool
    event_id: str


class Said(Struct, frozen=True):
    """What an event says of a person; without a word it is an erasure."""

    person: str
    word: Word | None


class Member(Struct, frozen=True, kw_only=True):
    """A sample id in the index: its latest outcome, and its part in its cluster.

    `current`: kept, and its person has not withdrawn. `cluster` is None where it is the sample's own id. `seen` and
    `since` are the lowest versions that brought a revision of it that meets the filter and awaits no review, and one
    that is good. `stands`: for its cluster, as the best that meets the filter; then `stands_seen` and `stands_since`
    are the cluster's, None where all that meet it await review, and where none is good.
    """

    sample_id: str
    place: Place
    kept: bool
    current: bool = False
    person: str | None = None
    duplicate_of: str | None = None
    cluster: str | None = None
    rank: float = 0.0
    score: float | None = None
    confidence: float = 0.0
    awaits: bool = False
    meets: bool = False
    good: bool = False
    at_us: int = 0
    seen: int | None = None
    since: int | None = None
    stands: bool = False
    stands_seen: int | None = None
    stands_since: int | None = None

    @property
    def link(self) -> str | None:
        """The sample that it leads to, on the way to the root of its cluster."""
        return self.duplicate_of if self.current else None

    @property
    def root(self) -> str:
        """The id of its cluster."""
        return self.sample_id if self.cluster is None else self.cluster


class Lake(Struct, frozen=True):
    """Whose versions the watermarks are: its root, and the id of each table, empty where there is none yet."""

    root: str = ""
    samples: str = ""
    rejected: str = ""
    events: str = ""

    def differs(self, other: Lake) -> bool:
        """Whether it is surely another one. A lake that was moved or copied may have gone on in both places."""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return any(one and before and one != before for one, before in pairs)

    def lacks(self, other: Lake) -> list[str]:
        """The tables that only the other one has."""
        return [name for name in ("samples", "rejected", "events") if getattr(other, name) and not getattr(self, name)]


class State(Struct, frozen=True, kw_only=True):
    """How far a target's index is."""

    index_id: int
    previous_id: int | None
    fingerprint: str
    lake: Lake
    versions: Versions
    total: int
    trained_samples: int | None
    trained_hash: str | None


def person_key(tenant: str, user: str) -> str:
    """32 hexadecimal digits; the user is a keyed hash already."""
    return hashlib.blake2b(msgspec.json.encode([tenant, user]), digest_size=16).hexdigest()


def fingerprint(target: Target) -> str:
    """SHA-256 of all that the index depends on beside the lake: with another one it is made anew."""
    on = [FORMAT, target.filter, target.dataset.min_score, target.format]
    return hashlib.sha256(msgspec.json.encode(on, order="sorted")).hexdigest()


def lowest(one: int | None, other: int | None) -> int | None:
    """The lower of two versions, None being none."""
    known = [each for each in (one, other) if each is not None]
    return min(known) if known else None


def good(target: Target, row: Mapping[str, object], *, written: bool) -> bool:
    """Whether the target trains on it, as the exports choose: what a person wrote, or the score says so."""
    score = row["score"]
    if written:
        return True
    if not isinstance(score, float):
        return False
    return score >= target.dataset.min_score or (target.format == "kto" and score < NEUTRAL)
