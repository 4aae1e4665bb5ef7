"""What the store remembers of a target beside its training sets, as keyed hashes, a line each.

- `{target}/_held/…`: what a training set holds out. Written before the set; never deleted, also where the set is
  erased: it is no text, and without it an evaluation could be trained on.
- `_erased/…`: persons and samples that were erased. No training set is made with them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from trainer_trigger.datasets.store import Store, read

ERASED: Final = "_erased/"


def held(store: Store, target: str) -> frozenset[str]:
    """The hashes of all that any training set of the target ever held out."""
    return _all(store, _held(target))


def hold(store: Store, target: str, hashes: Iterable[str]) -> None:
    """Remember them; those that are known already are not written again."""
    _add(store, _held(target), frozenset(hashes) - held(store, target))


def erased(store: Store) -> frozenset[str]:
    """The hashes of all persons and samples that were erased."""
    return _all(store, ERASED)


def erase(store: Store, hashes: Iterable[str]) -> None:
    """Remember them."""
    _add(store, ERASED, frozenset(hashes) - erased(store))


def _held(target: str) -> str:
    return f"{target}/_held/"


def _all(store: Store, prefix: str) -> frozenset[str]:
    return frozenset(line for name in store.names(prefix) for line in (read(store, name) or b"").decode().split())


def _add(store: Store, prefix: str, hashes: frozenset[str]) -> None:
    if hashes:
        data = "".join(f"{each}\n" for each in sorted(hashes)).encode()
        store.create(f"{prefix}{hashlib.sha256(data).hexdigest()[:32]}.txt", data)
