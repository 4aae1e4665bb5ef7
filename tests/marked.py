"""Marked personal data for tests: made-up values that occur once, and a search for them in whatever was written."""

from __future__ import annotations

import json
import random
import string
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

_LETTERS = string.ascii_lowercase


class Marks:
    """Values of kinds that patterns find, each made once and remembered under the label that it was asked for.

    The same `seed` makes the same values, so that a run is repeated exactly.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.values: dict[str, str] = {}
        """Label → value."""

    def email(self, label: str) -> str:
        """`xxxxxxxxxx@yyyyyyyyyy.com`."""
        return self._made(label, f"{self._word(10)}@{self._word(10)}.com")

    def phone(self, label: str) -> str:
        """A number of San Francisco, as it is written there."""
        return self._made(label, f"(415) {self._random.randint(310, 899)}-{self._digits(4)}")

    def card(self, label: str) -> str:
        """A Visa number in groups of four."""
        digits = _with_check_digit("4" + self._digits(14))
        return self._made(label, " ".join(digits[at : at + 4] for at in range(0, 16, 4)))

    def card_number(self, label: str) -> int:
        """A Visa number as a JSON number."""
        return int(self._made(label, _with_check_digit("4" + self._digits(14))))

    def ssn(self, label: str) -> str:
        """A social security number of the United States, of an area and group that exist."""
        area, group, serial = (
            self._random.randint(100, 599),
            self._random.randint(11, 89),
            self._random.randint(1001, 9989),
        )
        return self._made(label, f"{area}-{group}-{serial}")

    def iban(self, label: str) -> str:
        """A German account: 22 characters, with check digits (ISO 13616)."""
        account = self._digits(18)
        check = 98 - int(f"{account}131400") % 97
        return self._made(label, f"DE{check:02}{account}")

    def ip(self, label: str) -> str:
        """An IPv4 address, of three digits each."""
        return self._made(label, ".".join(str(self._random.randint(101, 220)) for _ in range(4)))

    def api_key(self, label: str) -> str:
        """A token as GitHub makes them, put together here so that no scanner takes this file for a leak."""
        body = "".join(self._random.choices(string.ascii_letters + string.digits, k=36))
        return self._made(label, "_".join(("ghp", body)))

    def _made(self, label: str, value: str) -> str:
        assert label not in self.values, label
        assert value not in self.values.values(), value
        self.values[label] = value
        return value

    def _word(self, length: int) -> str:
        return "".join(self._random.choices(_LETTERS, k=length))

    def _digits(self, length: int) -> str:
        return "".join(self._random.choices("123456789", k=length))


class Search:
    """Looks for marked values in bytes, in every form of `forms`."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._needles = {
            needle: label for label, value in values.items() for core in _cores(value) for needle in forms(core)
        }

    def labels(self, written: bytes) -> set[str]:
        """The labels of the values that occur in any form and in any case."""
        folded = written.lower()
        return {label for needle, label in self._needles.items() if needle in written or needle.lower() in folded}

    def labels_under(self, folder: Path) -> dict[str, set[str]]:
        """File → labels, of every file in a folder whose name or content holds one."""
        found = {}
        for path in files_under(folder):
            labels = self.labels(str(path).encode()) | self.labels(path.read_bytes())
            if labels:
                found[str(path)] = labels
        return found


def forms(value: str) -> set[bytes]:
    """A value as it may be written: as it is, reversed, and in base64, hexadecimal, URL and JSON escapes."""
    as_is = value.encode()
    texts = {value, value[::-1], quote(value, safe=""), quote_plus(value), "".join(f"%{byte:02x}" for byte in as_is)}
    texts |= {json.dumps(value)[1:-1], "".join(f"\\u{ord(char):04x}" for char in value)}
    texts |= {as_is.hex(), as_is.hex(" "), as_is[::-1].hex()}
    written = {text.encode() for text in texts} | {value.encode("utf-16-le"), value.encode("utf-16-be")}
    return written | set(_base64(as_is)) | set(_base64(as_is[::-1]))


def files_under(folder: Path) -> Iterator[Path]:
    """Every file in a folder, however deep."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _base64(value: bytes) -> Iterator[bytes]:
    """What of a value's base64 does not depend on what stands around it, for each of the three ways to begin."""
    for before in range(3):
        begin = (0, 2, 3)[before]
        partly = (before + len(value)) % 3
        for encode in (b64encode, urlsafe_b64encode):
            encoded = encode(bytes(before) + value).rstrip(b"=")
            yield encoded[begin : len(encoded) - (1 if partly else 0)]


def _cores(value: str) -> set[str]:
    """What of a value gives it away: all of it, an address's two halves, a number's digits alone."""
    digits = "".join(char for char in value if char.isdigit())
    local, _, domain = value.partition("@")
    cores = {value}
    if domain:
        cores |= {local, domain.partition(".")[0]}
    elif len(digits) >= 9 and "." not in value:
        cores.add(digits)
    return cores


def _with_check_digit(digits: str) -> str:
    """ISO/IEC 7812-1, annex B."""
    doubled = [int(digit) * (1 + (place % 2 == 0)) for place, digit in enumerate(reversed(digits))]
    return digits + str(-sum(sum(divmod(number, 10)) for number in doubled) % 10)
