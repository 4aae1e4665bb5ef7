"""What a table has seen before: by position, exactly and in constant memory; by key, within a bounded window. No I/O.

Producers are gapless and start at or below what was acknowledged, so within a partition read the positions of one
entry partition only grow, and whatever is at or below the highest seen is a replay. That holds of everything read,
also of what went to another table: the first outcome of a position wins, whichever table it belongs to. So each table
follows the whole partition for itself, and two tables that have read equally far have seen the same.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Mapping

from streams.lake.ports import Lane, ReadPartition, entry_id, lanes, read_id

Key = tuple[str | int | None, ...]


class Progress:
    """How far one table has come in one partition read.

    `committed` is the table's watermark of the topic read, None for none yet; `next` is the offset after the last
    record seen.
    """

    def __init__(self, partition: ReadPartition, watermarks: Mapping[str, int], start: int) -> None:
        """`watermarks` are all that the table keeps; `start` is the offset to go on from."""
        self.partition = partition
        self.committed: int | None = watermarks.get(read_id(partition))
        self.next = start
        self._start = start
        self._highest = lanes(partition, watermarks)
        self._raised: set[Lane] = set()

    def is_new(self, offset: int, lane: Lane, entry_offset: int) -> bool:
        """Whether the record at an offset, at or after `next`, brings a position above all seen in its lane."""
        self.next = offset + 1
        if entry_offset <= self._highest.get(lane, -1):
            return False
        self._highest[lane] = entry_offset
        self._raised.add(lane)
        return True

    @property
    def ahead(self) -> int:
        """Records seen beyond the table's watermark."""
        return self.next - self.committed_or_start

    @property
    def committed_or_start(self) -> int:
        """The offset up to which the table surely has everything that Kafka has."""
        return self._start if self.committed is None else self.committed

    def watermarks(self) -> dict[str, int]:
        """What a commit of everything seen so far has to set."""
        raised = {entry_id(self.partition, lane): self._highest[lane] for lane in self._raised}
        return {read_id(self.partition): self.next, **raised}

    def landed(self, watermarks: Mapping[str, int]) -> None:
        """A commit that set these is in the table. What was seen since it was made stays to be committed."""
        self.committed = watermarks[read_id(self.partition)]
        self._raised = {
            lane for lane in self._raised if watermarks.get(entry_id(self.partition, lane)) != self._highest[lane]
        }


class KeyWindow:
    """The newest keys of a table, at most `limit`, as 128-bit hashes: about 150 bytes each."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._order: deque[bytes] = deque()
        self._held: set[bytes] = set()

    def __contains__(self, key: bytes) -> bool:
        return key in self._held

    def __len__(self) -> int:
        return len(self._held)

    def add(self, keys: Iterable[bytes]) -> None:
        """Take in keys, newest last; the oldest fall out."""
        for key in keys:
            if key not in self._held:
                self._held.add(key)
                self._order.append(key)
        while len(self._order) > self._limit:
            self._held.discard(self._order.popleft())


def key_hash(key: Key) -> bytes:
    """A row's unique key as 16 bytes, the same for the record and for the row that is read back."""
    return hashlib.blake2b("\x1f".join(map(str, key)).encode(), digest_size=16).digest()
