"""What a launcher is asked, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Annotated, Final, Protocol, TypeGuard

import msgspec
from msgspec import Meta, Struct

from schemas.training import Training
from trainer_trigger.ledger import Event, Intent, Point

MAX_STEP: Final = 2**63 - 1


class DataFile(Struct, frozen=True, kw_only=True):
    """A file of a dataset: where it lies, SHA-256 in hexadecimal, size in bytes and number of lines."""

    place: str
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    size_bytes: Annotated[int, Meta(ge=0)]
    examples: Annotated[int, Meta(ge=0)]


class LaunchRequest(Struct, frozen=True, kw_only=True):
    """All that a launch needs. It is kept in the ledger, so that any scheduler can go on with it."""

    target: str
    table_version: int
    dataset_hash: str
    training: Training
    train_file: DataFile
    validation_file: DataFile | None = None
    generation: int = 0
    provider_at: str = ""
    """The `identity` of the launcher that it was decided for; empty in old records."""

    def intent(self, decision_id: str, cost_cents: int = 0) -> Intent:
        """The ledger's record of it."""
        return Intent(
            decision_id=decision_id,
            target=self.target,
            table_version=self.table_version,
            dataset_hash=self.dataset_hash,
            configuration_hash=self.training.hash,
            generation=self.generation,
            cost_cents=cost_cents,
            request=msgspec.json.encode(self).decode(),
        )


class JobState(StrEnum):
    """What a provider says of a job; a word that is none of these counts as running until the deadline."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Progress(Struct, frozen=True, kw_only=True):
    """How far a job is. `message` is the provider's reason of a failure. `cost_cents` is None where it tells none."""

    state: JobState
    model: str | None = None
    message: str = ""
    cost_cents: int | None = None
    events: tuple[Event, ...] = ()
    points: tuple[Point, ...] = ()


class Launcher(Protocol):
    """A way to run a fine-tune. Each call raises LauncherUnavailable where it may be repeated as it is.

    `settles_s` is the promise that allows a second create: so many seconds after files were revoked, every job that was
    created with them is found, and a create that names them is refused. None: nobody has proved it.
    """

    settles_s: float | None

    @property
    def identity(self) -> str:
        """Where its jobs are, see `place`: a job of one launcher is looked for, and is, at none other."""

    def check(self, request: LaunchRequest) -> None:
        """Without a call: raises LaunchRefusedError for what the provider does not take."""

    def upload(self, request: LaunchRequest, key: str, attempt: int) -> tuple[str, ...]:
        """The ids of this attempt's uploaded files, training first; a file that is there already is not sent again.

        Raises LaunchRefusedError where the file is gone or not the one of the request, and for the provider's clear no.
        """

    def create(self, request: LaunchRequest, key: str, files: Sequence[str]) -> str:
        """The id of the new job. Called once for the same files. Raises LaunchRefusedError, LaunchStateUnknownError."""

    def find(self, key: str) -> list[str]:
        """The ids of all jobs with this launch key."""

    def revoke(self, files: Sequence[str]) -> None:
        """See to it that no job can be created with these files any more."""

    def progress(self, job_id: str) -> Progress:
        """Raises UnknownJobError."""

    def cancel(self, job_id: str) -> None:
        """Ask the provider to stop the job. Raises UnknownJobError, LaunchRefusedError for its clear no."""


def place(kind: str, at: str) -> str:
    """The identity of a launcher, in words for people too."""
    return f"{kind} at {at.rstrip('/')}"


def finite(value: object) -> float | None:
    """The number, None for what no curve can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    with suppress(OverflowError):
        number = float(value)
        return number if math.isfinite(number) else None
    return None


def is_step(value: object) -> TypeGuard[int]:
    """Whether it numbers a point: a whole number that a database can hold."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_STEP
