"""Errors of training sets.

NoDatasetError                 (trainer_trigger.errors) there is none to be made of this
└── DatasetError
    ├── GoldenMissingError     the target says neither which golden set or harm suite there is nor that there is none
    ├── SuiteError             a golden set or harm suite cannot be read: names file, line and what is wrong
    ├── LeakageError           a training line is nearly the same as one of theirs: names both
    ├── NotEnoughSamplesError  fewer than the target's minimum are left
    ├── LakeMissingError       there is no lake, or not at these versions
    ├── ErasedError            the set was erased and cannot be made again
    └── DamagedError           bytes are not those of the manifest
DatasetsAway                   (trainer_trigger.errors)
└── DatasetUnavailable         the store or the lake does not answer: the same again later
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from schemas.datasets import Exclusion
from trainer_trigger.errors import DatasetsAway, NoDatasetError

MOST_NAMED: Final = 20
"""Leaks that a message names, and samples of each."""


class DatasetError(NoDatasetError):
    """Root of what is wrong with a training set for good."""


class GoldenMissingError(DatasetError):
    """Nobody said what must not leak."""

    def __init__(self, target: str, fields: Sequence[str]) -> None:
        super().__init__(
            f"{target}: dataset.{' and dataset.'.join(fields)} not set: name a file of prompts that are never trained "
            "on, or say `none`"
        )
        self.fields = tuple(fields)


class SuiteError(DatasetError):
    """A golden set or harm suite that cannot be read."""


class Leak(Struct, frozen=True):
    """Samples that are nearly the same as line `line` (from 1) of the golden set or harm suite `suite`."""

    suite: str
    place: str
    line: int
    samples: tuple[str, ...]
    count: int


class LeakageError(DatasetError):
    """`leaks` are the first of them; `lines` is how many training lines leak in all."""

    def __init__(self, leaks: Sequence[Leak], lines: int) -> None:
        told = "; ".join(
            f"{leak.suite} {leak.place} line {leak.line} is nearly the same as {', '.join(leak.samples)}"
            + (f" and {leak.count - len(leak.samples)} more" if leak.count > len(leak.samples) else "")
            for leak in leaks
        )
        super().__init__(f"{lines} training lines leak: {told}. `leakage: exclude` leaves them out")
        self.leaks = tuple(leaks)
        self.lines = lines


class NotEnoughSamplesError(DatasetError):
    """`have` lines to train on of `need`, and what was left out."""

    def __init__(self, have: int, need: int, excluded: Mapping[Exclusion, int], held: int, validation: int) -> None:
        left_out = [f"{count} {reason.value}" for reason, count in excluded.items() if count]
        left_out += [f"{held} held out"] * bool(held) + [f"{validation} for validation"] * bool(validation)
        super().__init__(f"{have} samples to train on, {need} needed; left out: {', '.join(left_out) or 'none'}")
        self.have = have
        self.need = need
        self.excluded = dict(excluded)


class LakeMissingError(DatasetError):
    """No lake, or not at the versions that were asked for."""


class ErasedError(DatasetError):
    """An erased set stays erased."""


class DamagedError(DatasetError):
    """A file is missing or has other bytes than the manifest says."""


class DatasetUnavailable(DatasetsAway):
    """The store or the lake does not answer. What was half made is seen by nobody."""
