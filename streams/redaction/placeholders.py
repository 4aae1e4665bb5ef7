"""What stands in a text for what was taken out, and how to know it again.

At the boundary a placeholder holds keyed hashes that belong to one interaction, `<EMAIL_ADDRESS:cf9a03c4>`, for a
person one a word, `<PERSON:d7ab12ef.ac9d3e41>`: so "Ada" and "Ada Lovelace" are known for one person without either
being known. `stages.normalise` numbers them after the join, `<PERSON_1>`. With the policy `hash` it is `<TYPE#…>`, the
same in all interactions of a tenant.

A hash begins with a letter: what a text only writes like a placeholder cannot hold a card's or a phone's digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_HASH: Final = r"[a-f][0-9a-f]{7}"
_HASHES: Final = rf"{_HASH}(?:\.{_HASH}){{0,3}}"
_FORMS: Final = rf"(?::{_HASHES}|#{_HASH}\.{_HASH}|_[0-9]{{1,4}})"
_UNNAMED: Final = re.compile(r"[^A-Z0-9]+")

HASHED: Final = re.compile(rf"<([A-Z][A-Z0-9_]*):({_HASHES})>")
"""A placeholder as the boundary writes it: its type, its hashes."""

ANY: Final = re.compile(rf"<[A-Z][A-Z0-9_]{{0,60}}{_FORMS}>")
"""A placeholder of any type, hashed or numbered."""


def hashed(kind: str, hashes: Iterable[str]) -> str:
    """A placeholder of a type, with hashes of `KeyedHasher.value`."""
    return f"<{label(kind)}:{'.'.join(hashes)}>"


def tenant_wide(kind: str, hashes: str) -> str:
    """A placeholder with a hash of `KeyedHasher.tenant_value`, which all interactions of a tenant share."""
    return f"<{label(kind)}#{hashes}>"


def label(kind: str) -> str:
    """A finding's type as it is written in a placeholder: capitals, digits and underscores."""
    name = _UNNAMED.sub("_", kind.upper()).strip("_")
    return name if name[:1].isalpha() else f"PII_{name}".strip("_")


def pattern(kinds: Iterable[str]) -> re.Pattern[str]:
    """Any placeholder of the given types, hashed or numbered; with other types a text could hide a name in one."""
    labels = "|".join(sorted({re.escape(label(kind)) for kind in kinds}, key=len, reverse=True))
    return re.compile(rf"<(?:{labels}){_FORMS}>")
