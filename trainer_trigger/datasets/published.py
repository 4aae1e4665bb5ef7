"""Training sets in the store: published once, found, verified.

{target}/{first 16 digits of the hash}/manifest.json and the files that it names
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from schemas.datasets import FILES, MANIFEST, SNAPSHOT, Manifest
from trainer_trigger.datasets import memory
from trainer_trigger.datasets.errors import DamagedError, ErasedError
from trainer_trigger.datasets.store import Store, read
from trainer_trigger.drift.rows import Row
from trainer_trigger.launchers.port import DataFile

HASH_CHARS: Final = 16
_CHUNK_BYTES: Final = 1 << 20


class Built(Struct, frozen=True):
    """A training set and the folder or `s3://` prefix where it lies."""

    manifest: Manifest
    place: str


def folder_of(manifest: Manifest) -> str:
    """Its name in the store."""
    return f"{manifest.target}/{manifest.dataset_hash[:HASH_CHARS]}"


def publish(store: Store, manifest: Manifest, files: Path, held: Iterable[str]) -> Built:
    """Put a training set into the store, or find it there.

    1 what it holds out is remembered → 2 a set that is there is the answer → 3 the files → 4 the manifest, by which it
    exists. Another one who builds the same puts the same bytes.

    Raises ErasedError for a set that was erased, DamagedError where another one has its name, DatasetUnavailable.
    """
    memory.hold(store, manifest.target, held)  # 1
    folder = folder_of(manifest)
    if (there := find(store, manifest.target, manifest.dataset_hash)) is not None:  # 2
        return _answered(store, there, manifest)
    for file in manifest.files:  # 3
        store.put(f"{folder}/{file.name}", files / file.name)
    if store.create(f"{folder}/{MANIFEST}", encoded(manifest)):  # 4
        return Built(manifest, store.place(folder))
    there = find(store, manifest.target, manifest.dataset_hash)
    assert there is not None, "manifests are replaced, never deleted"
    return _answered(store, there, manifest)


def find(store: Store, target: str, dataset_hash: str) -> Manifest | None:
    """The manifest of a training set by its hash, or the first digits of it; also of an erased one."""
    for name in store.names(f"{target}/{dataset_hash[:HASH_CHARS]}"):
        manifest = _manifest(store, name) if name.endswith(f"/{MANIFEST}") else None
        if manifest is not None and manifest.dataset_hash.startswith(dataset_hash):
            return manifest
    return None


def every(store: Store, target: str | None = None) -> Iterator[Manifest]:
    """All manifests, of one target or of all, by name."""
    for name in store.names("" if target is None else f"{target}/"):
        if name.endswith(f"/{MANIFEST}") and (manifest := _manifest(store, name)) is not None:
            yield manifest


def encoded(manifest: Manifest) -> bytes:
    """As it lies in the store: indented JSON with a line end."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def data_file(store: Store, manifest: Manifest, name: str) -> DataFile:
    """A file as launchers take it. Raises KeyError for a name that no set has."""
    file = manifest.file(name)
    return DataFile(
        place=store.place(f"{folder_of(manifest)}/{name}"),
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        examples=file.lines,
    )


def verify(store: Store, manifest: Manifest) -> list[str]:
    """What is not as the manifest says, in words; of an erased set, what is still there."""
    folder = folder_of(manifest)
    if manifest.erased is not None:
        there = {name.removeprefix(f"{folder}/") for name in store.names(f"{folder}/")}
        return [f"{name} is still there, though the set was erased" for name in sorted(there & set(FILES))]
    problems = []
    for file in manifest.files:
        digest, size, lines = hashlib.sha256(), 0, 0
        try:
            with store.open(f"{folder}/{file.name}") as data:
                while chunk := data.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    size, lines = size + len(chunk), lines + chunk.count(b"\n")
        except FileNotFoundError:
            problems.append(f"{file.name} is missing")
            continue
        if (digest.hexdigest(), size, lines) != (file.sha256, file.size_bytes, file.lines):
            problems.append(f"{file.name} has other bytes than the manifest says: {size:,} bytes in {lines:,} lines")
    return problems


def snapshot(store: Store, manifest: Manifest) -> list[Row] | None:
    """The rows that later drift checks compare with; None where they are gone."""
    data = read(store, f"{folder_of(manifest)}/{SNAPSHOT}")
    return None if data is None else [msgspec.json.decode(line, type=Row) for line in data.splitlines()]


def _answered(store: Store, there: Manifest, manifest: Manifest) -> Built:
    folder = folder_of(manifest)
    if there.erased is not None:
        for name in FILES:  # what another one put there while it was being erased
            store.delete(f"{folder}/{name}")
        raise ErasedError(f"training set {there.dataset_hash} was erased: {there.erased.why}")
    if there.dataset_hash != manifest.dataset_hash or there.files != manifest.files:
        raise DamagedError(f"{store.place(folder)} has another training set's manifest")
    return Built(there, store.place(folder))


def _manifest(store: Store, name: str) -> Manifest | None:
    data = read(store, name)
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as exc:
        raise DamagedError(f"{store.place(name)} is no manifest: {exc}") from exc
