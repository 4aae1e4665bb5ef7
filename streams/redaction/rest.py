"""What is left of a text when some spans are taken out, and where it was."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from streams.redaction import Finding

FILLER: Final = "<>"
"""Stands for what was taken out: no word, no digit, no part of a URL."""


class Rest:
    """A text with some spans (by start, disjoint) taken out, and the way back."""

    def __init__(self, original: str, out: Sequence[tuple[int, int]]) -> None:
        self.text = original
        self._segments = [_Segment(0, 0, 0)]
        if not out:
            return
        pieces: list[str] = []
        length, at = 0, 0
        self._segments.clear()
        for start, end in (*out, (len(original), len(original))):
            self._segments += [_Segment(length, at, 0), _Segment(length + start - at, start, end)]
            pieces += [original[at:start], FILLER]
            length += start - at + len(FILLER)
            at = end
        self.text = "".join(pieces[:-1])

    def in_original(self, finding: Finding) -> Finding:
        """A finding in `text` as one in the original; what reaches into a filler covers all that it stands for."""
        first, last = self._segment(finding.start), self._segment(finding.end - 1)
        start = first.original if first.filled_to else first.original + finding.start - first.start
        end = last.filled_to or last.original + finding.end - last.start
        return finding._replace(start=start, end=end)

    def _segment(self, at: int) -> _Segment:
        return self._segments[bisect_right(self._segments, at, key=lambda segment: segment.start) - 1]


class _Segment(NamedTuple):
    """A part of a rest: where it begins there and in the original; for a filler, where that ends in the original."""

    start: int
    original: int
    filled_to: int


def beside(found: Sequence[Finding], more: Iterable[Finding]) -> list[Finding]:
    """Those of `more` that reach beyond what `found` takes."""
    more = list(more)
    if not more:
        return more
    taken = merged((each.start, each.end) for each in found)
    return [each for each in more if not _within(taken, each.start, each.end)]


def _within(spans: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    place = bisect_right(spans, start, key=lambda span: span[1])
    return place < len(spans) and spans[place][0] <= start and end <= spans[place][1]


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans by start, overlapping ones as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
