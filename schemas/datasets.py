"""A training set's manifest: what is in it, what is not and why, and what it was made of. Version 1.

The files of a training set, all NDJSON in UTF-8:

| file | a line |
|---|---|
| `train.jsonl`, `validation.jsonl` | an example in the format of the target |
| `holdout.jsonl` | an example that no training set of the target ever has |
| `lineage.jsonl` | `Origins`: where a line of another file comes from |
| `snapshot.jsonl` | a row that later drift checks compare with (`trainer_trigger.drift.Row`) |
| `manifest.json` | `Manifest`, written last |
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Count = Annotated[int, Meta(ge=0)]

TRAIN: Final = "train.jsonl"
VALIDATION: Final = "validation.jsonl"
HOLDOUT: Final = "holdout.jsonl"
LINEAGE: Final = "lineage.jsonl"
SNAPSHOT: Final = "snapshot.jsonl"
FILES: Final = (TRAIN, VALIDATION, HOLDOUT, LINEAGE, SNAPSHOT)
MANIFEST: Final = "manifest.json"

FORMAT_OF: Final[Mapping[str, str]] = {"sft": "openai-sft", "dpo": "openai-dpo", "kto": "trl-kto"}
"""Format of a target → format of its lines; see docs/exports.md."""


class Exclusion(StrEnum):
    """Every reason for which a sample of the lake (of `dpo`: a preference pair) is in no file of a training set."""

    WITHDRAWN = "withdrawn"
    """Its person has withdrawn or was erased, or its consent was taken back, by now."""
    FILTER = "filter"
    """The target's filter does not take it, or not both halves."""
    AWAITS_REVIEW = "awaits_review"
    """A tuned model's own output that nobody reviewed."""
    MIN_SCORE = "min_score"
    """Its score is too low, or it has none."""
    NEAR_DUPLICATE = "near_duplicate"
    """Another one stands for its cluster."""
    NOT_IN_FORMAT = "not_in_format"
    GOLDEN = "golden_near_duplicate"
    HARM = "harm_near_duplicate"
    BALANCE = "class_balance"
    REPLAY = "replay"
    """Older than the last training set, and not one of the few that are trained on again."""
    MAX_SAMPLES = "max_samples"


class File(Struct, frozen=True):
    """A file of the set: SHA-256 in hexadecimal, size in bytes, number of lines."""

    name: str
    sha256: Sha256
    size_bytes: Count
    lines: Count


class Configuration(Struct, frozen=True):
    """The target's version, as its writer named it, and the hashes of the target and of its training section."""

    version: str
    hash: Sha256
    training_hash: Sha256


class Code(Struct, frozen=True):
    """What built the set: the package's version, the commit where it ran from a checkout, and a hash of the source."""

    version: str
    commit: str | None
    source_sha256: Sha256


class Suite(Struct, frozen=True):
    """A golden set or harm suite: where it was read, SHA-256 of its bytes, number of its prompts."""

    place: str
    sha256: Sha256
    prompts: Count


class Counts(Struct, frozen=True, kw_only=True):
    """Lines. `new` and `older` divide train and validation by the last training set; `considered` is what was there
    before anything was excluded: train + validation + holdout + all that is excluded."""

    considered: Count
    train: Count
    validation: Count
    holdout: Count
    new: Count
    older: Count
    by_task_type: Mapping[str, Count]
    """Of train and validation; the empty name has those without."""


class Check(Struct, frozen=True):
    """One part of the readiness report: whether it is as it should be, in words, with the numbers behind them."""

    name: Literal["size", "format", "balance", "duplicates", "holdout", "lengths", "scores"]
    ok: bool
    words: str
    numbers: Mapping[str, float]


class Readiness(Struct, frozen=True):
    """How ready a set is to be trained on. `missing`: what to do about it, in words."""

    ready: bool
    checks: tuple[Check, ...]
    missing: tuple[str, ...]


class Erased(Struct, frozen=True, kw_only=True):
    """Why a set's bytes were deleted. `models`: the launches that saw it. `at` in epoch milliseconds, where told."""

    why: str
    persons: Count
    samples: Count
    lines: Count
    models: tuple[str, ...] = ()
    at: int | None = None


class Manifest(Struct, frozen=True, kw_only=True):
    """What a training set is. With `erased` its files are gone.

    `older_by` tells how older samples were told from new ones: by the `versions` of the last set's tables, by its
    `lineage` where these versions are gone, by `nothing` where that is gone too, or `none` where it is the first set.
    """

    format_version: Literal[1] = 1
    target: str
    format: str
    dataset_hash: Sha256
    configuration: Configuration
    table_versions: Mapping[str, int]
    earlier: Sha256 | None
    older_by: Literal["none", "versions", "lineage", "nothing"]
    golden: Suite | None
    harm: Suite | None
    counts: Counts
    excluded: Mapping[Exclusion, Count]
    files: tuple[File, ...]
    readiness: Readiness
    code: Code
    erased: Erased | None = None

    def file(self, name: str) -> File:
        """Raises KeyError."""
        return next((each for each in self.files if each.name == name), None) or _no_file(name)


class SourceEvent(Struct, frozen=True):
    """An event that a sample was made of, and where it entered."""

    event_id: str
    topic_id: str
    partition: int
    offset: int


class Origin(Struct, frozen=True):
    """A sample behind a line. `user` is the person's keyed hash, `cluster` that of near duplicates."""

    sample_id: str
    revision: int
    tenant: str
    user: str | None
    cluster: str
    prompt_id: str
    model: str | None
    sources: tuple[SourceEvent, ...]


class Origins(Struct, frozen=True):
    """Where line number `line` (from 1) of `file` comes from: one sample, or of a pair the chosen and the rejected."""

    file: str
    line: int
    samples: tuple[Origin, ...]


def _no_file(name: str) -> File:
    raise KeyError(name)
