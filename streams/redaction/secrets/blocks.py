"""Private keys that span lines: PEM, OpenSSH, SSH2, PGP and PuTTY blocks, whole or cut short, and JSON Web Keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from streams.redaction import Finding

_BREAK: Final = r"(?:[\s>|]|\\{1,4}[nrt])"
"""Between the lines of a key: white space, a quotation mark of mail, or a line break escaped once or more in JSON."""

_LINE_BREAK: Final = r"(?:\r?\n[ \t>]{0,8}|\\{1,4}n)"

_BEGIN: Final = re.compile(r"-{4,5} ?BEGIN (?:[A-Z0-9]{2,12} ){0,4}PRIVATE KEY(?: BLOCK)? ?-{4,5}")
_END: Final = re.compile(r"-{4,5} ?END (?:[A-Z0-9]{2,12} ){0,4}PRIVATE KEY(?: BLOCK)? ?-{4,5}")
_HEADER: Final = r"(?:Proc-Type|DEK-Info|Version|Comment|Subject|Hash|Charset|MessageID):[^\n\\]{0,200}"
_BODY: Final = re.compile(
    rf"(?:{_BREAK}++|{_HEADER}|[A-Za-z0-9+/=]{{16,}}+(?:{_LINE_BREAK}[A-Za-z0-9+/=]{{1,76}}+\Z)?)*+"
)
"""What follows the first line of a key that has no last line: only what looks like lines of base64."""

_LONGEST: Final = 40_000
"""Characters between the first and the last line: an RSA key of 16,384 bits has some 13,000, a PGP key more."""

_PUTTY: Final = re.compile(
    r"PuTTY-User-Key-File-[0-9]:[^\n\\]{0,80}(?:\s|\\{1,4}[nr])"
    rf"(?:{_BREAK}++|(?:Encryption|Comment|Public-Lines|Private-Lines|Private-MAC|Key-Derivation|Argon2-[A-Za-z]+):"
    r"[^\n\\]{0,200}|[A-Za-z0-9+/=]{8,}+)*+"
)
_JWK: Final = re.compile(r'\\{0,3}"(?:d|p|q|dp|dq|qi|k)\\{0,3}"\s{0,4}:\s{0,4}\\{0,3}"([A-Za-z0-9_-]{20,}+)')

RULES: Final = tuple(pattern.pattern for pattern in (_BEGIN, _END, _BODY, _PUTTY, _JWK))


def found(text: str) -> Iterator[Finding]:
    """Findings of private keys in a text."""
    if "PRIVATE KEY" in text:
        yield from _pem(text)
    if "PuTTY-User-Key-File-" in text:
        for match in _PUTTY.finditer(text):
            yield Finding("PRIVATE_KEY", match.start(), match.end(), 1.0, "secrets:putty-key")
    if '"kty' in text or '"kty\\' in text:
        for match in _JWK.finditer(text):
            yield Finding("PRIVATE_KEY", *match.span(1), 1.0, "secrets:json-web-key")


def _pem(text: str) -> Iterator[Finding]:
    begins = [match.span() for match in _BEGIN.finditer(text)]
    ends = [match.span() for match in _END.finditer(text)]
    at_end, done = 0, 0
    for index, (start, begun) in enumerate(begins):
        if start < done:
            continue
        while at_end < len(ends) and ends[at_end][0] < begun:
            at_end += 1
        following = begins[index + 1][0] if index + 1 < len(begins) else len(text)
        if at_end < len(ends) and ends[at_end][0] <= min(following, begun + _LONGEST):
            done = ends[at_end][1]
        else:
            body = _BODY.match(text, begun)
            done = begun if body is None else begun + len(body[0].rstrip())
            if done == begun:  # the first line alone is no key
                continue
        yield Finding("PRIVATE_KEY", start, done, 1.0, "secrets:private-key")
