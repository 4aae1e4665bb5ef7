"""Requests and schedulers that the tests of the launchers share."""

from __future__ import annotations

import hashlib
from pathlib import Path

from schemas.training import Training
from trainer_trigger.launchers import DataFile, LaunchRequest


def data_file(path: Path, examples: int = 12, text: str = '{"messages":[]}\n') -> DataFile:
    """A file of so many lines at `path`."""
    path.write_text(text * examples)
    data = path.read_bytes()
    return DataFile(place=str(path), sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), examples=examples)


def request_in(folder: Path, training: Training | None = None) -> LaunchRequest:
    """A request with a training and a validation file in `folder`."""
    return LaunchRequest(
        target="chat",
        table_version=3,
        dataset_hash="abc",
        training=training or Training(base_model="tiny"),
        train_file=data_file(folder / "train.jsonl"),
        validation_file=data_file(folder / "valid.jsonl", text="{}\n"),
    )
