"""What a format is: of which rows, how one becomes a line, and what its consumer asks of a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

from streams.exports.rows import Exported, Pair

Line = dict[str, Any]
Versions = Mapping[str, int]


class NotInFormat(ValueError):
    """A row that a format has no room for; says why, by no value of the row."""


class SampleFormat(Struct, frozen=True):
    """One line a sample. `judged`: `good` takes what is scored well, `both` what is scored at all, `any` everything.

    `check` says what is wrong with a line. `with_meta` puts the lineage into it; None where there is no room for it.
    """

    name: str
    judged: Literal["any", "good", "both"]
    line: Callable[[Exported], Line]
    check: Callable[[object], list[str]]
    with_meta: Callable[[Line, Line], Line] | None


class PairFormat(Struct, frozen=True):
    """One line a preference pair."""

    name: str
    line: Callable[[Pair], Line]
    check: Callable[[object], list[str]]
    with_meta: Callable[[Line, Line], Line] | None
