"""What the service remembers, durable before any answer says so.

A job is created, and a file deleted, in one transaction each, one at a time: a create that names a deleted file is
always refused, and a job that was created is listed at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Table, delete, func, insert, select, text, update

from trainer_trigger.database import Database
from trainer_trigger.trainer import job as folders
from trainer_trigger.trainer.errors import TrainerError
from trainer_trigger.trainer.tables import EventRow, FileRow, JobRow, Status, events, files, jobs, metadata

FINE_TUNE: Final = "fine-tune"
RESULTS: Final = "fine-tune-results"

T = TypeVar("T", bound=Struct)


class Page(Struct, frozen=True):
    """Which rows of a list: at most `limit` of those `after` a row, newest first if `newest_first`."""

    limit: int
    after: str | int | None = None
    newest_first: bool = True


class UnknownCursorError(TrainerError):
    """The row that a page shall begin after is not there."""

    code = "invalid_cursor"


class MissingFileError(TrainerError):
    """A job names a file, in its `field`, that is not there (any more) or is no training data."""

    def __init__(self, field: str, file: str) -> None:
        super().__init__(f"There is no file {file} for fine-tuning.", field, "file_not_found")


class Store:
    """Files, jobs and events in a SQLite file."""

    def __init__(self, path: Path) -> None:
        self._database = Database(f"sqlite:///{path}")
        self._database.create(metadata)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def add_file(self, file: FileRow) -> None:
        """Its bytes are durable already."""
        with self._database.transaction() as connection:
            connection.execute(insert(files).values(msgspec.structs.asdict(file)))

    def file(self, file_id: str) -> FileRow | None:
        """None where there is none."""
        return _first(FileRow, self._database.rows(select(files).where(files.c.id == file_id)))

    def files(self, page: Page, purpose: str | None = None) -> tuple[list[FileRow], bool]:
        """A page, and whether there are more. Raises UnknownCursorError."""
        wanted = [] if purpose is None else [files.c.purpose == purpose]
        return self._page(FileRow, files, page, wanted)

    def all_files(self) -> set[str]:
        """The ids of all files."""
        return {row["id"] for row in self._database.rows(select(files.c.id))}

    def delete_file(self, file_id: str) -> bool:
        """From here on no job is created with it. False where there was none."""
        with self._database.transaction() as connection:
            return connection.execute(delete(files).where(files.c.id == file_id)).rowcount == 1

    def create_job(self, job: JobRow, message: str) -> None:
        """Raises MissingFileError: then there is no job."""
        with self._database.transaction() as connection:
            for field in ("training_file", "validation_file"):
                file_id = getattr(job, field)
                named = select(files.c.id).where(files.c.id == file_id, files.c.purpose == FINE_TUNE)
                if file_id is not None and connection.execute(named).first() is None:
                    raise MissingFileError(field, file_id)
            connection.execute(insert(jobs).values(msgspec.structs.asdict(job)))
            _say(connection, job.id, message)

    def job(self, job_id: str) -> JobRow | None:
        """None where there is none."""
        return _first(JobRow, self._database.rows(select(jobs).where(jobs.c.id == job_id)))

    def jobs(
        self, page: Page, wanted: Mapping[str, str] | None = None, *, bare: bool = False
    ) -> tuple[list[JobRow], bool]:
        """A page of the jobs with all `wanted` metadata, or of the `bare` ones, that have none; whether there are more.

        Raises UnknownCursorError.
        """
        each = func.json_each(jobs.c.metadata).table_valued("key", "value")
        conditions: list[Any] = [
            select(each.c.key).where(each.c.key == key, each.c.value == value).exists()
            for key, value in (wanted or {}).items()
        ]
        return self._page(JobRow, jobs, page, [*conditions, *([jobs.c.metadata.is_(None)] if bare else [])])

    def unsettled(self) -> list[JobRow]:
        """Jobs that somebody has to look after, in the order of their creation."""
        query = select(jobs).where(jobs.c.settled.is_(False)).order_by(jobs.c.seq)
        return [_row(JobRow, row) for row in self._database.rows(query)]

    def models(self) -> list[JobRow]:
        """Jobs whose model is there, in the order of their creation."""
        done = select(jobs).where(jobs.c.status == Status.SUCCEEDED, jobs.c.deleted.is_(False)).order_by(jobs.c.seq)
        return [_row(JobRow, row) for row in self._database.rows(done)]

    def tuned(self, name: str) -> JobRow | None:
        """The job whose model has this name; None where there is no such model."""
        done = jobs.c.name == name, jobs.c.status == Status.SUCCEEDED, jobs.c.deleted.is_(False)
        return _first(JobRow, self._database.rows(select(jobs).where(*done)))

    def kept_jobs(self) -> set[str]:
        """The ids of the jobs whose folders are kept: all but those whose models were deleted."""
        return {row["id"] for row in self._database.rows(select(jobs.c.id).where(jobs.c.deleted.is_(False)))}

    def counts(self) -> tuple[dict[Status, int], int]:
        """Jobs by state, and all tokens trained."""
        by_status = select(jobs.c.status, func.count().label("count")).group_by(jobs.c.status)
        tokens = select(func.coalesce(func.sum(jobs.c.trained_tokens), 0).label("tokens"))
        with self._database.transaction() as connection:
            counted = {Status(row.status): int(row[1]) for row in connection.execute(by_status)}
            return counted, int(connection.execute(tokens).scalar_one())

    def move(
        self,
        job_id: str,
        begin: Collection[Status],
        changes: Mapping[str, object],
        message: str | None = None,
        *,
        level: str = "info",
        result: FileRow | None = None,
    ) -> bool:
        """Change a job that is in one of the states, say so in an event, and add its result file. False: it is in none.

        All of it happens or nothing.
        """
        with self._database.transaction() as connection:
            change = update(jobs).where(jobs.c.id == job_id, jobs.c.status.in_(sorted(begin))).values(dict(changes))
            if connection.execute(change).rowcount == 0:
                return False
            if result is not None:
                connection.execute(insert(files).values(msgspec.structs.asdict(result)))
            if message is not None:
                _say(connection, job_id, message, level)
            return True

    def take_in(self, job_id: str, told: Sequence[folders.Event], events_bytes: int) -> None:
        """Events that a training process told, and how far they have been read."""
        changes: dict[str, Any] = {"events_bytes": events_bytes}
        for event in told:
            step = event.data.get("step")
            if event.type == "metrics" and isinstance(step, int):
                changes |= {"step": step, "step_ms": event.at_ms}
                changes |= {"total_steps": event.data.get("total_steps", 0)}
        rows = [{"job_id": job_id, **msgspec.structs.asdict(event)} for event in told]
        with self._database.transaction() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(**changes))
            if rows:
                connection.execute(insert(events), rows)

    def events(self, job_id: str, page: Page) -> tuple[list[EventRow], bool]:
        """A page of a job's events; `after` is a `seq`. Raises UnknownCursorError."""
        return self._page(EventRow, events, page, [events.c.job_id == job_id], cursor="seq")

    def metrics(self, job_id: str) -> list[dict[str, Any]]:
        """The data of all metrics events of a job, in their order."""
        of_job = events.c.job_id == job_id, events.c.type == "metrics"
        query = select(events.c.data).where(*of_job).order_by(events.c.seq)
        return [row["data"] for row in self._database.rows(query)]

    def problem(self) -> str | None:
        """Why nothing can be remembered; None when it can."""
        try:
            with self._database.transaction() as connection:
                connection.execute(text("SELECT 1"))
        except Exception as exc:
            return f"the database does not answer: {type(exc).__name__}"
        return None

    def _page(
        self, kind: type[T], table: Table, page: Page, wanted: Sequence[Any], cursor: str = "id"
    ) -> tuple[list[T], bool]:
        conditions = list(wanted)
        with self._database.transaction() as connection:
            if page.after is not None:
                seq = connection.execute(select(table.c.seq).where(table.c[cursor] == page.after)).scalar()
                if seq is None:
                    raise UnknownCursorError(f"There is nothing with id {page.after} to go on after.", "after")
                conditions.append(table.c.seq < seq if page.newest_first else table.c.seq > seq)
            order = table.c.seq.desc() if page.newest_first else table.c.seq
            query = select(table).where(*conditions).order_by(order).limit(page.limit + 1)
            rows = [_row(kind, row) for row in connection.execute(query).mappings()]
        return rows[: page.limit], len(rows) > page.limit


def _say(connection: Connection, job_id: str, message: str, level: str = "info") -> None:
    at_ms = folders.now_ms()
    said = {"job_id": job_id, "at_ms": at_ms, "level": level, "type": "message", "message": message, "data": {}}
    connection.execute(insert(events).values(said))


def _row(kind: type[T], row: Mapping[Any, Any]) -> T:
    return msgspec.convert({name: row[name] for name in kind.__struct_fields__}, kind)


def _first(kind: type[T], rows: Sequence[Mapping[Any, Any]]) -> T | None:
    return _row(kind, rows[0]) if rows else None
