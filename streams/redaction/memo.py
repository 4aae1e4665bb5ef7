"""A memo of what was found in which text: chat resends its system prompt and all earlier turns with every turn."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable

from streams.redaction import Analyzer, Finding, Preparing


class Memo:
    """`Analyzer` that asks another one once for each text, as long as it is among the latest `max_texts`.

    Holds no text: its keys are keyed hashes, its values places and types. `seen` is told of each hit and miss.
    """

    def __init__(self, analyzer: Analyzer, max_texts: int, seen: Callable[[bool], None] = lambda hit: None) -> None:
        self.version = analyzer.version
        self.types = analyzer.types
        self._analyzer = analyzer
        self._max_texts = max_texts
        self._seen = seen
        self._key = os.urandom(32)
        self._found: OrderedDict[bytes, tuple[Finding, ...]] = OrderedDict()

    def prepare(self, texts: Iterable[str]) -> None:
        """See `Preparing.prepare`."""
        if isinstance(self._analyzer, Preparing):
            self._analyzer.prepare(text for text in texts if self._content(text) not in self._found)

    def analyze(self, text: str) -> list[Finding]:
        """See `Analyzer.analyze`."""
        content = self._content(text)
        known = self._found.get(content)
        self._seen(known is not None)
        if known is not None:
            self._found.move_to_end(content)
            return list(known)
        found = self._analyzer.analyze(text)
        self._found[content] = tuple(found)
        if len(self._found) > self._max_texts:
            self._found.popitem(last=False)
        return found

    def _content(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()
