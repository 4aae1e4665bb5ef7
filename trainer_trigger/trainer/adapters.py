"""Folders that are there whole or not at all: adapters and checkpoints, each with a manifest of its files.

A saved adapter is several files, and one with a damaged tail loads without an error. So a folder is filled under
another name, every file is hashed and made durable, and a rename publishes it. Whoever reads it compares all hashes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from trainer_trigger.trainer.errors import BrokenAdapterError
from trainer_trigger.trainer.job import sync_folder

MANIFEST: Final = "manifest.json"
WEIGHTS: Final = "adapter_model.safetensors"
CONFIG: Final = "adapter_config.json"
TEMPLATE: Final = "chat_template.jinja"
TOOLS_TEMPLATE: Final = "chat_template_tool_use.jinja"
"""How messages were written in training, and those with tools where they have a template of their own."""

PART: Final = ".part"
_CHUNK_BYTES: Final = 1024 * 1024


class File(Struct, frozen=True):
    """SHA-256 in hexadecimal, and size in bytes."""

    sha256: str
    size_bytes: int


class Manifest(Struct, frozen=True, kw_only=True):
    """Every file of the folder but this one, and where it comes from. `base_model` is the folder trained on."""

    files: dict[str, File]
    job_id: str = ""
    base_model: str = ""
    step: int = 0


def publish(
    folder: Path, filled: Callable[[Path], None], job_id: str = "", base_model: str = "", step: int = 0
) -> None:
    """Make `folder`, with the files that `filled` writes into the path it gets. A folder that is there stays as it is.

    1. fill a folder beside it, 2. hash and fsync each file, 3. write the manifest, 4. rename, 5. fsync the parent.
    """
    if folder.exists():
        return
    part = folder.with_name(folder.name + PART)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    filled(part)  # 1
    files = {path.name: _hashed(path, durable=True) for path in sorted(part.iterdir())}  # 2
    manifest = Manifest(files=files, job_id=job_id, base_model=base_model, step=step)
    path = part / MANIFEST
    path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))  # 3
    _hashed(path, durable=True)
    sync_folder(part)
    os.rename(part, folder)  # 4
    sync_folder(folder.parent)  # 5


def verify(folder: Path) -> Manifest:
    """The manifest of a folder that holds exactly what was published. Raises BrokenAdapterError, naming the file."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        found = {path.name for path in folder.iterdir()} - {MANIFEST}
    except FileNotFoundError as exc:
        raise BrokenAdapterError(f"{folder.name} has no manifest") from exc
    except (OSError, msgspec.MsgspecError) as exc:
        raise BrokenAdapterError(f"the manifest of {folder.name} cannot be read") from exc
    for name in sorted(found ^ manifest.files.keys()):
        raise BrokenAdapterError(f"{folder.name}/{name} is {'not in the manifest' if name in found else 'missing'}")
    for name, file in manifest.files.items():
        try:
            intact = _hashed(folder / name) == file
        except OSError as exc:
            raise BrokenAdapterError(f"{folder.name}/{name} cannot be read") from exc
        if not intact:
            raise BrokenAdapterError(f"{folder.name}/{name} is not the file that was published")
    return manifest


def _hashed(path: Path, durable: bool = False) -> File:
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
        if durable:
            os.fsync(file.fileno())
    return File(digest.hexdigest(), size)
