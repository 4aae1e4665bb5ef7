"""Uploaded files: whole on the disk before they have an id, gone before a delete is answered.

    HOME/files/ID          the bytes
    HOME/files/.ID.part    an upload on its way, or one that was broken off

1 write the bytes beside, bounded, and hash them → 2 sync → 3 rename → 4 sync the folder → 5 the row → 6 the answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from trainer_trigger.trainer.job import now_ms, sync_folder, write_whole
from trainer_trigger.trainer.multipart import Begin, Data, Multipart
from trainer_trigger.trainer.refused import Refused
from trainer_trigger.trainer.sql import FINE_TUNE, RESULTS, Page, Store
from trainer_trigger.trainer.tables import FileRow

MAX_FILE_BYTES: Final = 512 * 1024 * 1024
MAX_FIELD_BYTES: Final = 4_096
MAX_NAME_CHARS: Final = 255
IDLE_S: Final = 60.0
"""How long a sender may be silent in the middle of an upload."""

OVERHEAD_BYTES: Final = 65_536
"""What multipart may add to a file: the other fields and the parts' headers."""

WRITE_BYTES: Final = 1024 * 1024


class Files:
    """The files of a home. Any number of threads may use it."""

    def __init__(self, home: Path, store: Store, max_bytes: int = MAX_FILE_BYTES) -> None:
        self._folder = home / "files"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._store = store
        self._max_bytes = max_bytes

    def path(self, file_id: str) -> Path:
        """Where the bytes of a file are that is in the store."""
        return self._folder / file_id

    def sweep(self) -> None:
        """Remove what a crash left behind: bytes without a row. For the start, before anybody uploads."""
        known = self._store.all_files()
        for path in self._folder.iterdir():
            if path.name not in known:
                path.unlink()

    async def upload(self, chunks: AsyncIterator[bytes], boundary: bytes, announced_bytes: int | None) -> FileRow:
        """Take a multipart body with the fields `purpose` and `file`. Raises `Refused` and keeps nothing then."""
        upload = _Upload(self._folder, self._max_bytes)
        body = Multipart(boundary)
        try:
            if announced_bytes is not None and announced_bytes > self._max_bytes + OVERHEAD_BYTES:
                raise upload.too_large()
            while (chunk := await _next(chunks)) is not None:
                for told in body.feed(chunk):
                    await asyncio.to_thread(upload.take, told) if upload.is_full(told) else upload.take(told)
            body.finish()
            upload.check()
            file = await asyncio.to_thread(upload.publish, new_file_id())
            # Should this fail, the row may be there all the same: the bytes stay until the next start, which knows.
            await asyncio.to_thread(self._store.add_file, file)
            return file
        finally:
            upload.close()

    def add_result(self, filename: str, content: bytes) -> FileRow:
        """Write a result's bytes; the row is the caller's to add. Bytes without a row go at the next start."""
        file_id = new_file_id()
        write_whole(self.path(file_id), content)
        return FileRow(
            id=file_id,
            filename=filename,
            purpose=RESULTS,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            created_ms=now_ms(),
        )

    def find(self, file_id: str) -> FileRow:
        """Raises `Refused` (404)."""
        file = self._store.file(file_id)
        if file is None:
            raise _unknown(file_id)
        return file

    def open(self, file_id: str) -> BinaryIO:
        """The bytes. Raises `Refused` (404)."""
        self.find(file_id)
        try:
            return self.path(file_id).open("rb")
        except FileNotFoundError as exc:  # deleted in between
            raise _unknown(file_id) from exc

    def listed(self, page: Page, purpose: str | None) -> tuple[list[FileRow], bool]:
        """A page of the files, and whether there are more."""
        return self._store.files(page, purpose)

    def delete(self, file_id: str) -> None:
        """Delete for good: first the row, after which no job can be created with it. Raises `Refused` (404)."""
        if not self._store.delete_file(file_id):
            raise _unknown(file_id)
        self.path(file_id).unlink(missing_ok=True)


class _Upload:
    """One upload on its way to the disk."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._part = folder / f".{secrets.token_hex(12)}.part"
        self._max_bytes = max_bytes
        self._out: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._filename: str | None = None
        self._fields: dict[str, bytes] = {}
        self._at = ""

    def is_full(self, told: Begin | Data) -> bool:
        """Whether taking this writes to the disk."""
        return isinstance(told, Data) and self._waiting_bytes + len(told.content) >= WRITE_BYTES

    def take(self, told: Begin | Data) -> None:
        """Raises `Refused`: 413 past the limit, 400 for fields that may not be."""
        match told:
            case Begin(name, filename):
                self._begin(name, filename)
            case Data(content) if self._at == "file":
                self._bytes += len(content)
                if self._bytes > self._max_bytes:
                    raise self.too_large()
                self._waiting.append(content)
                self._waiting_bytes += len(content)
                if self._waiting_bytes >= WRITE_BYTES:
                    self._write()
            case Data(content):
                self._fields[self._at] += content
                if len(self._fields[self._at]) > MAX_FIELD_BYTES:
                    raise Refused(400, f"'{self._at}' is too long.", param=self._at)

    def _begin(self, name: str, filename: str | None) -> None:
        if name.startswith("expires_after"):
            raise Refused(
                400, "Files do not expire here: delete them.", param="expires_after", code="unsupported_parameter"
            )
        if name not in {"file", "purpose"}:
            raise Refused(400, f"Unknown parameter: '{name[:64]}'.", param=name[:64], code="unknown_parameter")
        if name in self._fields or (name == "file" and self._filename is not None):
            raise Refused(400, f"'{name}' was sent twice.", param=name)
        self._at = name
        if name == "file":
            self._filename = shown_name(filename or "")
        else:
            self._fields[name] = b""

    def _write(self) -> None:
        if self._out is None:
            self._out = self._part.open("xb")
        content = b"".join(self._waiting)
        self._digest.update(content)
        self._out.write(content)
        self._waiting, self._waiting_bytes = [], 0

    def check(self) -> None:
        """Raises `Refused` (400) unless all is there that must be."""
        purpose = self._fields.get("purpose", b"").decode("utf-8", "replace")
        if not purpose:
            raise Refused(
                400, "Missing required parameter: 'purpose'.", param="purpose", code="missing_required_parameter"
            )
        if purpose != FINE_TUNE:
            problem = f"'{purpose[:64]}' is not one of ['{FINE_TUNE}']: this service fine-tunes, and nothing else."
            raise Refused(400, problem, param="purpose", code="invalid_value")
        if self._filename is None:
            raise Refused(400, "Missing required parameter: 'file'.", param="file", code="missing_required_parameter")
        if self._bytes == 0:
            raise Refused(400, "The file is empty.", param="file", code="empty_file")

    def publish(self, file_id: str) -> FileRow:
        """Make the file whole and durable."""
        self._write()  # 1
        assert self._out is not None
        self._out.flush()
        os.fsync(self._out.fileno())  # 2
        self._part.rename(self._folder / file_id)  # 3
        sync_folder(self._folder)  # 4
        assert self._filename is not None
        return FileRow(
            id=file_id,
            filename=self._filename,
            purpose=FINE_TUNE,
            size_bytes=self._bytes,
            sha256=self._digest.hexdigest(),
            created_ms=now_ms(),
        )

    def too_large(self) -> Refused:
        """The answer past the limit."""
        problem = f"The file has more than {self._max_bytes} bytes."
        return Refused(413, problem, param="file", code="file_too_large")

    def close(self) -> None:
        """Leave nothing behind but what was published."""
        if self._out is not None:
            self._out.close()
            with suppress(FileNotFoundError):
                self._part.unlink()


def new_file_id() -> str:
    """An id that no file ever had."""
    return f"file-{secrets.token_hex(12)}"


def shown_name(filename: str) -> str:
    """A file's name as it is shown: the last part of a path, without control characters. It is never a path here."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    return "".join(each for each in last if each.isprintable())[:MAX_NAME_CHARS] or "file"


def shown(file: FileRow) -> dict[str, Any]:
    """The file object of the API, with our `sha256`."""
    return {
        "object": "file",
        "id": file.id,
        "purpose": file.purpose,
        "filename": file.filename,
        "bytes": file.size_bytes,
        "created_at": file.created_ms // 1000,
        "expires_at": None,
        "status": "processed",
        "status_details": None,
        "sha256": file.sha256,
    }


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    try:
        async with asyncio.timeout(IDLE_S):
            return await anext(chunks, None)
    except TimeoutError as exc:
        raise Refused(408, f"Nothing arrived for {IDLE_S:.0f} s.", code="timeout") from exc


def _unknown(file_id: str) -> Refused:
    return Refused(404, f"No such File object: {file_id}", param="id", code="file_not_found")
