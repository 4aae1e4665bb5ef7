"""API keys of the collector: who sends, and what that sender may send."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from schemas.events import Tenant
from streams import keys
from streams.errors import InvalidKeyError

Scope = Literal["write", "browser"]
"""`write`: every event. `browser`: a person's thumbs, stars and comments only, and the only scope that CORS is for.

No key reads anything: the collector has nothing to read.
"""


class Key(keys.StoredKey, frozen=True, kw_only=True):
    """One key."""

    tenant: str
    scope: Scope


class KeyFile(keys.KeyFile[Key]):
    """The stored keys: `create`, `listed`, `revoke`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Key)

    def create(self, tenant: str, name: str, scope: str, now: datetime) -> str:
        """Store a new key and return its plaintext, which is never to be had again.

        Raises `InvalidKeyError` for a tenant, name or scope that cannot be, `KeyFileError`.
        """
        keys.check("tenant", tenant, Tenant)
        return self.add(name, now, tenant=tenant, scope=_scope(scope))


Keyring = keys.Keyring[Key]


def _scope(scope: str) -> Scope:
    for known in get_args(Scope):
        if scope == known:
            return known  # type: ignore[no-any-return]  # get_args cannot say what the literals are
    raise InvalidKeyError(f"scope {scope!r}: is none of {', '.join(get_args(Scope))}")
