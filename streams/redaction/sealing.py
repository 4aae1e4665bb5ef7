"""Dead letters are sealed: libsodium sealed boxes (X25519, XSalsa20-Poly1305) that only a private key opens."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import NamedTuple

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from schemas.outcomes import SealedCopy
from streams.errors import SettingError, StreamError


class KeyPair(NamedTuple):
    """Both halves in base64. Only the public one belongs on a worker."""

    public: str
    private: str


class Sealer:
    """Seals bytes to every configured recipient."""

    def __init__(self, public_keys: Sequence[str]) -> None:
        self._boxes = [(key_id(key), SealedBox(_public(key))) for key in public_keys]

    def seal(self, original: bytes) -> tuple[SealedCopy, ...]:
        """One copy a recipient."""
        return tuple(SealedCopy(name, box.encrypt(original)) for name, box in self._boxes)


def key_id(public_key: str) -> str:
    """The first 16 hex digits of the SHA-256 of a public key: enough to tell keys apart."""
    return hashlib.sha256(public_key.encode()).hexdigest()[:16]


def new_key_pair() -> KeyPair:
    """A fresh key pair."""
    private = PrivateKey.generate()
    return KeyPair(b64encode(bytes(private.public_key)).decode(), b64encode(bytes(private)).decode())


def unseal(copies: Sequence[SealedCopy], pair: KeyPair) -> bytes:
    """The original bytes, opened with the recipient's key pair. Raises `StreamError` if it is not a recipient."""
    for copy in copies:
        if copy.key_id == key_id(pair.public):
            try:
                return bytes(SealedBox(PrivateKey(b64decode(pair.private))).decrypt(copy.box))
            except CryptoError as exc:
                raise StreamError("the sealed copy is damaged") from exc
    raise StreamError("this key is none of the recipients")


def _public(key: str) -> PublicKey:
    try:
        return PublicKey(b64decode(key, validate=True))
    except (ValueError, CryptoError) as exc:
        raise SettingError(
            "MILLRACE_DEADLETTER_PUBLIC_KEYS", key, "must be base64 of 32 bytes; `millrace keys pair` makes one"
        ) from exc
