"""Dead letters are sealed: only a private key opens them.

An original is compressed and encrypted once, under a random key of its own (XSalsa20-Poly1305); that key goes to every
recipient in a libsodium sealed box (X25519). So a letter to many recipients is no larger than a letter to one.
"""

from __future__ import annotations

import hashlib
import lzma
import zlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Final, NamedTuple

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import SecretBox
from nacl.utils import random

from schemas.outcomes import SealedCopy
from streams.errors import SettingError, StreamError

_XZ: Final = b"\xfd7zXZ\x00"
_STILL_LARGE_BYTES: Final = 16_777_216
"""Larger than this even after zlib, a record came in a batch that its producer compressed better: then xz, slowly."""


class KeyPair(NamedTuple):
    """Both halves in base64. Only the public one belongs on a worker."""

    public: str
    private: str


class Sealed(NamedTuple):
    """A sealed original: the key for each recipient, and what that key opens.

    Without `original` each box holds the original itself, as in the oldest letters.
    """

    copies: tuple[SealedCopy, ...]
    original: bytes | None


class Sealer:
    """Seals bytes to every configured recipient."""

    def __init__(self, public_keys: Sequence[str]) -> None:
        self._boxes = [(key_id(key), SealedBox(_public(key))) for key in public_keys]

    def seal(self, original: bytes) -> Sealed:
        """The original, for each recipient to open."""
        key = random(SecretBox.KEY_SIZE)
        copies = tuple(SealedCopy(name, box.encrypt(key)) for name, box in self._boxes)
        return Sealed(copies, bytes(SecretBox(key).encrypt(_compressed(original))))


def key_id(public_key: str) -> str:
    """The first 16 hex digits of the SHA-256 of a public key: enough to tell keys apart."""
    return hashlib.sha256(public_key.encode()).hexdigest()[:16]


def new_key_pair() -> KeyPair:
    """A fresh key pair."""
    return _pair(PrivateKey.generate())


def pair_of(private_key: str) -> KeyPair:
    """The pair that a private key in base64 belongs to. Raises `ValueError` without quoting what was given."""
    try:
        return _pair(PrivateKey(b64decode(private_key, validate=True)))
    except (ValueError, CryptoError):
        raise ValueError("a private key is base64 of 32 bytes") from None


def unseal(sealed: Sealed, pair: KeyPair) -> bytes:
    """The original bytes, opened with the recipient's key pair. Raises `StreamError` if it is not a recipient."""
    for copy in sealed.copies:
        if copy.key_id == key_id(pair.public):
            try:
                opened = bytes(SealedBox(PrivateKey(b64decode(pair.private))).decrypt(copy.box))
                return opened if sealed.original is None else _expanded(SecretBox(opened).decrypt(sealed.original))
            except (CryptoError, ValueError, zlib.error, lzma.LZMAError) as exc:
                raise StreamError("the sealed copy is damaged") from exc
    raise StreamError("this key is none of the recipients")


def _compressed(original: bytes) -> bytes:
    small = zlib.compress(original)
    return small if len(small) <= _STILL_LARGE_BYTES else min(small, lzma.compress(original), key=len)


def _expanded(compressed: bytes) -> bytes:
    return lzma.decompress(compressed) if compressed.startswith(_XZ) else zlib.decompress(compressed)


def _pair(key: PrivateKey) -> KeyPair:
    return KeyPair(b64encode(bytes(key.public_key)).decode(), b64encode(bytes(key)).decode())


def _public(key: str) -> PublicKey:
    try:
        return PublicKey(b64decode(key, validate=True))
    except (ValueError, CryptoError) as exc:
        raise SettingError(
            "MILLRACE_DEADLETTER_PUBLIC_KEYS", key, "must be base64 of 32 bytes; `millrace keys pair` makes one"
        ) from exc
