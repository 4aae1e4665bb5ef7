"""Erasing persons and samples from training sets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import msgspec
from msgspec import Struct

from schemas.datasets import FILES, LINEAGE, MANIFEST, Erased, Manifest, Origin, Origins
from trainer_trigger.datasets import keyed, memory
from trainer_trigger.datasets.population import Gone, gone
from trainer_trigger.datasets.published import encoded, every, folder_of
from trainer_trigger.datasets.store import Store

Person = tuple[str, str]
"""Tenant and keyed hash of the user."""

Saw = Callable[[str], Sequence[str]]
"""The launches that a training set, by its hash, was sent to."""


def nobody(_dataset_hash: str) -> Sequence[str]:
    """Where no ledger is asked."""
    return ()


class Report(Struct, frozen=True):
    """The manifests that were superseded now. `looked_at`: sets that were read."""

    erased: tuple[Manifest, ...]
    looked_at: int


def erase(
    store: Store,
    *,
    persons: Collection[Person] = (),
    samples: Collection[str] = (),
    key: str,
    why: str,
    at_ms: int | None = None,
    saw: Saw = nobody,
) -> Report:
    """Delete every training set that holds one of these, and see to it that none is made with them again.

    `key` is the setting `hash_key`. 1 remember them, so that whoever builds now leaves them out or finds out →
    2 `forget`.
    May be called again: it goes on where it was cut off. Raises DatasetUnavailable.
    """
    secret = keyed.subkey(key)
    hashes = {_person(secret, tenant, user) for tenant, user in persons} | {_sample(secret, name) for name in samples}
    memory.erase(store, hashes)  # 1
    return forget(store, frozenset(hashes), secret, why=why, at_ms=at_ms, saw=saw)  # 2


def erase_withdrawn(
    store: Store, lake: str, *, key: str, why: str, at_ms: int | None = None, saw: Saw = nobody
) -> Report:
    """Delete every training set that holds somebody who has withdrawn or was erased by now, as the lake says.

    Nothing is remembered: every build asks the lake itself, and who agrees again may be trained on again. Raises
    DatasetUnavailable.
    """
    secret = keyed.subkey(key)
    return forget(store, hashes_of(gone(lake), secret), secret, why=why, at_ms=at_ms, saw=saw)


def hashes_of(left: Gone, secret: bytes) -> frozenset[str]:
    """As `forget` takes them."""
    persons = {_person(secret, row["tenant"], row["user"]) for row in left.persons.to_pylist()}
    return frozenset(persons | {_sample(secret, name) for name in left.samples.column("sample_id").to_pylist()})


def forget(
    store: Store,
    hashes: frozenset[str],
    secret: bytes,
    *,
    why: str,
    at_ms: int | None = None,
    saw: Saw = nobody,
    only: Manifest | None = None,
) -> Report:
    """Delete every training set (or `only` this one) that holds one of these hashes: 1 its manifest says so → 2 its
    files go.

    Files that an earlier call, or a builder beside it, left behind an erased manifest go too.
    """
    superseded, looked_at = list[Manifest](), 0
    for manifest in every(store) if only is None else [only] * bool(hashes):
        looked_at += 1
        folder = folder_of(manifest)
        if manifest.erased is None:
            hits = _hits(store, manifest, hashes, secret)
            if hits is None:
                continue
            erased = Erased(why=why, at=at_ms, models=tuple(saw(manifest.dataset_hash)), **hits)
            superseded.append(msgspec.structs.replace(manifest, erased=erased))
            store.replace(f"{folder}/{MANIFEST}", encoded(superseded[-1]))  # 1
        for name in FILES:  # 2
            store.delete(f"{folder}/{name}")
    return Report(tuple(superseded), looked_at)


def _hits(store: Store, manifest: Manifest, hashes: frozenset[str], secret: bytes) -> dict[str, int] | None:
    """How many persons, samples and lines of a set are among those; None if it is none of them."""
    persons, samples, lines = set[str](), set[str](), 0
    try:
        with store.open(f"{folder_of(manifest)}/{LINEAGE}") as file:
            for line in file:
                hit = False
                for each in msgspec.json.decode(line, type=Origins).samples:
                    sample, person = _sample(secret, each.sample_id), _person_of(secret, each)
                    if sample in hashes or person in hashes:
                        hit = True
                        samples.add(sample)
                        persons |= {person} & hashes if person is not None else set()
                lines += hit
    except FileNotFoundError:
        return {"persons": 0, "samples": 0, "lines": 0}  # without its lineage nobody can tell: it goes
    return {"persons": len(persons), "samples": len(samples), "lines": lines} if lines else None


def _person_of(secret: bytes, origin: Origin) -> str | None:
    return None if origin.user is None else _person(secret, origin.tenant, origin.user)


def _person(secret: bytes, tenant: str, user: str) -> str:
    return keyed.keyed(secret, keyed.PERSON, f"{tenant}/{user}")[: keyed.REMEMBERED_CHARS]


def _sample(secret: bytes, sample_id: str) -> str:
    return keyed.keyed(secret, keyed.MEMBER, sample_id)[: keyed.REMEMBERED_CHARS]
