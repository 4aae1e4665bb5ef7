"""The tables of the service, in an SQLite file of its home, and what their rows say."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Integer, MetaData, Table, Text

from trainer_trigger.trainer.job import Method


class Status(StrEnum):
    """The states of a job, by OpenAI's words."""

    VALIDATING = "validating_files"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE: Final = frozenset({Status.VALIDATING, Status.QUEUED, Status.RUNNING})

metadata: Final = MetaData()

# `seq` is the order in which rows were made, which the lists follow; it is never used again.
files: Final = Table(
    "trainer_files",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("filename", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

jobs: Final = Table(
    "trainer_jobs",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False, unique=True),
    Column("model", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("training_file", Text, nullable=False),
    Column("validation_file", Text),
    Column("suffix", Text),
    Column("seed", BigInteger, nullable=False),
    Column("metadata", JSON(none_as_null=True)),
    Column("asked", JSON, nullable=False),
    Column("options", JSON, nullable=False),
    Column("resolved", JSON(none_as_null=True)),
    Column("status", Text, nullable=False, index=True),
    Column("error", JSON(none_as_null=True)),
    Column("trained_tokens", BigInteger),
    Column("result_file", Text),
    Column("checkpoints", JSON, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
    Column("settled", Boolean, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("starts", Integer, nullable=False),
    Column("events_bytes", BigInteger, nullable=False),
    Column("begun_ms", BigInteger),
    Column("begun_step", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("total_steps", Integer, nullable=False),
    Column("step_ms", BigInteger),
    sqlite_autoincrement=True,
)

events: Final = Table(
    "trainer_events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("job_id", Text, ForeignKey("trainer_jobs.id"), nullable=False, index=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("level", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("data", JSON, nullable=False),
    sqlite_autoincrement=True,
)


class FileRow(Struct, frozen=True, kw_only=True):
    """A file whose bytes lie whole under `files/ID`."""

    id: str
    filename: str
    purpose: str
    size_bytes: int
    sha256: str
    created_ms: int


class JobRow(Struct, frozen=True, kw_only=True):
    """A job. `asked` are the hyperparameters as they came, `resolved` those trained with, once they are known.

    `name` is the tuned model's. `settled` says that no process works on it any more; `deleted` that its model was
    deleted. `starts` counts training processes; `events_bytes` of their events are in the table. This process began at
    `begun_ms` with `begun_step`, and told of `step` at `step_ms`.
    """

    id: str
    name: str
    model: str
    method: Method
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int
    metadata: dict[str, str] | None
    asked: dict[str, Any]
    options: dict[str, Any]
    created_ms: int
    resolved: dict[str, Any] | None = None
    status: Status = Status.VALIDATING
    error: dict[str, Any] | None = None
    trained_tokens: int | None = None
    result_file: str | None = None
    checkpoints: list[dict[str, Any]] = []
    finished_ms: int | None = None
    settled: bool = False
    deleted: bool = False
    starts: int = 0
    events_bytes: int = 0
    begun_ms: int | None = None
    begun_step: int = 0
    step: int = 0
    total_steps: int = 0
    step_ms: int | None = None


class EventRow(Struct, frozen=True, kw_only=True):
    """An event of a job; `seq` grows."""

    seq: int
    job_id: str
    at_ms: int
    level: str
    type: str
    message: str
    data: dict[str, Any]
