"""The spool in a folder, shared by all processes of an app, that outlives each of them."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from millrace_client.events import Record
from millrace_client.segments import SUFFIX, Segment, frame
from millrace_client.spool import Appended, Batch, Waiting, has_room

MAX_SEGMENT_BYTES: Final = 4 * 1024 * 1024
"""A full segment is read whole; and its bytes come free only when the collector has taken all of it."""

MIN_SEGMENT_BYTES: Final = 4 * 1024
"""Smaller ones would be first lines mostly."""

_SEGMENTS: Final = 16
"""A small spool is cut into so many segments, so that its room comes free in parts."""

_NAME_TRIES: Final = 3
"""A new file may be locked by an adopter before we lock it; three times in a row means that locks do not
work."""


@dataclass(frozen=True)
class Adopted:
    """What ended processes left: whole records, and lines that a crash or damage cut."""

    records: int = 0
    torn: int = 0


class DiskSpool:
    """Segments named by their time of birth, each owned by one process (`segments` has their form).

    A process writes only to segments that it made. It sends its own and, after `adopt`, those of ended
    processes, oldest first. `max_bytes` bounds the folder, for all processes together; each looks before it
    writes, so that several writing in the same instant may exceed it by what they write then.
    """

    def __init__(self, folder: Path, max_bytes: int, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = max(MIN_SEGMENT_BYTES, min(MAX_SEGMENT_BYTES, max_bytes // _SEGMENTS))
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._segments: list[Segment] = []
        self._active: Segment | None = None
        self._closed = False

    def adopt(self) -> Adopted:
        """Take over what ended processes left in the folder; nothing if there is no such folder."""
        records = torn = 0
        with self._lock:
            if self._closed:
                return Adopted()
            owned = {segment.path for segment in self._segments}
            for path in self._paths():
                found = None if path in owned else Segment.adopt(path)
                if found is None:
                    continue
                segment, damaged = found
                torn += damaged
                records += segment.records
                self._segments.append(segment)
                self._drop_if_drained(segment)
            self._segments.sort(key=lambda segment: segment.path.name)
        return Adopted(records, torn)

    def append(self, records: Sequence[Record]) -> Appended:
        """As in `Spool`: the disk has confirmed what is kept."""
        lines: list[tuple[Record, bytes]] = []
        with self._lock:
            if self._closed:
                return Appended(failed=tuple(records))
            used = self._used_bytes()
            for record in records:
                line = frame(record.payload)
                if has_room(used, len(line), self._max_bytes, record.vital):
                    used += len(line)
                    lines.append((record, line))
            written = self._write([line for _, line in lines])
        failed = tuple(record for record, _ in lines[written:])
        return Appended(written, len(records) - len(lines), failed)

    def read(self, max_events: int, max_bytes: int) -> Batch | None:
        """As in `Spool`, from the oldest segment only."""
        with self._lock:
            for segment in self._segments:
                if segment.records:
                    events, end = segment.read(max_events, max_bytes)
                    return Batch(events, end, segment)
        return None

    def settle(self, batch: Batch, again: Sequence[bytes]) -> bool:
        """As in `Spool`. 1 what goes to the back of the line, 2 the rest is forgotten: a crash between the
        two sends some twice. The room is not asked for: what is written is freed with the batch."""
        segment = batch.segment
        with self._lock:
            if self._closed or segment is None:
                return False
            if self._write([frame(payload) for payload in again]) < len(again):  # 1
                return False
            segment.ack(batch.end, len(batch.events))  # 2
            self._drop_if_drained(segment)
        return True

    def waiting(self) -> Waiting:
        """As in `Spool`."""
        with self._lock:
            return Waiting(
                sum(segment.records for segment in self._segments),
                sum(segment.waiting_bytes for segment in self._segments),
            )

    def has_leftovers(self) -> bool:
        """Whether the folder holds any segment, of whomever."""
        return bool(self._paths())

    def close(self, timeout_s: float, last: Sequence[bytes] = ()) -> int:
        """Write the `last` payloads and let go of all segments, so that the next process may adopt them;
        those that are done are deleted. The number of `last` that the disk has confirmed.

        If another thread is stuck in a write for longer than the timeout, the end of the process lets go of
        them.
        """
        if not self._lock.acquire(timeout=max(0.0, timeout_s)):
            return 0
        try:
            written = 0 if self._closed else self._write([frame(payload) for payload in last])
            self._closed = True
            for segment in self._segments:
                if segment.records:
                    segment.release()
                else:
                    segment.remove()
            self._segments.clear()
            self._active = None
            return written
        finally:
            self._lock.release()

    def _write(self, lines: Sequence[bytes]) -> int:
        """Append lines, a segment's worth at a time; the number of those that the disk has confirmed."""
        written = 0
        while written < len(lines):
            try:
                segment = self._writable()
                stop, size = written, segment.end
                while stop < len(lines) and (
                    stop == written or size + len(lines[stop]) <= self._segment_bytes
                ):
                    size += len(lines[stop])
                    stop += 1
                segment.append(b"".join(lines[written:stop]), stop - written)
            except (OSError, ValueError):  # ValueError: a path that no file can have
                self._active = None
                break
            written = stop
        return written

    def _writable(self) -> Segment:
        if self._active is not None and self._active.end < self._segment_bytes:
            return self._active
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(_NAME_TRIES):
            name = f"{self._now_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
            segment = Segment.create(self._folder / name)
            if segment is not None:
                self._segments.append(segment)
                self._active = segment
                return segment
        raise OSError("files cannot be locked")

    def _drop_if_drained(self, segment: Segment) -> None:
        if segment.records:
            return
        if segment is self._active:
            segment.reset()
        else:
            self._segments.remove(segment)
            segment.remove()

    def _paths(self) -> list[Path]:
        try:
            return sorted(self._folder.glob(f"*{SUFFIX}"))
        except OSError:
            return []

    def _used_bytes(self) -> int:
        used = 0
        for path in self._paths():
            try:
                used += path.stat().st_size
            except OSError:  # its owner has just deleted it
                continue
        return used
