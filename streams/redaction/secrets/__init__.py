"""Secrets that people paste into chats: keys, tokens, passwords, private keys and connection strings.

Three kinds of evidence: a format that says what it is (`formats`, `blocks`), a URL or connection string that carries
credentials (`connections`), and a word such as "password" or "api key" before a value (`context`). Entropy alone is
none: commit hashes, UUIDs and images in base64 pass.

What it costs: a text without any trigger is looked through with `in` only. Patterns start at a literal, each is bounded
or runs over a stretch once, so that the time grows with the length of the text whatever is in it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Final

from streams.redaction import Finding, placeholders
from streams.redaction.secrets import blocks, connections, context, formats

_BLANK: Final = "\0"


class Secrets:
    """`Analyzer` for secrets. Types: API_KEY, ACCESS_TOKEN, PRIVATE_KEY, PASSWORD and CONNECTION_STRING."""

    types: Final = frozenset(("API_KEY", "ACCESS_TOKEN", "PRIVATE_KEY", "PASSWORD", "CONNECTION_STRING"))
    """See `Analyzer.types`."""

    version: Final[str] = hashlib.sha256(
        "|".join(("secrets", *formats.RULES, *blocks.RULES, *connections.RULES, *context.RULES)).encode()
    ).hexdigest()[:16]
    """See `Analyzer.version`."""

    def analyze(self, text: str) -> list[Finding]:
        """See `Analyzer.analyze`. A finding never touches a placeholder of ours."""
        lowered = text.lower()
        if len(lowered) != len(text):  # İ is the one letter whose lower case is two characters
            lowered = text.replace("\u0130", "i").lower()
        if "<" in text and (blanked := placeholders.ANY.sub(_blank, text)) != text:
            found = _found(blanked, blanked.lower() if len(blanked.lower()) == len(text) else lowered)
            return [piece for finding in found for piece in _without_blanks(finding, blanked)]
        return list(_found(text, lowered))


def _found(text: str, lowered: str) -> Iterator[Finding]:
    yield from formats.found(text)
    yield from blocks.found(text)
    yield from connections.found(text, lowered)
    yield from context.found(text, lowered)


def _blank(match: re.Match[str]) -> str:
    return _BLANK * len(match[0])


def _without_blanks(finding: Finding, blanked: str) -> Iterator[Finding]:
    """The parts of a finding around placeholders, those that hold anything but punctuation."""
    for part in re.finditer(rf"[^{_BLANK}]+", blanked[finding.start : finding.end]):
        if any(character.isalnum() for character in part[0]):
            yield finding._replace(start=finding.start + part.start(), end=finding.start + part.end())
