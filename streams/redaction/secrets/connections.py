"""Connection strings and URLs that carry credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from streams.redaction import Finding
from streams.redaction.secrets.shapes import looks_random, templated

_HOST: Final = r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}|(?=\s|$))"
_WEB: Final = re.compile(rf"://([^\s\"'<>/?#@:]{{0,128}}):([^\s\"'<>/?#]{{1,256}})@{_HOST}")
_ANY: Final = re.compile(rf"://([^\s\"'<>/?#@:]{{0,128}}):([^\s\"'<>]{{1,256}})@{_HOST}")
_USER_ONLY: Final = re.compile(rf"://([A-Za-z0-9_.~%+-]{{20,256}}):?@{_HOST}")
_SCHEME: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]{0,20}|)\Z")
_SCHEME_CHARS: Final = 24
_NO_SLASHES: Final = frozenset(("http", "https", "ws", "wss", "ftp", "git", "svn"))
"""Schemes with paths and ports, in which `host:80/@name` has no password; elsewhere a password may hold a slash."""

_ORACLE: Final = re.compile(r"jdbc:oracle:thin:([^\s/:@\"']{1,64})/([^\s@\"']{1,128})@[^\s\"'<>]{0,253}")
_FIELD: Final = re.compile(
    r"(?P<before>[;?&\"'\s]|\A)(?P<name>pass(?:word|wd)|pwd|accountkey|sharedaccesskey|sharedaccesssignature|accesskey)"
    r"\s{0,3}=\s{0,3}(?P<value>\{[^}\n]{1,256}\}|\"[^\"\n]{1,256}\"|'[^'\n]{1,256}'|[^;\"'\n\r&<>\\]{1,512})"
)
_NEIGHBOUR: Final = re.compile(
    r"(?:server|data source|host|addr|address|uid|user|user id|username|database|initial catalog|driver|dsn|port|"
    r"accountname|endpoint|endpointsuffix|sharedaccesskeyname|defaultendpointsprotocol|trusted_connection|encrypt|"
    r"integrated security|multipleactiveresultsets|persist security info|ssl ?mode|timeout|connection timeout)\s{0,3}="
)
_NEAR: Final = 300
"""Characters around a password in which another field of the same string has to stand."""

_SIGNATURE: Final = re.compile(r"[?&;]sig=([A-Za-z0-9%+/_-]{40,120}(?:%3[Dd]|=)?)")

RULES: Final = tuple(pattern.pattern for pattern in (_WEB, _ANY, _USER_ONLY, _ORACLE, _FIELD, _NEIGHBOUR, _SIGNATURE))
_TYPE: Final = "CONNECTION_STRING"


def found(text: str, lowered: str) -> Iterator[Finding]:
    """Findings in a text; `lowered` is the text in lower case, character by character."""
    if "://" in text and "@" in text:
        yield from _urls(text)
    if "jdbc:oracle:thin:" in text:
        for match in _ORACLE.finditer(text):
            if not templated(match[2]):
                yield Finding(_TYPE, match.start(), match.end(), 1.0, "secrets:jdbc-oracle")
    if ";" in text and "=" in text:
        yield from _fields(text, lowered)
    if "sig=" in text:
        for match in _SIGNATURE.finditer(text):
            yield Finding("ACCESS_TOKEN", *match.span(1), 0.95, "secrets:sas-signature")


def _urls(text: str) -> Iterator[Finding]:
    """From the scheme to the end of the host."""
    at, done = text.find("://"), 0
    while at >= 0:
        if at >= done:
            before = text[max(done, at - _SCHEME_CHARS) : at]
            scheme = found_scheme[0] if (found_scheme := _SCHEME.search(before)) else ""
            plain = scheme.lower().rpartition("+")[2] in _NO_SLASHES
            match = (_WEB if plain else _ANY).match(text, at)
            if match is not None and not templated(match[2]):
                yield Finding(_TYPE, at - len(scheme), match.end(), 1.0, "secrets:url-credentials")
                done = match.end()
            elif (match := _USER_ONLY.match(text, at)) and looks_random(match[1]):
                yield Finding(_TYPE, at - len(scheme), match.end(), 0.95, "secrets:url-token")
                done = match.end()
        at = text.find("://", at + 1)


def _fields(text: str, lowered: str) -> Iterator[Finding]:
    """Values of passwords and keys between semicolons, next to another field of a connection string."""
    neighbours = [match.start() for match in _NEIGHBOUR.finditer(lowered)]
    if not neighbours:
        return
    nearest = 0
    for match in _FIELD.finditer(lowered):
        start, end = match.span("value")
        while nearest + 1 < len(neighbours) and neighbours[nearest + 1] <= match.start():
            nearest += 1
        near = any(abs(neighbour - match.start()) <= _NEAR for neighbour in neighbours[nearest : nearest + 2])
        value = text[start:end].rstrip()
        if near and value.strip("'\"") and not templated(value):
            yield Finding(_TYPE, start, start + len(value), 0.95, "secrets:connection-field")
