"""One file of the spool: records framed so that a crash at any byte loses none that was whole.

    millrace-spool 1 00000000000000000047 1c291ca3       how far the collector has taken it, with a CRC
    00000091 5f3a9c1e {"event_id":"0197…",…}             length and CRC-32 of the JSON, then the JSON
    …

Records are only appended; the offset in the first line is the one thing written in place. Whoever holds the
file's flock owns it; the kernel lets go of it when the process ends, however that happens.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows: no flock, hence no spool; the client keeps its backlog in memory
    fcntl = None  # type: ignore[assignment]

SUFFIX: Final = ".spool"

_HEADER: Final = b"millrace-spool 1 "
HEADER_BYTES: Final = len(_HEADER) + 20 + 1 + 8 + 1
_HEADER_LINE: Final = re.compile(re.escape(_HEADER) + rb"([0-9]{20}) ([0-9a-f]{8})\n")
_PREFIX_BYTES: Final = 18

_descriptors: set[int] = set()
_descriptors_lock = threading.Lock()


def frame(payload: bytes) -> bytes:
    """The line that holds `payload`, which must have no line feed in it."""
    return b"%08x %08x %b\n" % (len(payload), zlib.crc32(payload), payload)


def unframe(line: bytes) -> bytes | None:
    """The payload of a line without its line feed; None if the line is torn or damaged."""
    payload = line[_PREFIX_BYTES:]
    return payload if frame(payload)[:-1] == line else None


class Segment:
    """An owned file of records: those from `acked` to `end` (byte offsets) still wait."""

    def __init__(self, path: Path, descriptor: int, acked: int, end: int) -> None:
        self.path = path
        self.acked = acked
        self.end = end
        self.records = 0
        """Whole records between `acked` and `end`."""
        self._fd = descriptor

    @classmethod
    def create(cls, path: Path) -> Segment | None:
        """A new file, its name made durable; None if an adopter was faster in locking it than we were."""
        descriptor = _open(path, os.O_CREAT | os.O_EXCL)
        if descriptor is None:
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        segment = cls(path, descriptor, HEADER_BYTES, HEADER_BYTES)
        try:
            _write(descriptor, _header(HEADER_BYTES), 0)
            _sync_folder(path.parent)
        except OSError:
            segment.remove()
            raise
        return segment

    @classmethod
    def adopt(cls, path: Path) -> tuple[Segment, int] | None:
        """Take over a file whose owner has ended, with the number of torn or damaged lines in it.

        None if it has a living owner, is gone or cannot be read. Nothing is ever appended to an adopted file,
        so a torn tail stays its end.
        """
        try:
            descriptor = _open(path, 0)
        except OSError:
            return None
        if descriptor is None:
            return None
        torn = 0
        try:
            size = os.fstat(descriptor).st_size
            segment = cls(path, descriptor, min(_acked(os.pread(descriptor, HEADER_BYTES, 0)), size), size)
            for payload, _ in segment._lines():
                segment.records += payload is not None
                torn += payload is None
        except OSError:
            _close(descriptor)
            return None
        return segment, torn

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the collector has not taken yet."""
        return self.end - self.acked

    def append(self, frames: bytes, records: int) -> None:
        """Write framed records at the end and have the disk confirm them.

        After an `OSError` none of them counts, and the segment must not be appended to again: what the disk
        holds of them is unknown.
        """
        try:
            _write(self._fd, frames, self.end)
            os.fsync(self._fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.end)
            raise
        self.end += len(frames)
        self.records += records

    def read(self, max_events: int, max_bytes: int) -> tuple[tuple[bytes, ...], int]:
        """The oldest waiting payloads, one at least however long it is, and the offset behind the last."""
        batch: list[bytes] = []
        size, end = 0, self.acked
        for payload, behind in self._lines():
            if payload is not None:
                size += len(payload) + 1
                if batch and (len(batch) == max_events or size > max_bytes):
                    break
                batch.append(payload)
            end = behind
        return tuple(batch), end

    def ack(self, end: int, records: int) -> None:
        """The collector has taken `records` records, up to the offset `end`.

        Not confirmed by the disk: if the note is lost, they are sent once more and dropped by their ids.
        """
        self.acked = end
        self.records -= records
        with contextlib.suppress(OSError):
            _write(self._fd, _header(end), 0)

    def reset(self) -> None:
        """Make a file that the collector has taken whole empty again, so that its bytes are free at once.

        1 the offset, 2 the length: a crash between them sends records twice; the other way round, an old
        offset could lie beyond new records.
        """
        with contextlib.suppress(OSError):
            _write(self._fd, _header(HEADER_BYTES), 0)  # 1
            os.ftruncate(self._fd, HEADER_BYTES)  # 2
            self.acked = self.end = HEADER_BYTES

    def remove(self) -> None:
        """Delete the file, and only then let go of it."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        self.release()

    def release(self) -> None:
        """Let go of the file: the next process that looks adopts it."""
        _close(self._fd)

    def _lines(self) -> Iterator[tuple[bytes | None, int]]:
        """Each waiting line's payload (None: torn or damaged) and the offset behind it."""
        waiting = os.pread(self._fd, self.end - self.acked, self.acked)
        start = 0
        while start < len(waiting):
            feed = waiting.find(b"\n", start)
            stop = len(waiting) if feed < 0 else feed
            yield (
                (None if feed < 0 else unframe(waiting[start:stop])),
                self.acked + min(stop + 1, len(waiting)),
            )
            start = stop + 1


def _header(acked: int) -> bytes:
    digits = b"%020d" % acked
    return _HEADER + digits + b" %08x\n" % zlib.crc32(digits)


def _acked(first_line: bytes) -> int:
    """The offset in a first line; the first record's if the line is damaged."""
    found = _HEADER_LINE.fullmatch(first_line)
    if found is None or b"%08x" % zlib.crc32(found[1]) != found[2]:
        return HEADER_BYTES
    return max(int(found[1]), HEADER_BYTES)


def _open(path: Path, flags: int) -> int | None:
    """Open and lock a file of our own user, not through a link; None if another holds it or it is gone.

    Raises `OSError` if the file cannot be opened.
    """
    if fcntl is None:
        raise OSError("no file locks on this system")
    with _descriptors_lock:
        descriptor = os.open(path, flags | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        _descriptors.add(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours = os.fstat(descriptor)
        named = os.stat(path, follow_symlinks=False)
    except OSError:  # locked by its owner, or deleted since
        _close(descriptor)
        return None
    if ours.st_ino != named.st_ino or not stat.S_ISREG(ours.st_mode) or ours.st_uid != os.geteuid():
        _close(descriptor)
        return None
    return descriptor


def _close(descriptor: int) -> None:
    with _descriptors_lock:
        if descriptor in _descriptors:
            _descriptors.discard(descriptor)
            os.close(descriptor)


def _write(descriptor: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _forget_parent() -> None:
    """In a forked child: close the parent's files. A flock lasts while any copy of its descriptor is open, so
    a child that outlives its parent would keep the parent's segments from being adopted."""
    for descriptor in _descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _descriptors.clear()
    _descriptors_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_descriptors_lock.acquire,
        after_in_parent=_descriptors_lock.release,
        after_in_child=_forget_parent,
    )
