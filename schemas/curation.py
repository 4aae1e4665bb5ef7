"""The curation file: what makes an interaction a sample, as YAML with a version, checked in every field.

Every section and field has a default, so that an empty file is the built-in curation. `streams.curation` reads it.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from schemas.events import Rater

Share = Annotated[float, Meta(ge=0, le=1)]
Weight = Annotated[float, Meta(ge=0)]
Positive = Annotated[int, Meta(gt=0)]


class Normalising(Struct, frozen=True, forbid_unknown_fields=True):
    """`max_turns`: of a longer conversation the last so many user turns are kept, and the system prompt."""

    max_turns: Positive | None = None


class Scoring(Struct, frozen=True, forbid_unknown_fields=True):
    """`weights`: what one judgement of a rater weighs. `implicit`: a signal's weight, of a rater's.

    `prior`: the weight of not knowing; confidence = evidence / (evidence + prior). `burst_per_hour`: scores of one
    person beyond so many in an hour are held.
    """

    weights: dict[Rater, Weight] = msgspec.field(
        default_factory=lambda: {"expert": 4.0, "user": 1.0, "metric": 1.0, "model": 0.5}
    )
    implicit: Share = 0.25
    prior: Annotated[float, Meta(gt=0)] = 1.0
    burst_per_hour: Positive = 100


class Gating(Struct, frozen=True, forbid_unknown_fields=True):
    """`profile`: whose criteria count. `tuned_models`: patterns (`*` is anything) of models that were fine-tuned."""

    profile: str = "default"
    tuned_models: tuple[str, ...] = ()


class Deduplicating(Struct, frozen=True, forbid_unknown_fields=True):
    """`threshold`: Jaccard similarity of word shingles from which prompt and output each count as alike."""

    threshold: Annotated[float, Meta(ge=0.5, le=1)] = 0.7


class Curation(Struct, frozen=True, forbid_unknown_fields=True):
    """All of it. `version` is the writer's own label; the hash tells two files with one label apart."""

    version: str = "built-in"
    normalise: Normalising = Normalising()
    scores: Scoring = Scoring()
    gates: Gating = Gating()
    dedup: Deduplicating = Deduplicating()

    def rules(self) -> str:
        """Lineage: the version, and the first 12 hex digits of the SHA-256 of all that it says."""
        said = msgspec.json.encode(self, order="deterministic")
        return f"{self.version}@{hashlib.sha256(said).hexdigest()[:12]}"
