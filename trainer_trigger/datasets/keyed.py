"""Choices by a keyed hash: nobody without the key can make a sample that lands where he wants it, or avoid it.

All are HMAC-SHA256 under one subkey, of `domain:id`, so that one choice says nothing of another. DuckDB computes them
itself from the two halves of HMAC's definition (RFC 2104), for whole columns at once.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import duckdb

_SUBKEY: Final = b"millrace training sets 1"
_BLOCK_BYTES: Final = 64
REMEMBERED_CHARS: Final = 32
"""Hexadecimal digits that are kept of a hash: 128 bits."""

HOLDOUT: Final = "holdout"
VALIDATION: Final = "validation"
CHOICE: Final = "choice"
MEMBER: Final = "member"
PROMPT: Final = "prompt"
PERSON: Final = "person"


def subkey(key: str) -> bytes:
    """What the hashes of training sets are made under, out of the setting `hash_key`."""
    return hmac.digest(key.encode(), _SUBKEY, "sha256")


def keyed(secret: bytes, domain: str, name: str) -> str:
    """64 hexadecimal digits."""
    return hmac.new(secret, f"{domain}:{name}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def define(connection: duckdb.DuckDBPyConnection, secret: bytes) -> None:
    """Give a connection the macros `keyed(domain, id)`, the same as `keyed` here, and `point(hash)` in [0, 1)."""
    block = secret.ljust(_BLOCK_BYTES, b"\0")
    inner, outer = (_literal(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C))
    connection.execute(
        "CREATE TEMP MACRO keyed(domain, id) AS "
        f"sha256({outer} || unhex(sha256({inner} || encode(domain || ':' || id))))"
    )
    connection.execute("CREATE TEMP MACRO point(hash) AS ('0x' || substr(hash, 1, 13))::UBIGINT / 4503599627370496.0")


def _literal(data: bytes) -> str:
    return "'" + "".join(f"\\x{byte:02X}" for byte in data) + "'::BLOB"
