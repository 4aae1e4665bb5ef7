"""API keys of the trigger: who asks, and what that may change. No scope implies another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

import msgspec

from schemas.targets import Name
from streams import keys
from streams.errors import InvalidKeyError

Scope = Literal["read", "fire", "approve", "admin"]
"""`read`: look at everything but the audit log. `fire`: ask for a fine-tune, cancel one, report measurements, ask for
an evaluation. `approve`: a person's word on decisions that wait. `admin`: pause, resume, read the audit log."""


class Key(keys.StoredKey, frozen=True, kw_only=True):
    """One key. `targets`: the only ones that it is for; none is all."""

    scopes: tuple[Scope, ...]
    targets: tuple[str, ...] = ()

    @property
    def who(self) -> str:
        """As histories and the audit log name it."""
        return f"{self.name} (key {self.id})"

    def is_for(self, target: str) -> bool:
        """Whether it may be used on this target."""
        return not self.targets or target in self.targets


class KeyFile(keys.KeyFile[Key]):
    """The stored keys: `create`, `listed`, `revoke`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Key)

    def create(self, name: str, scopes: Sequence[str], targets: Sequence[str], now: datetime) -> str:
        """Store a new key and return its plaintext, which is never to be had again.

        Raises `InvalidKeyError` for a name, scope or target that cannot be, `KeyFileError`.
        """
        for target in targets:
            keys.check("target", target, Name)
        return self.add(name, now, scopes=_scopes(scopes), targets=tuple(targets))


Keyring = keys.Keyring[Key]


def _scopes(scopes: Sequence[str]) -> tuple[Scope, ...]:
    if not scopes:
        raise InvalidKeyError(f"a key needs a scope: {', '.join(get_args(Scope))}")
    try:
        return msgspec.convert(tuple(dict.fromkeys(scopes)), tuple[Scope, ...])
    except msgspec.ValidationError as exc:
        raise InvalidKeyError(f"scope {', '.join(scopes)}: each is one of {', '.join(get_args(Scope))}") from exc
