"""Secrets whose word and shape go together: authorisation headers, cookies, curl's users, AWS pairs, seed phrases."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from streams.redaction import Finding
from streams.redaction.secrets.shapes import looks_random, templated

_DIGIT: Final = re.compile(r"[0-9]")
_BEARER: Final = re.compile(r"bearer[\s:\"'=]{1,4}(?=[a-z0-9_.~+/=-]{0,80}[0-9])([a-z0-9_.~+/=-]{12,}+)")
_BASIC: Final = re.compile(r"basic\s{1,3}([A-Za-z0-9+/_-]{6,512}+={0,2})", re.IGNORECASE)
_CURL_USER: Final = re.compile(r"(?:\s-u|\s--user|\s--proxy-user)[\s=]{0,2}[\"']?([^\s:\"'$]{0,64}:[^\s\"'$]{2,128})")
_COOKIE_LINE: Final = re.compile(r"cookies?\"?\s{0,2}[:=]([^\n\r]{1,4096})", re.IGNORECASE)
_COOKIE: Final = re.compile(r"([A-Za-z0-9_.$-]{1,64})=([^;,\s\"'\\]{8,2048}+)")
_COOKIE_NAME: Final = re.compile(
    r"sess|sid|auth|token|jwt|csrf|xsrf|remember|login|user|secure|identity|ticket", re.IGNORECASE
)
_PHRASE: Final = re.compile(
    r"(?:seed|recovery|mnemonic|backup|secret)(?: (?:phrase|words?|seed|mnemonic)){1,2}[^\n:=]{0,30}?"
    r"(?:\s{0,3}[:=]|\s(?:is|are|was))"
    r"[\s\"'`]{0,4}((?:(?:\d{1,2}[.)] ?)?[a-z]{3,8}[ ,\n]{1,3}){11,23}[a-z]{3,8})\b"
)

_AWS_ID: Final = re.compile(r"(?<![A-Za-z0-9])A(?:KI|SI)A[A-Z0-9]{16}(?![A-Za-z0-9])")
_AWS_SECRET: Final = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=])")
_AWS_NEAR: Final = 200
"""Characters after an access key id in which its secret mostly stands: the next column, line or JSON field."""

RULES: Final = tuple(
    pattern.pattern
    for pattern in (_BEARER, _BASIC, _CURL_USER, _COOKIE_LINE, _COOKIE, _COOKIE_NAME, _PHRASE, _AWS_ID, _AWS_SECRET)
)


def found(text: str, lowered: str, triggers: list[str]) -> Iterator[Finding]:
    """Findings in a text with these of the words in it; `lowered` is the text in lower case, character by character."""
    if "bearer" in triggers:
        for match in _BEARER.finditer(lowered):
            if not templated(text[match.start(1) : match.end(1)]):
                yield Finding("ACCESS_TOKEN", *match.span(1), 0.9, "secrets:bearer")
    if "basic " in triggers:
        for match in _BASIC.finditer(text):
            if _is_basic(match[1]):
                yield Finding("ACCESS_TOKEN", *match.span(1), 0.95, "secrets:basic-auth")
    if "curl " in triggers:
        for match in _CURL_USER.finditer(text):
            if not templated(match[1].rpartition(":")[2]):
                yield Finding("PASSWORD", *match.span(1), 0.9, "secrets:curl-user")
    if "cookie" in triggers:
        for line in _COOKIE_LINE.finditer(text):
            for match in _COOKIE.finditer(text, *line.span(1)):
                named = _COOKIE_NAME.search(match[1]) is not None
                if not templated(match[2]) and (looks_random(match[2]) or (named and _DIGIT.search(match[2]))):
                    yield Finding("ACCESS_TOKEN", *match.span(2), 0.85, "secrets:cookie")
    if "phrase" in triggers or "mnemonic" in triggers:
        for match in _PHRASE.finditer(lowered):
            yield Finding("PASSWORD", *match.span(1), 0.9, "secrets:seed-phrase")


def _is_basic(encoded: str) -> bool:
    try:
        decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    except (binascii.Error, ValueError):
        return False
    return b":" in decoded and all(32 <= byte < 127 for byte in decoded)


def aws_secrets(text: str) -> Iterator[Finding]:
    """What looks like a secret access key after an access key id."""
    done = 0
    for identity in _AWS_ID.finditer(text):
        for match in _AWS_SECRET.finditer(text, max(done, identity.end()), identity.end() + _AWS_NEAR):
            if looks_random(match[0]):
                done = match.end()
                yield Finding("API_KEY", match.start(), match.end(), 0.9, "secrets:aws-secret-key")
