"""The PII boundary: finding, replacing, hashing and sealing. Nothing past it sees an original value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol, runtime_checkable


class Finding(NamedTuple):
    """One piece of PII in a text: characters [start, end), `score` in [0, 1], and the rule that found it."""

    type: str
    start: int
    end: int
    score: float
    rule: str = ""


class Analyzer(Protocol):
    """Finds PII: `presidio` patterns, `secrets`, `names`; all of them in `detector`, remembered in `memo`."""

    @property
    def version(self) -> str:
        """A hash of the rules: equal versions find the same."""
        ...

    @property
    def types(self) -> frozenset[str]:
        """The types of all that it may find."""
        ...

    def analyze(self, text: str) -> list[Finding]:
        """All findings in a text, in any order, overlapping ones too."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """An `Analyzer` to which many texts at once cost less than one after the other."""

    def prepare(self, texts: Iterable[str]) -> None:
        """Told that these texts are asked about next. Changes nothing but what that costs; never raises for a text."""
        ...
