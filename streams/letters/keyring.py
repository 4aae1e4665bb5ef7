"""The private keys that open dead letters, from files that only whoever mends has."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from streams.errors import SettingError, StreamError
from streams.redaction.sealing import KeyPair, Sealed, key_id, pair_of, unseal

KEY_FILE: Final = "MILLRACE_DEADLETTER_PRIVATE_KEY_FILE"


class _File(msgspec.Struct):
    """What `millrace keys pair --json` prints, or the keys that an embedded lake keeps for itself."""

    private: str = ""
    deadletter_private_key: str = ""


class Keyring:
    """Any number of private keys; a letter says by id which of them open it."""

    def __init__(self, private_keys: Iterable[str]) -> None:
        """Raises `ValueError`, which does not quote the key, for what is none."""
        pairs = map(pair_of, private_keys)
        self._pairs: dict[str, KeyPair] = {key_id(pair.public): pair for pair in pairs}

    @property
    def ids(self) -> Sequence[str]:
        """The ids of the keys, as letters and `millrace deadletter list --by key` name them."""
        return list(self._pairs)

    def opens(self, key_ids: Iterable[str]) -> bool:
        """Whether one of the keys is among a letter's recipients."""
        return any(name in self._pairs for name in key_ids)

    def open(self, sealed: Sealed) -> bytes:
        """A letter's original. Raises `StreamError` if none of the keys is a recipient, or if the letter is damaged."""
        for copy in sealed.copies:
            if copy.key_id in self._pairs:
                return unseal(sealed, self._pairs[copy.key_id])
        raise StreamError(
            f"it is sealed to {', '.join(copy.key_id for copy in sealed.copies) or 'nobody'}, "
            f"and the key files have {', '.join(self._pairs) or 'no key'}"
        )


def keyring(files: Sequence[Path]) -> Keyring:
    """The keys in files: what `millrace keys pair` printed, as text or JSON, or a private key a line.

    Raises `SettingError` naming the file, and never what is in it.
    """
    keys: list[str] = []
    for file in files:
        try:
            found = _keys_in(file.read_text())
            Keyring(found)
        except (OSError, UnicodeDecodeError) as exc:
            raise SettingError(KEY_FILE, str(file), f"cannot be read: {type(exc).__name__}") from exc
        except (ValueError, msgspec.DecodeError) as exc:
            raise SettingError(KEY_FILE, str(file), f"holds something else: {exc}") from None
        if not found:
            raise SettingError(KEY_FILE, str(file), "holds no private key; `millrace keys pair` makes one")
        keys += found
    return Keyring(keys)


def readable_by_others(files: Iterable[Path]) -> list[Path]:
    """Those of the key files that others than their owner may read."""
    return [file for file in files if file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)]


def _keys_in(text: str) -> list[str]:
    if text.lstrip().startswith("{"):
        held = msgspec.json.decode(text, type=_File)
        return [key for key in (held.private, held.deadletter_private_key) if key]
    lines = (line.strip().removeprefix("private:").strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "MILLRACE_"))]
