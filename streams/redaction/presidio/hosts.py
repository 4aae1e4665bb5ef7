"""URLs and mail addresses, found from their rarest part: a dot with a top-level domain, an `@`.

Stock tries its patterns from every character, and its URL pattern is quadratic on dots. Here a text without that part
costs one look, and a long run of host characters costs its length.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

import regex
from presidio_analyzer.predefined_recognizers import UrlRecognizer

FLAGS: Final = regex.IGNORECASE | regex.MULTILINE | regex.DOTALL
"""Presidio's own flags for every pattern: a trigger must not be stricter than its pattern."""

_HOST_CHARS: Final = r"[a-z0-9.\-\d]"  # a "www" may be followed by digits of any script
_MAX_HOST_CHARS: Final = 253 + len("www999.")
"""How far before its top-level domain a host may begin: what Presidio's URL pattern allows."""

_HOST_BEFORE: Final = regex.compile(rf"(?r){_HOST_CHARS}*+", FLAGS)
"""Read backwards, so that matching up to a dot gives the host characters before it."""

_LOCAL_CHARS: Final = r"[!#$%&'*+\-/=?^_`{|}~\.\w]"
_LOCAL: Final = regex.compile(rf"(?<!{_LOCAL_CHARS}){_LOCAL_CHARS}++@", FLAGS)
_DOMAIN: Final = regex.compile(r"\w+(?:-+\w+)*(?:\.\w+(?:-+\w+)*)+\b", FLAGS)


def _host_end(pattern: str) -> str:
    """The part `[.](?:…)` of Presidio's URL pattern: the top-level domains in its order."""
    start = pattern.index("[.](?:")
    depth = 0
    for place in range(start + len("[.]"), len(pattern)):
        depth += {"(": 1, ")": -1}.get(pattern[place], 0)
        if depth == 0:
            return "[.](?=[a-z]{2})" + pattern[start + len("[.]") : place + 1]  # no dot before a blank costs a try
    raise ValueError("a URL pattern without top-level domains")


HOST_END: Final = regex.compile(_host_end(UrlRecognizer.BASE_URL_REGEX), FLAGS)
"""A dot with a top-level domain: without it no pattern for URLs matches."""

Match: TypeAlias = "regex.Match[str]"


class HostFinder:
    """Matches of a pattern `…HOST[.]TLD…`, in the order and with the ends of `pattern.finditer`."""

    def __init__(self, pattern: regex.Pattern[str]) -> None:
        self._pattern = pattern

    def finditer(self, text: str) -> Iterator[Match]:
        """What `pattern.finditer(text)` gives, for the pattern without a scheme."""
        done, at = 0, 0
        while (domain := HOST_END.search(text, at)) is not None:
            dot = domain.start()
            start = _HOST_BEFORE.match(text, max(done, dot - _MAX_HOST_CHARS), dot).start()
            if start == dot:  # nothing before the dot that a host could be
                at = dot + 1
                continue
            match = self._pattern.search(text, start)
            yield match
            done = at = match.end()


def mail_addresses(pattern: regex.Pattern[str], text: str) -> Iterator[Match]:
    """What `pattern.finditer(text)` gives for Presidio's mail pattern, looked for at each `@` before a domain."""
    done = 0
    for local in _LOCAL.finditer(text):
        at = local.end() - 1
        if at <= done or text[at - 1] == ".":
            continue
        domain = _DOMAIN.match(text, at + 1)
        if domain is None:
            continue
        match = pattern.search(text, max(local.start(), done), domain.end() + 1)  # one more, for the word's end
        if match is not None:
            yield match
            done = match.end()
