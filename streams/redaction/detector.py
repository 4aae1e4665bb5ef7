"""Everything that finds, in one `Analyzer`: patterns, secrets and names, on a text and on what it hides.

1. what was redacted before is taken out: a placeholder is nobody's data
2. patterns, secrets and names look at the text as it is written
3. they look at file names word by word, and patterns and secrets behind the text's disguises: what they find beyond
   the rest counts
4. what was found is taken out, and 1 to 3 are repeated on what is left, until nothing is found

Step 4 makes a redacted text one in which nothing is found: redacting it again changes nothing.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Generator, Iterable
from typing import Final, cast

from streams.errors import RedactionError
from streams.redaction import Analyzer, Finding, Preparing, placeholders
from streams.redaction.disguises import undisguised
from streams.redaction.rest import Rest, beside, merged

MAX_SECONDS: Final = 10.0
"""CPU time for one text; 100,000 characters of names and numbers take a third of it."""

UNTIMED_CHARS: Final = 4_096
"""Up to this length a text needs no clock."""

_MAX_ROUNDS: Final = 12
"""Rounds after which a text that still gives findings is refused; two are usual, four were the most seen."""

_FILE_NAME: Final = re.compile(r"(?<!\w)\w{1,120}(?:[-.]\w{1,120}){1,8}(?!\w)")
"""A word with an ending; an underscore in it joins words, so that nothing is found in `cv_ada_lovelace.pdf`."""


class Together:
    """`Analyzer` of what several find in a text as it is written."""

    def __init__(self, *parts: Analyzer) -> None:
        self.types = frozenset(kind for part in parts for kind in part.types)
        self.version = hashlib.sha256("|".join(part.version for part in parts).encode()).hexdigest()[:16]
        self._parts = parts

    def analyze(self, text: str) -> list[Finding]:
        """See `Analyzer.analyze`."""
        return [each for part in self._parts for each in part.analyze(text)]


class Beside:
    """`Analyzer` of what one finds, and of what another finds beyond that."""

    def __init__(self, first: Analyzer, other: Analyzer) -> None:
        self.types = first.types | other.types
        self.version = f"{first.version}+{other.version}"
        self._first, self._other = first, other

    def analyze(self, text: str) -> list[Finding]:
        """See `Analyzer.analyze`."""
        found = self._first.analyze(text)
        return found + beside(found, self._other.analyze(text))


class Detector:
    """`Analyzer` that leaves nothing: `exact` finds patterns and secrets, `names` names.

    `kept` are types that the policy leaves in the text: they are found once and not looked behind. Raises
    `RedactionError` for a text that takes longer than `max_seconds` of CPU time or does not settle.
    """

    def __init__(
        self, exact: Analyzer, names: Analyzer | None, kept: Iterable[str] = (), max_seconds: float = MAX_SECONDS
    ) -> None:
        self._exact = exact
        self._names = names
        self._all = exact if names is None else Together(exact, names)
        self._kept = frozenset(kept)
        self._prepared: dict[str, list[Finding]] = {}
        self._max_seconds = max_seconds
        self.types = self._all.types
        self._placeholder = placeholders.pattern(self.types)
        self.version = hashlib.sha256(f"detector-1|{self._all.version}".encode()).hexdigest()[:16]

    def prepare(self, texts: Iterable[str]) -> None:
        """See `Preparing.prepare`. Round by round, so that names are sought in all texts together."""
        self._prepared = {}
        looks = {text: self._look(text) for text in texts}
        while looks:
            left: dict[str, str] = {}
            for text, look in list(looks.items()):
                try:
                    left[text] = next(look)
                except StopIteration as done:
                    self._prepared[text] = done.value
                except RedactionError:
                    pass  # is raised when this text is asked about
            looks = {text: looks[text] for text in left}
            if isinstance(self._names, Preparing):
                self._names.prepare(left.values())

    def analyze(self, text: str) -> list[Finding]:
        """See `Analyzer.analyze`."""
        found = self._prepared.pop(text, None)
        if found is not None:
            return found
        look = self._look(text)
        while True:
            try:
                next(look)
            except StopIteration as done:
                return cast(list[Finding], done.value)

    def _look(self, text: str) -> Generator[str, None, list[Finding]]:
        """Yields what is left of the text before it looks at it, and returns the findings."""
        out = [match.span() for match in self._placeholder.finditer(text)] if "<" in text else []
        seconds = 0.0
        every: list[Finding] = []
        for turn in range(_MAX_ROUNDS):
            rest = Rest(text, out)
            yield rest.text
            start = time.thread_time() if len(text) > UNTIMED_CHARS else None
            found = [rest.in_original(each) for each in self._once(rest.text)]
            if start is not None and (seconds := seconds + time.thread_time() - start) > self._max_seconds:
                raise RedactionError("a text took too long")
            taken = [(each.start, each.end) for each in found if each.type not in self._kept]
            every += found if turn == 0 else [each for each in found if each.type not in self._kept]
            if not taken:
                return every
            out = merged([*out, *taken])
        raise RedactionError("a text does not settle")

    def _once(self, text: str) -> list[Finding]:
        found = self._all.analyze(text)
        if "_" in text and (spaced := _FILE_NAME.sub(_spaced, text)) != text:
            in_names = (each._replace(rule=f"{each.rule}, file name") for each in self._all.analyze(spaced))
            found += beside(found, in_names)
        view = undisguised(text)
        if view is not None:
            hidden = self._exact.analyze(view.text)
            found += beside(found, (_undisguised(each, *view.original(each.start, each.end)) for each in hidden))
        return found


def _undisguised(finding: Finding, start: int, end: int) -> Finding:
    return Finding(finding.type, start, end, finding.score, f"{finding.rule}, disguised")


def _spaced(file_name: re.Match[str]) -> str:
    return file_name[0].replace("_", " ")
