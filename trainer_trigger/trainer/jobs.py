"""Fine-tuning jobs as the API has them: created, listed, cancelled, and what they tell of themselves.

A job is created so:

1. its folder, with links to the files and `job.json`, durable → 2. the row, in one transaction with the look whether
the files are still there → 3. the answer. A folder without a row was never a job, and goes at the next start.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from trainer_trigger.trainer import requests
from trainer_trigger.trainer.files import Files
from trainer_trigger.trainer.job import TrainJob, now_ms, sync_folder, write_job
from trainer_trigger.trainer.models import Models
from trainer_trigger.trainer.refused import Refused
from trainer_trigger.trainer.requests import CreateJob
from trainer_trigger.trainer.sql import MissingFileError, Page, Store
from trainer_trigger.trainer.tables import ACTIVE, EventRow, JobRow, Status

TRAINING: Final = "training.jsonl"
VALIDATION: Final = "validation.jsonl"
ORGANISATION: Final = "millrace"
_EVENT: Final = re.compile(r"ftevent-(\d{1,15})")


class Jobs:
    """The jobs of a home. `changed` is called when there is something to do; any number of threads may use it."""

    def __init__(
        self,
        home: Path,
        store: Store,
        files: Files,
        models: Models,
        changed: Callable[[], None] = lambda: None,
        threads: int = 1,
    ) -> None:
        self._folder = home / "jobs"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._store = store
        self._files = files
        self._models = models
        self._changed = changed
        self._threads = threads

    def folder(self, job_id: str) -> Path:
        """Where a job is worked on."""
        return self._folder / job_id

    def sweep(self) -> None:
        """Remove folders of jobs that were never created, or whose model was deleted. For the start."""
        kept = self._store.kept_jobs()
        for path in self._folder.iterdir():
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def create(self, body: object) -> dict[str, Any]:
        """Raises `Refused` (400): then there is no job."""
        asked = requests.read(body)
        base = self._models.base(asked.model)
        if base is None:
            raise self._no_base(asked.model)
        job_id = f"ftjob-{secrets.token_hex(12)}"
        seed = secrets.randbelow(2**31) if asked.seed is None else asked.seed
        try:
            self._prepare(job_id, asked, seed, base)  # 1
            row = JobRow(
                id=job_id,
                name=requests.tuned_name(asked.model, asked.suffix, job_id),
                model=asked.model,
                method=asked.method,
                training_file=asked.training_file,
                validation_file=asked.validation_file,
                suffix=asked.suffix,
                seed=seed,
                metadata=asked.metadata,
                asked=msgspec.to_builtins(asked.hyperparameters),
                options=msgspec.to_builtins(asked.options),
                created_ms=now_ms(),
            )
            self._store.create_job(row, f"Created fine-tuning job: {job_id}")  # 2
        except (MissingFileError, OSError) as exc:
            shutil.rmtree(self.folder(job_id), ignore_errors=True)
            if isinstance(exc, MissingFileError):
                raise Refused.of(exc) from exc
            raise
        self._changed()
        return shown(row)

    def _prepare(self, job_id: str, asked: CreateJob, seed: int, base: Path) -> None:
        folder = self.folder(job_id)
        folder.mkdir()
        self._link("training_file", asked.training_file, folder / TRAINING)
        if asked.validation_file is not None:
            self._link("validation_file", asked.validation_file, folder / VALIDATION)
        job = TrainJob(
            job_id=job_id,
            base_model=str(base.resolve()),
            method=asked.method,
            hyperparameters=asked.hyperparameters,
            seed=seed,
            train_file=str((folder / TRAINING).resolve()),
            validation_file=str((folder / VALIDATION).resolve()) if asked.validation_file is not None else None,
            threads=self._threads,
            **msgspec.structs.asdict(asked.options),
        )
        write_job(folder, job)
        sync_folder(self._folder)

    def _link(self, field: str, file_id: str, own: Path) -> None:
        """Give the job the file's bytes for its own, which stay when the file is deleted."""
        if self._store.file(file_id) is None:  # and only an id that is in the store becomes a path
            raise MissingFileError(field, file_id)
        try:
            os.link(self._files.path(file_id), own)
        except FileNotFoundError as exc:
            raise MissingFileError(field, file_id) from exc

    def _no_base(self, model: str) -> Refused:
        problem = f"There is no base model `{model}`: see /v1/models."
        if model.startswith("ft:"):
            problem = "A tuned model cannot be tuned again here: name its base model."
        return Refused(400, problem, param="model", code="model_not_found")

    def find(self, job_id: str) -> JobRow:
        """Raises `Refused` (404)."""
        job = self._store.job(job_id)
        if job is None:
            problem = f"Could not find fine tune: {job_id[:200]}"
            raise Refused(404, problem, param="fine_tuning_job_id", code="fine_tune_not_found")
        return job

    def shown(self, job_id: str) -> dict[str, Any]:
        """The job object of the API. Raises `Refused` (404)."""
        return shown(self.find(job_id))

    def listed(self, page: Page, wanted: Mapping[str, str], *, bare: bool) -> dict[str, Any]:
        """A page of the jobs with this metadata, newest first; `bare` is those that have none."""
        rows, more = self._store.jobs(page, wanted, bare=bare)
        return listing([shown(row) for row in rows], more)

    def cancel(self, job_id: str) -> dict[str, Any]:
        """The job is cancelled when this returns; its process ends soon. Raises `Refused`: 404, 400 when it is over."""
        changes = {"status": Status.CANCELLED, "finished_ms": now_ms()}
        if not self._store.move(job_id, ACTIVE, changes, "The job was cancelled."):
            status = self.find(job_id).status
            if status != Status.CANCELLED:
                raise Refused(400, f"Job {job_id} has already {status}.", code="job_is_over")
        self._changed()
        return shown(self.find(job_id))

    def refuse_pause(self, job_id: str, what: str) -> Refused:
        """The answer to pause and resume. Raises `Refused` (404)."""
        self.find(job_id)
        problem = f"A job cannot be {what} here. Cancel it, or stop the service: it goes on from a checkpoint then."
        return Refused(400, problem, code="unsupported_operation")

    def events(self, job_id: str, page: Page) -> dict[str, Any]:
        """A page of a job's events, newest first. Raises `Refused` (404)."""
        self.find(job_id)
        after = page.after
        if after is not None:
            event = _EVENT.fullmatch(str(after))
            after = int(event[1]) if event else after
        rows, more = self._store.events(job_id, msgspec.structs.replace(page, after=after))
        return listing([_event(row) for row in rows], more)

    def checkpoints(self, job_id: str, page: Page) -> dict[str, Any]:
        """A page of the checkpoints that a finished job keeps, newest first. Raises `Refused` (404)."""
        job = self.find(job_id)
        kept = [] if job.deleted or job.status != Status.SUCCEEDED else job.checkpoints
        told = [_checkpoint(job, each) for each in sorted(kept, key=lambda each: -each["step"])]
        ids = [each["id"] for each in told]
        if page.after is not None and page.after not in ids:
            raise Refused(400, f"There is nothing with id {page.after} to go on after.", param="after")
        begin = ids.index(str(page.after)) + 1 if page.after is not None else 0
        return listing(told[begin : begin + page.limit], begin + page.limit < len(told))


def listing(data: list[dict[str, Any]], more: bool) -> dict[str, Any]:
    """A page, as the API shows it."""
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, "has_more": more, **ends}


def shown(job: JobRow) -> dict[str, Any]:
    """The job object of the API."""
    hyperparameters = requests.shown(job.method, job.asked, job.resolved)
    return {
        "object": "fine_tuning.job",
        "id": job.id,
        "model": job.model,
        "created_at": job.created_ms // 1000,
        "finished_at": None if job.finished_ms is None else job.finished_ms // 1000,
        "fine_tuned_model": job.name if job.status == Status.SUCCEEDED else None,
        "organization_id": ORGANISATION,
        "result_files": [job.result_file] if job.result_file is not None else [],
        "status": job.status,
        "training_file": job.training_file,
        "validation_file": job.validation_file,
        "hyperparameters": {name: hyperparameters.get(name) for name in requests.OPENAI["supervised"]},
        "method": {"type": job.method, job.method: {"hyperparameters": hyperparameters}},
        "trained_tokens": job.trained_tokens,
        "error": job.error,
        "user_provided_suffix": job.suffix,
        "seed": job.seed,
        "estimated_finish": estimated_finish_s(job),
        "integrations": [],
        "trainer": job.options,
        "metadata": job.metadata,
    }


def estimated_finish_s(job: JobRow) -> int | None:
    """Epoch seconds, from the pace of the process that trains now; None before there is one."""
    done = job.step - job.begun_step
    if job.status != Status.RUNNING or job.step_ms is None or job.begun_ms is None or done <= 0:
        return None
    left = max(0, job.total_steps - job.step)
    return round((job.step_ms + left * (job.step_ms - job.begun_ms) / done) / 1000)


def _event(event: EventRow) -> dict[str, Any]:
    return {
        "object": "fine_tuning.job.event",
        "id": f"ftevent-{event.seq:012}",
        "created_at": event.at_ms // 1000,
        "level": event.level,
        "message": event.message,
        "type": event.type,
        "data": event.data,
    }


def _checkpoint(job: JobRow, kept: dict[str, Any]) -> dict[str, Any]:
    return {
        "object": "fine_tuning.job.checkpoint",
        "id": f"ftckpt-{job.id.removeprefix('ftjob-')}-{kept['step']}",
        "created_at": kept.get("at_ms", job.finished_ms or 0) // 1000,
        "fine_tuned_model_checkpoint": f"{job.name}:ckpt-step-{kept['step']}",
        "fine_tuning_job_id": job.id,
        "metrics": {"step": kept["step"], **kept.get("metrics", {})},
        "step_number": kept["step"],
    }
