"""The candidates' lines on disk, and what is known of each in memory: a few bytes, no texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np

from schemas.datasets import File, Origin, SourceEvent
from streams.exports import FORMATS
from streams.exports.format import NotInFormat, PairFormat
from streams.exports.rows import Exported, Pair, exported
from trainer_trigger.datasets.leakage import Index
from trainer_trigger.datasets.suites import Prompt, prompt_of

BATCH_LINES: Final = 256

_Origins = tuple[Origin, ...]


class Spool:
    """Lines in the order of their places; arrays have a value each candidate, shape (candidates,)."""

    def __init__(self, folder: Path, candidates: int) -> None:
        self._lines = folder / "lines"
        self._origins = folder / "origins"
        self.fits = np.zeros(candidates, np.bool_)
        """Whether it has a line."""
        self.chars = np.zeros(candidates, np.int64)
        self.leaks = {name: np.zeros(candidates, np.int64) for name in ("golden", "harm")}
        """By suite the line that it is nearly the same as, or `leakage.NOTHING`."""

    def fill(self, rows: Iterable[Mapping[str, Any]], form: str, suites: Mapping[str, Index]) -> None:
        """Write every candidate's line that its format has room for, and compare its prompt with the suites'."""
        waiting: list[tuple[int, Prompt]] = []
        with self._lines.open("wb") as lines, self._origins.open("wb") as origins:
            for place, line, sources in _made(rows, form):
                data = msgspec.json.encode(line)
                lines.write(data + b"\n")
                origins.write(msgspec.json.encode(sources) + b"\n")
                self.fits[place], self.chars[place] = True, len(data.decode())
                waiting.append((place, prompt_of(_prompt(line))))
                if len(waiting) == BATCH_LINES:
                    self._compare(waiting, suites)
                    waiting = []
            self._compare(waiting, suites)

    def read(self) -> Iterator[tuple[int, bytes, msgspec.Raw]]:
        """Place, line and origins of each that fits."""
        with self._lines.open("rb") as lines, self._origins.open("rb") as origins:
            for place, line, sources in zip(np.flatnonzero(self.fits), lines, origins, strict=True):
                yield int(place), line, msgspec.Raw(sources.rstrip(b"\n"))

    def names(self, places: frozenset[int]) -> dict[int, str]:
        """The sample ids behind some places."""
        found = {}
        for place, _, sources in self.read():
            if place in places:
                ids = dict.fromkeys(each.sample_id for each in msgspec.json.decode(sources, type=_Origins))
                found[place] = " and ".join(ids)
        return found

    def _compare(self, waiting: Sequence[tuple[int, Prompt]], suites: Mapping[str, Index]) -> None:
        if waiting:
            places = [place for place, _ in waiting]
            for name, index in suites.items():
                self.leaks[name][places] = index.alike([prompt for _, prompt in waiting])


class Writer:
    """One file of a training set in a local folder, with its hash."""

    def __init__(self, folder: Path, name: str) -> None:
        self._name = name
        self._file: BinaryIO = (folder / name).open("wb")
        self._digest = hashlib.sha256()
        self._size = 0
        self.lines = 0

    def write(self, line: bytes) -> int:
        """A line with its end; answers its number, from 1."""
        self._file.write(line)
        self._digest.update(line)
        self._size += len(line)
        self.lines += 1
        return self.lines

    def close(self) -> File:
        self._file.close()
        return File(self._name, self._digest.hexdigest(), self._size, self.lines)


def origins_line(file: str, line: int, samples: msgspec.Raw | _Origins) -> bytes:
    """A line of the lineage: a `schemas.datasets.Origins`."""
    return msgspec.json.encode({"file": file, "line": line, "samples": samples}) + b"\n"


def origin(row: Exported) -> Origin:
    """Where a sample comes from."""
    return Origin(
        sample_id=row.sample_id,
        revision=row.revision,
        tenant=row.tenant,
        user=row.sample.user,
        cluster=row.cluster_id,
        prompt_id=row.sample.prompt_id,
        model=row.sample.model,
        sources=tuple(
            SourceEvent(each.event_id, each.entry.topic_id, each.entry.partition, each.entry.offset)
            for each in row.sources
        ),
    )


def _made(rows: Iterable[Mapping[str, Any]], name: str) -> Iterator[tuple[int, dict[str, Any], _Origins]]:
    """Place, line and origins of each candidate that the format has room for."""
    form = FORMATS[name]
    chosen: Exported | None = None
    for row in rows:
        one = exported(row)
        try:
            if isinstance(form, PairFormat):
                if chosen is None:
                    chosen = one
                    continue
                pair, chosen = Pair(row["kind"], row["margin"], chosen, one), None
                line, samples = form.line(pair), [pair.chosen, pair.rejected]
            else:
                line, samples = form.line(one), [one]
        except NotInFormat:
            continue
        if not form.check(line):
            distinct = {sample.sample_id: sample for sample in samples}
            yield row["place"], line, tuple(map(origin, distinct.values()))


def _prompt(line: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The messages that are answered."""
    asked = line.get("input", line)
    messages: Sequence[Mapping[str, Any]] = asked["messages"] if "messages" in asked else line["prompt"]
    return messages
