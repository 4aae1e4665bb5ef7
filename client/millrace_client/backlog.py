"""Everything that waits for the collector: the spool on disk first, and memory for what the disk does not
take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from millrace_client.complaints import Complaints
from millrace_client.disk import Adopted, DiskSpool
from millrace_client.events import Record
from millrace_client.spool import Appended, Batch, MemorySpool, Waiting

MEMORY_BYTES: Final = 16 * 1024 * 1024
"""What an app can spare without noticing; without a spool, some ten thousand events."""


class Backlog:
    """A spool in memory with a durable one before it, if there is one.

    A disk that fails (full, read-only, gone) costs durability, not events: they wait in memory until the
    collector has them or the client is closed.
    """

    def __init__(
        self, disk: DiskSpool | None, complaints: Complaints, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self._disk = disk
        self._memory = MemorySpool(memory_bytes)
        self._complaints = complaints

    @property
    def durable(self) -> bool:
        """Whether everything that waits would survive the process."""
        return self._disk is not None and self._memory.waiting().events == 0

    def adopt(self) -> Adopted:
        """Take over what ended processes left on disk."""
        return Adopted() if self._disk is None else self._disk.adopt()

    def append(self, records: Sequence[Record]) -> Appended:
        """Keep the records, on disk if it takes them; none ever fails."""
        kept = refused = 0
        if self._disk is not None:
            on_disk = self._disk.append(records)
            kept, refused, records = on_disk.kept, on_disk.refused, on_disk.failed
            if records:
                self._complaints.say("disk", "the spool cannot be written; events wait in memory meanwhile")
            elif kept:
                self._complaints.over("disk", "the spool can be written again")
        in_memory = self._memory.append(records)
        kept, refused = kept + in_memory.kept, refused + in_memory.refused
        if refused:
            self._complaints.say(
                "full", "no room for more events until the collector is back; new ones are lost"
            )
        elif kept:
            self._complaints.over("full", "there is room for events again")
        return Appended(kept, refused)

    def read(self, max_events: int, max_bytes: int) -> Batch | None:
        """The oldest payloads of the disk, or if it has none, of the memory."""
        batch = None if self._disk is None else self._disk.read(max_events, max_bytes)
        return batch or self._memory.read(max_events, max_bytes)

    def settle(self, batch: Batch, again: Sequence[bytes]) -> bool:
        """As in `Spool`."""
        if batch.segment is None:
            return self._memory.settle(batch, again)
        return self._disk is not None and self._disk.settle(batch, again)

    def waiting(self) -> Waiting:
        """How much waits in both."""
        memory = self._memory.waiting()
        disk = Waiting(0, 0) if self._disk is None else self._disk.waiting()
        return Waiting(disk.events + memory.events, disk.bytes + memory.bytes)

    def close(self, timeout_s: float) -> int:
        """Let go of the spool; the number of events that were in memory only and end here."""
        stranded = self._memory.close()
        saved = 0 if self._disk is None else self._disk.close(timeout_s, stranded)
        return len(stranded) - saved
