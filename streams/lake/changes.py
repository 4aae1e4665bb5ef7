"""What was committed to a Delta table after a version, read from its log: files, and the version that brought them.

A commit adds files and removes others. A removed file that was not read yet is followed into the files that replace
it, for a purge takes it from storage too. A replacement of files that were read brings nothing new where rows were
only moved (`dataChange` false); where rows were deleted, which ones cannot be told from the log. Format:
https://github.com/delta-io/delta/blob/master/PROTOCOL.md, "Add File and Remove File" and "Commit Provenance
Information".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import unquote

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs as pafs

from schemas.tables import Table
from streams.errors import LakeUnavailable
from streams.lake.delta_log import LOG

READERS: Final = 8
"""Commits that are fetched at once: on S3 each takes a round trip."""

COMMITS: Final = 512
"""Commits held at once."""

OPEN_FILES: Final = 64
"""Files that one scan goes through."""

_ONLY_DELETES: Final = "DELETE"
_COMMIT: Final = re.compile(r"(\d{20})\.(json|checkpoint\b.*\.?parquet)$")


class AddedFile(NamedTuple):
    """A file below the table's root, and the lowest version that brought a row in it."""

    version: int
    path: str


class Added(NamedTuple):
    """The files with rows that are new, by version. `deleted`: the last commit that took rows from others, or 0."""

    files: list[AddedFile]
    deleted: int


class _CommitInfo(msgspec.Struct):
    operation: str = ""


class _File(msgspec.Struct, rename="camel"):
    path: str
    data_change: bool = True
    deletion_vector: msgspec.Raw | None = None


class _Action(msgspec.Struct, rename="camel"):
    commit_info: _CommitInfo | None = None
    add: _File | None = None
    remove: _File | None = None


_ACTION: Final = msgspec.json.Decoder(_Action)


class FileChanges:
    """See `ports.Changes`."""

    def __init__(self, table: Table, files: pafs.FileSystem, added: Sequence[AddedFile], why: str) -> None:
        self._table = table
        self._files = files
        self._added = added
        self.why = why

    def __len__(self) -> int:
        """How many files."""
        return len(self._added)

    @property
    def complete(self) -> bool:
        """See `ports.Changes`."""
        return not self.why

    def batches(self, columns: Sequence[str], batch_rows: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """See `ports.Changes`."""
        schema = pa.schema([self._table.schema.field(name) for name in columns])
        try:
            for start in range(0, len(self._added), OPEN_FILES):
                versions = {path: version for version, path in self._added[start : start + OPEN_FILES]}
                found = ds.dataset(list(versions), schema=schema, format="parquet", filesystem=self._files)
                scanner = found.scanner(
                    batch_size=batch_rows, batch_readahead=1, fragment_readahead=2, use_threads=False
                )
                for tagged in scanner.scan_batches():
                    yield versions[tagged.fragment.path], tagged.record_batch
        except OSError as exc:
            raise LakeUnavailable(f"{self._table.name}: {type(exc).__name__}") from exc


def read(files: pafs.FileSystem, after: int, until: int) -> Added | None:
    """What the commits after a version and up to another brought; None where the log of one is gone. Raises OSError."""
    unread: dict[str, int] = {}
    deleted = 0
    wanted = iter(range(after + 1, until + 1))
    with ThreadPoolExecutor(READERS) as readers:
        while versions := list(islice(wanted, COMMITS)):
            for version, actions in zip(
                versions, readers.map(lambda each: _actions(files, each), versions), strict=True
            ):
                if actions is None:
                    return None
                deleted = _follow(unread, version, actions) or deleted
    return Added(sorted(AddedFile(version, path) for path, version in unread.items()), deleted)


def what_is_left(files: pafs.FileSystem, present: Sequence[str], until: int) -> list[AddedFile]:
    """The files of a version, where the log is not whole. Raises OSError."""
    first = min(_versions(files, "json"))
    added = read(files, first - 1, until)
    known = {} if added is None else {path: version for version, path in added.files}
    return sorted(AddedFile(known.get(path, max(0, first - 1)), path) for path in present)


def first_readable(files: pafs.FileSystem) -> int:
    """The lowest version that the log still tells of. Raises OSError."""
    commits, checkpoints = _versions(files, "json"), _versions(files, "checkpoint")
    return 0 if 0 in commits else min(checkpoints, default=0)


def _versions(files: pafs.FileSystem, kind: str) -> set[int]:
    found = (_COMMIT.search(info.path) for info in files.get_file_info(pafs.FileSelector(LOG)))
    return {int(match[1]) for match in found if match is not None and match[2].startswith(kind)}


def _follow(unread: dict[str, int], version: int, actions: Sequence[_Action]) -> int:
    """Take a commit into `unread`; answers its version if it deleted rows that were read before, else 0."""
    removed = [action.remove for action in actions if action.remove is not None]
    added = [action.add for action in actions if action.add is not None]
    moved = [unread.pop(path) for path in (unquote(file.path) for file in removed) if path in unread]
    operation = "".join(action.commit_info.operation for action in actions if action.commit_info is not None)
    only_old = bool(removed) and (operation == _ONLY_DELETES or not any(file.data_change for file in added))
    for file in added:
        if file.deletion_vector is not None:
            raise LakeUnavailable("the table has deletion vectors, which are not read")
        if not only_old or moved:
            unread[unquote(file.path)] = min([version, *moved])
    known = len(removed) > len(moved)
    return version if known and any(file.data_change for file in removed) else 0


def _actions(files: pafs.FileSystem, version: int) -> list[_Action] | None:
    try:
        with files.open_input_stream(f"{LOG}/{version:020d}.json") as file:
            lines = bytes(file.read()).splitlines()
    except FileNotFoundError:
        return None
    return [_ACTION.decode(line) for line in lines if line]
