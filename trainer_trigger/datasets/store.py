"""Where training sets lie: a folder or an S3 prefix, as names of objects with bytes.

An object appears whole or not at all. `create` is the only way that decides between two writers.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from trainer_trigger.datasets.errors import DatasetUnavailable


class Store(Protocol):
    """Names have `/` between their parts. Each call raises DatasetUnavailable where the storage does not answer."""

    def names(self, prefix: str = "") -> list[str]:
        """All that begin with `prefix`, sorted."""

    def open(self, name: str) -> BinaryIO:
        """To be read and sought in; closed by whoever asked. Raises FileNotFoundError."""

    def put(self, name: str, file: Path) -> None:
        """The bytes of a local file under this name, whatever was there."""

    def create(self, name: str, data: bytes) -> bool:
        """Durable under this name; False where something is there already, which stays. May be called again."""

    def replace(self, name: str, data: bytes) -> None:
        """Durable under this name, whatever was there."""

    def delete(self, name: str) -> None:
        """Nothing is there afterwards; there may have been nothing."""

    def place(self, name: str) -> str:
        """Path or `s3://` address, as `opened` takes it."""


def at(root: str) -> Store:
    """The store in a folder, or under `s3://bucket/path`."""
    if root.startswith("s3://"):
        from trainer_trigger.datasets.s3 import S3Store

        return S3Store(root)
    return FolderStore(Path(root))


def opened(place: str) -> BinaryIO:
    """A file or S3 object, to be read and sought in. Raises OSError, also where the storage does not answer."""
    if not place.startswith("s3://"):
        return open(place, "rb")
    root, _, name = place.rpartition("/")
    try:
        return at(root).open(name)
    except DatasetUnavailable as exc:
        raise OSError(str(exc)) from exc


def read(store: Store, name: str) -> bytes | None:
    """All bytes of an object, None where there is none."""
    try:
        with store.open(name) as file:
            return file.read()
    except FileNotFoundError:
        return None


class FolderStore:
    """See `Store`. Files appear by rename or link; names that begin with a dot are being written."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    def names(self, prefix: str = "") -> list[str]:
        with _available():
            found = (path for path in self._root.rglob("*") if path.is_file() and not path.name.startswith("."))
            names = (path.relative_to(self._root).as_posix() for path in found)
            return sorted(name for name in names if name.startswith(prefix))

    def open(self, name: str) -> BinaryIO:
        with _available():
            return (self._root / name).open("rb")

    def put(self, name: str, file: Path) -> None:
        with _available(), file.open("rb") as source, self._written(name) as (out, path, fresh):
            while chunk := source.read(1 << 20):
                out.write(chunk)
            _settle(out)
            fresh.replace(path)

    def create(self, name: str, data: bytes) -> bool:
        with _available(), self._written(name) as (out, path, fresh):
            out.write(data)
            _settle(out)
            try:
                path.hardlink_to(fresh)  # unlike a rename, a link replaces nothing
            except FileExistsError:
                return False
            return True

    def replace(self, name: str, data: bytes) -> None:
        with _available(), self._written(name) as (out, path, fresh):
            out.write(data)
            _settle(out)
            fresh.replace(path)

    def delete(self, name: str) -> None:
        with _available():
            path = self._root / name
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                _sync(path.parent)

    def place(self, name: str) -> str:
        return str(self._root / name)

    @contextmanager
    def _written(self, name: str) -> Iterator[tuple[BinaryIO, Path, Path]]:
        """A file to write, its name to be, and its name until then."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            with fresh.open("xb") as out:
                yield out, path, fresh
            _sync(path.parent)
        finally:
            fresh.unlink(missing_ok=True)


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise DatasetUnavailable(f"the datasets' folder: {exc}") from exc
