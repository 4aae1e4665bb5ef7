"""The models there are: local folders to tune from, and the adapters that were tuned."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from trainer_trigger.trainer import checkpoints
from trainer_trigger.trainer.job import ADAPTER
from trainer_trigger.trainer.refused import Refused
from trainer_trigger.trainer.sql import Store
from trainer_trigger.trainer.tables import JobRow

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CHECKPOINT: Final = re.compile(r"(?P<name>.+):ckpt-step-(?P<step>\d{1,9})")


class Model(Struct, frozen=True):
    """What answers: a base model's folder, and the adapter's on top of it, if any."""

    name: str
    base: Path
    adapter: Path | None


class Models:
    """`folder` holds the base models as `NAME` or `OWNER/NAME`, each with config.json and safetensors."""

    def __init__(self, folder: Path, home: Path, store: Store) -> None:
        self._folder = folder
        self._jobs = home / "jobs"
        self._store = store

    def bases(self) -> dict[str, Path]:
        """Base models by name. A folder that is no model is passed over."""
        return {str(path.relative_to(self._folder)): path for path in sorted(self._found())}

    def _found(self) -> Iterator[Path]:
        for path in _folders(self._folder):
            if _is_model(path):
                yield path
            else:
                yield from (inner for inner in _folders(path) if _is_model(inner))

    def base(self, name: str) -> Path | None:
        """The folder of a base model; None where there is none of this name."""
        return self.bases().get(name)

    def find(self, name: str) -> Model:
        """A base model, a tuned one or one of its checkpoints. Raises `Refused` (404)."""
        base = self.base(name)
        if base is not None:
            return Model(name, base, None)
        job = self._store.tuned(name)
        if job is not None:
            return Model(name, self._base_of(job), self._jobs / job.id / ADAPTER)
        step = _CHECKPOINT.fullmatch(name)
        job = self._store.tuned(step["name"]) if step else None
        if step and job is not None:
            folder = checkpoints.place(self._jobs / job.id, int(step["step"]))
            if any(each["step"] == int(step["step"]) for each in job.checkpoints) and folder.is_dir():
                return Model(name, self._base_of(job), folder)
        raise unknown_model(name)

    def _base_of(self, job: JobRow) -> Path:
        base = self.base(job.model)
        if base is None:
            raise Refused(404, f"The base model {job.model} of {job.name} is gone.", code="model_not_found")
        return base

    def listed(self) -> list[dict[str, Any]]:
        """All models, as the API shows them."""
        bases = [_shown(name, path.stat().st_mtime, "local") for name, path in self.bases().items()]
        return bases + [_shown(job.name, (job.finished_ms or 0) / 1000, "millrace") for job in self._store.models()]

    def shown(self, name: str) -> dict[str, Any]:
        """One model, as the API shows it. Raises `Refused` (404)."""
        for model in self.listed():
            if model["id"] == name:
                return model
        return _shown(self.find(name).name, 0, "millrace")

    def delete(self, name: str) -> Path:
        """Delete a tuned model with its checkpoints; its folder. Raises `Refused` (404; 403 for a base model)."""
        job = self._store.tuned(name)
        if job is None:
            if self.base(name) is not None:
                raise Refused(403, f"{name} is a base model, which only its owner deletes.", code="not_deletable")
            raise unknown_model(name)
        self._store.move(job.id, {job.status}, {"deleted": True}, "The model was deleted.")
        folder = self._jobs / job.id
        shutil.rmtree(folder, ignore_errors=True)  # what stays goes at the next start
        return folder


def unknown_model(name: str) -> Refused:
    """The answer to a model that is not there."""
    problem = f"The model `{name[:200]}` does not exist: see /v1/models."
    return Refused(404, problem, param="model", code="model_not_found")


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()]


def _is_model(path: Path) -> bool:
    return (path / "config.json").is_file() and any(path.glob("*.safetensors"))


def _shown(name: str, created_s: float, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(created_s), "owned_by": owner}
