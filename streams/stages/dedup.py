"""dedup: near duplicates by MinHash, prompt *and* output alike, within one tenant and role.

Each band key hashes a band of the prompt's signature together with the same band of the output's: two samples meet
only where both are alike, so that a shared prompt never hides another answer. Whoever claims a band first owns it;
the owner's full signatures then decide.

The hashes that datasketch's `MinHash` permutes are made of a whole text at once, in arrays: a word's CRC-32, and a
shingle's hash from its words'. A SHA-1 a shingle, and permutations drawn anew for each text, took five times as long.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final
from zlib import crc32

import numpy as np
from datasketch import MinHash
from msgspec import Struct
from numpy.typing import NDArray

VERSION: Final = "dedup-2:minhash128-crc-affine32-w3-b25x5"

PERMUTATIONS: Final = 128
SEED: Final = 1
BANDS: Final = 25
ROWS: Final = 5
"""25 × 5 at threshold 0.8: recall 0.97, precision 0.95 after the check of the signatures (measured)."""

THRESHOLD: Final = 0.8
"""Estimated Jaccard similarity from which prompt and output each count as alike; its standard error is 0.035."""

SHINGLE_WORDS: Final = 3

_AT_ONCE: Final = 4_096
"""Hashes that are permuted at once: 4 MB."""

_WORD: Final = re.compile(r"\w+")
_NO_WORDS: Final = ("",) * SHINGLE_WORDS
_MULTIPLIERS: Final = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
"""Odd, one a word of a shingle: what a word adds to its shingle's hash depends on its place."""

_PLACES: Final = np.random.default_rng(SEED).integers(2**63, size=(2, 1, ROWS), dtype=np.uint64) * 2 + 1
"""Odd, one a place in a band, of the prompt's five values and the output's: multilinear hashing."""

_EMPTY: Final = MinHash(num_perm=PERMUTATIONS, seed=SEED, scheme="affine32", hashfunc=int)
"""Copied for each text: drawing the permutations takes longer than using them."""


class Fingerprint(Struct, frozen=True):
    """MinHash signatures of prompt and output: uint32, shape (128,), little-endian bytes."""

    prompt: bytes
    output: bytes

    def bands(self) -> list[str]:
        """`BANDS` keys, 16 hex digits each, that a like sample shares at least one of."""
        signatures = np.frombuffer(self.prompt + self.output, "<u4").reshape(2, PERMUTATIONS)[:, : BANDS * ROWS]
        sums = (signatures.reshape(2, BANDS, ROWS) * _PLACES).sum(axis=(0, 2), dtype=np.uint64)
        keys = _mixed(sums).astype(">u8").tobytes().hex()
        return [keys[start : start + 16] for start in range(0, BANDS * 16, 16)]


class Duplicate(Struct, frozen=True):
    """Whose duplicate, and how similar: the lesser of prompt's and output's similarity."""

    of: str
    similarity: float


def fingerprints(samples: Sequence[tuple[str, str]]) -> list[Fingerprint]:
    """The signatures of each sample's prompt and output; several at once take half the time of one by one."""
    signatures = _signatures([text for sample in samples for text in sample])
    return [Fingerprint(*pair) for pair in zip(signatures[::2], signatures[1::2], strict=True)]


def fingerprint(prompt: str, output: str) -> Fingerprint:
    """The signatures of one sample."""
    return fingerprints([(prompt, output)])[0]


def similarity(one: Fingerprint, other: Fingerprint) -> float:
    """Estimated Jaccard similarity, in [0, 1]: the lesser of the prompts' and the outputs'."""
    return min(_jaccard(one.prompt, other.prompt), _jaccard(one.output, other.output))


def owner_token(sample_id: str, own: Fingerprint) -> str:
    """Who claims a band: the sample, with what it said when it claimed, since a correction changes that."""
    return f"{sample_id}#{hashlib.blake2b(own.prompt + own.output, digest_size=8).hexdigest()}"


def sample_of(token: str) -> str:
    """The sample id in an owner's token."""
    return token.rpartition("#")[0]


def decide(
    sample_id: str,
    own: Fingerprint,
    owners: Sequence[str],
    fingerprints: Mapping[str, Fingerprint],
    threshold: float = THRESHOLD,
) -> Duplicate | None:
    """The most similar owner of a band of this sample that is alike, or None; owners are tokens.

    A sample that owns all its bands is its own first. An owner whose fingerprint is gone cannot be compared and
    does not count.
    """
    others = sorted({owner for owner in owners if sample_of(owner) != sample_id and owner in fingerprints})
    alike = [Duplicate(sample_of(owner), similarity(own, fingerprints[owner])) for owner in others]
    best = max(alike, key=lambda duplicate: duplicate.similarity, default=None)
    return best if best is not None and best.similarity >= threshold else None


def shingle_hashes(texts: Sequence[str]) -> list[NDArray[np.uint32]]:
    """For each text the hash of each run of three words, case-folded, or of all of a shorter one: uint32, (runs,)."""
    words = [_WORD.findall(unicodedata.normalize("NFKC", text).casefold()) for text in texts]
    # A text of one or two words gets empty ones behind it; where one text ends and the next begins is left out below.
    padded = [[*run, *_NO_WORDS[len(run) :]] if 0 < len(run) < SHINGLE_WORDS else run for run in words]
    hashes = _mixed(np.fromiter(map(crc32, " ".join(chain.from_iterable(padded)).encode().split(b" ")), np.uint64))
    runs = max(0, len(hashes) - SHINGLE_WORDS + 1)
    sums: NDArray[np.uint64] = sum(hashes[at : at + runs] * _MULTIPLIERS[at] for at in range(SHINGLE_WORDS))
    shingles, start, found = (sums >> np.uint64(32)).astype(np.uint32), 0, []
    for run in padded:
        found.append(shingles[start : start + max(0, len(run) - SHINGLE_WORDS + 1)])
        start += len(run)
    return found


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finalizer: every bit of the input changes about half of the output's."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


def _signatures(texts: Sequence[str]) -> list[bytes]:
    signatures = []
    for hashes in shingle_hashes(texts):
        sketch = _EMPTY.copy()
        for start in range(0, len(hashes), _AT_ONCE):
            sketch.update_batch(hashes[start : start + _AT_ONCE].tolist())
        signatures.append(np.asarray(sketch.hashvalues, dtype="<u4").tobytes())
    return signatures


def _jaccard(one: bytes, other: bytes) -> float:
    left: NDArray[np.uint32] = np.frombuffer(one, dtype="<u4")
    return float(np.mean(left == np.frombuffer(other, dtype="<u4")))
