"""What a value looks like: random, templated, or a word."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

MIN_ENTROPY_BITS: Final = 2.6
"""Shannon entropy a character, of the value's own frequencies. Of 10,000 random values each, 99 % of those of 16 hex
digits are above 2.69, of 12 lower-case letters and digits above 2.75, of 32 hex digits above 3.26 (measured)."""

_LOOKED_AT: Final = 128
"""Characters of a value that are looked at: what is random, or a template, is so at its start."""

_TEMPLATE: Final = re.compile(
    r"\$\{|\$\(|\{\{|\}\}|%\(|%\{|#\{|<%|\*{3}|\.{3}|…|•{2}|(?i:x{4}|process\.env|environ|getenv|import\.meta|secrets\.|"
    r"vault\.|redacted|removed|hidden|placeholder|todo|"
    r"(?:your|my|the|insert|enter|replace|put|paste|some|add|fake|dummy|sample)[-_ ]{0,2}(?:[a-z]{2,12}[-_ ]?){0,4}"
    r"(?:key|token|password|passwd|pwd|secret|here|value)s?(?![a-z0-9]))"
)
_NAME_ONLY: Final = re.compile(
    r"\$[A-Z][A-Z0-9_]*|\{[A-Za-z_.]*\}?|%[sdv]|:[a-z_]+|\?|@[A-Z][A-Za-z_]*|\[[A-Za-z _-]*\]"
)
_PART: Final = re.compile(r"[A-Za-z0-9+/]{8,}")
_TURN: Final = re.compile(r"[A-Za-z](?=[0-9])|[0-9](?=[A-Za-z])")
_CASE_TURN: Final = re.compile(r"[a-z](?=[A-Z])|[A-Z](?=[a-z])")
_CHARSET: Final = re.compile(r"[A-Za-z0-9_\-+/=.~%:!@#$^*|]{8,}")
_PATH: Final = re.compile(
    r"(?:[~.]{0,2}/|[A-Za-z]:[\\/])[A-Za-z0-9._-]+/|.*\.(?:pem|key|txt|json|ya?ml|py|js|ts|env|crt|md)$"
)

_CASE_TURNS_OF_RANDOM: Final = 0.4
"""Changes between upper and lower case a character: random letters have 0.5, names in CamelCase some 0.3."""


def templated(value: str) -> bool:
    """Whether a value stands for one: `${TOKEN}`, `<token>`, `YOUR_API_KEY`, `xxxx`, `****`, a blanked placeholder."""
    bare = value[:_LOOKED_AT].strip("\"'`")
    return (
        (len(bare) > 2 and len(set(bare.lower())) < 3 and not bare.isdigit())
        or "\0" in bare
        or (bare[:1] == "<" and ">" in bare)
        or _NAME_ONLY.fullmatch(bare) is not None
        or _TEMPLATE.search(bare) is not None
    )


def entropy_bits(value: str) -> float:
    """Shannon entropy a character."""
    repeated = sum(count * math.log2(count) for count in Counter(value).values() if count > 1)
    return math.log2(len(value)) - repeated / len(value)


def looks_random(value: str, least_turns: int = 2) -> bool:
    """Whether a value may have been drawn at random: enough entropy, and a part that words and numbers do not make.

    `least_turns`: changes between letters and digits that a part needs.
    """
    value = value[:_LOOKED_AT]
    if not _CHARSET.fullmatch(value) or _PATH.match(value) or entropy_bits(value) < MIN_ENTROPY_BITS:
        return False
    turns = 0
    for part in _PART.findall(value):
        here = len(_TURN.findall(part))
        turns = max(turns, here)
        if len(part) >= 16 and len(_CASE_TURN.findall(part)) >= _CASE_TURNS_OF_RANDOM * len(part):
            return True
    return turns >= least_turns
