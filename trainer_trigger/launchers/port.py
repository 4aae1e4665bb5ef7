"""What a launcher is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Struct

from schemas.training import Training
from trainer_trigger.ledger import Event, Intent, Point


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

    def check(self, request: LaunchRequest) -> None:
        """Without a call: raises LaunchRefusedError for what the provider does not take."""

    def upload(self, request: LaunchRequest, key: str, attempt: int) -> tuple[str, ...]:
        """The ids of this attempt's uploaded files, training first; a file that is there already is not sent again.

        Raises LaunchRefusedError where the file is not the one of the request.
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
        """Ask the provider to stop the job. Raises UnknownJobError."""
