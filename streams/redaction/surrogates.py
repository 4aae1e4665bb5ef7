"""Realistic stand-ins for redacted values: the same value becomes the same one wherever the same key is asked.

Where a range is reserved for examples it is used, so that no stand-in is anybody's: example.com (RFC 2606),
192.0.2.0/24 (RFC 5737), 2001:db8::/32 (RFC 3849), 555-01xx (NANPA), area 000 for social security numbers.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Final

Digest = Callable[[str], bytes]
"""32 secret bytes for a value: a keyed hash."""

# fmt: off
_NAMES: Final = (
    "Avery", "Bailey", "Blake", "Brooks", "Cameron", "Carter", "Casey", "Cole", "Dallas", "Drew", "Elliot", "Ellis",
    "Emerson", "Finley", "Grant", "Gray", "Harper", "Hayden", "Hunter", "Jordan", "Kelly", "Kendall", "Kennedy",
    "Lane", "Lee", "Logan", "Mason", "Morgan", "Noel", "Parker", "Perry", "Quinn", "Reagan", "Reed", "Reese",
    "Riley", "Robin", "Rowan", "Ryan", "Sawyer", "Scott", "Shannon", "Shelby", "Sidney", "Skyler", "Spencer",
    "Stacy", "Stevie", "Tanner", "Taylor", "Terry", "Tracy", "Tyler", "Wallace", "Warren", "Wesley", "Whitney",
)
# fmt: on
"""Each is a given name and a family name, so that a word stands for a word wherever it is in a name."""

_PLACES: Final = (
    "Ashford",
    "Brookfield",
    "Cedarville",
    "Eastwick",
    "Fairhaven",
    "Glenwood",
    "Lakemont",
    "Millbrook",
    "Northgate",
    "Oakdale",
)
_FIRMS: Final = ("Harbor Goods", "Cedar Systems", "Bluebird Foods", "Summit Freight", "Lantern Books", "Maple Clinics")


def surrogate(kind: str, value: str, digest: Digest) -> str:
    """A stand-in of a finding's type. `digest` is asked for the value, for a name word by word."""
    chance = digest(value)
    match kind:
        case "PERSON":
            return " ".join(_like(word, _pick(_NAMES, digest(word.casefold()))) for word in value.split())
        case "LOCATION":
            return _like(value, _pick(_PLACES, chance))
        case "ORGANIZATION":
            return _like(value, _pick(_FIRMS, chance))
        case "EMAIL_ADDRESS":
            return f"{_pick(_NAMES, chance)}.{_pick(_NAMES, chance[8:])}{chance[16]}@example.com".lower()
        case "PHONE_NUMBER":
            return f"+1 202-555-01{chance[0] % 100:02}"
        case "URL":
            return f"https://example.com/{chance[:4].hex()}"
        case "IP_ADDRESS":
            return f"2001:db8::{chance[:2].hex()}" if ":" in value else f"192.0.2.{chance[0]}"
        case "US_SSN":
            return f"000-{chance[0] % 100:02}-{int.from_bytes(chance[1:5], 'big') % 10_000:04}"
        case "CREDIT_CARD":
            return _luhn("400000" + "".join(str(byte % 10) for byte in chance[:9]))
        case "DATE_TIME":
            return f"{1950 + chance[0] % 60}-{1 + chance[1] % 12:02}-{1 + chance[2] % 28:02}"
        case _:
            return _same_shape(value, digest)


def _pick(words: tuple[str, ...], chance: bytes) -> str:
    return words[int.from_bytes(chance[:8], "big") % len(words)]


def _like(value: str, word: str) -> str:
    return word.upper() if value.isupper() and len(value) > 1 else word.lower() if value.islower() else word


def _luhn(digits: str) -> str:
    total = sum(int(digit) if place % 2 else sum(divmod(2 * int(digit), 10)) for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


def _same_shape(value: str, digest: Digest) -> str:
    """Digits for digits, letters for letters, all else as it is."""
    chance = b"".join(digest(f"{block}:{value}") for block in range(len(value) // 32 + 1))
    return "".join(_same_kind(char, byte) for char, byte in zip(value, chance, strict=False))


def _same_kind(char: str, byte: int) -> str:
    if char.isdecimal():
        return str(byte % 10)
    if char.isalpha():
        letter = string.ascii_lowercase[byte % 26]
        return letter.upper() if char.isupper() else letter
    return char
