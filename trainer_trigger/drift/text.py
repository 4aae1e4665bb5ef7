"""The text feature: hashed character n-grams, and the random features whose mean embeds a distribution.

A text becomes a vector (`Featuriser`), its vector of unit length a point, and the point the random Fourier features of
a Gaussian kernel (Rahimi and Recht, 2007), with orthogonal frequencies (Yu et al., 2016). The distance between the
means of two sets of such features is their maximum mean discrepancy (MMD; Gretton et al., 2012). Nothing is fitted to
the rows, so a text's features are its own and can be kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from trainer_trigger.drift.errors import FeaturiserError

Floats = NDArray[np.float32]
_Hashes = NDArray[np.uint64]

WIDTH: Final = 512
NGRAMS: Final = (3, 4, 5)

READ_CHARS: Final = 4_096
"""Read of a text: half of them at its beginning, half at its end. What a text costs is bounded by it."""

FREQUENCIES: Final = 512
BANDWIDTH: Final = 1.0
"""Of the kernel, on points of unit length: about the median distance of two texts' n-grams. Where all points are much
closer, as with some embeddings, the kernel is nearly linear, and the test compares means."""

_AT_ONCE: Final = 512
"""Texts featurised at once: bounds memory."""

_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = np.uint64(0xBF58476D1CE4E5B9)
_SIGN: Final = np.uint64(16)


class Featuriser(Protocol):
    """Texts to vectors, for example an embedding model. The same text must give the same vector."""

    @property
    def name(self) -> str:
        """Model and version. Outcomes of featurisers of different names are not compared."""
        ...

    def __call__(self, texts: Sequence[str]) -> Floats:
        """float32 of shape (len(texts), width); the width is always the same."""
        ...


class HashedNgrams:
    """Counts of character 3- to 5-grams, damped by the logarithm, each added or subtracted at one of 512 places.

    Which place and sign is a hash's: a random projection (feature hashing; Weinberger et al., 2009).
    """

    name = f"ngrams-1:c{NGRAMS[0]}-{NGRAMS[-1]}-{WIDTH}"

    def __call__(self, texts: Sequence[str]) -> Floats:
        """float32 of shape (len(texts), 512); zeros for a text without n-grams."""
        found = np.zeros((len(texts), WIDTH), np.float32)
        for place, text in enumerate(texts):
            ngrams, counts = np.unique(_ngrams(text), return_counts=True)
            signs = ((ngrams >> _SIGN) & np.uint64(1)).astype(np.float64) * 2 - 1
            at = (ngrams % np.uint64(WIDTH)).astype(np.intp)
            found[place] = np.bincount(at, weights=signs * (1 + np.log(counts)), minlength=WIDTH)
        return found


def features(texts: Sequence[str], featuriser: Featuriser) -> Iterable[Floats]:
    """Random features of the texts, batch by batch: float32 of shape (texts of the batch, 2 · FREQUENCIES).

    Raises:
        FeaturiserError: the featuriser's answer has another shape, or values that are not finite.
    """
    frequencies: Floats | None = None
    for start in range(0, len(texts), _AT_ONCE):
        batch = texts[start : start + _AT_ONCE]
        points = np.array(featuriser(batch), np.float32)
        if points.ndim != 2 or len(points) != len(batch) or points.shape[1] == 0:
            raise FeaturiserError(
                f"{featuriser.name} answered shape {points.shape} for {len(batch)} texts; it must be (texts, width)"
            )
        if frequencies is None:
            frequencies = _frequencies(points.shape[1])
        elif len(frequencies) != points.shape[1]:
            raise FeaturiserError(
                f"{featuriser.name} answered width {points.shape[1]} and before {len(frequencies)}; it must not change"
            )
        if not np.isfinite(points).all():
            raise FeaturiserError(f"{featuriser.name} answered values that are not finite")
        largest = np.abs(points).max(axis=1, keepdims=True)
        points /= np.where(largest > 0, largest, np.float32(1))  # so that no square overflows
        lengths = np.linalg.norm(points, axis=1, keepdims=True)
        phases = (points / np.where(lengths > 0, lengths, np.float32(1))) @ frequencies
        found: Floats = np.concatenate([np.cos(phases), np.sin(phases)], axis=1)
        yield found / np.float32(math.sqrt(FREQUENCIES))


def shortened(text: str) -> str:
    """What is read of a text: all of it, or its beginning and its end."""
    return text if len(text) <= READ_CHARS else f"{text[: READ_CHARS // 2]} {text[-READ_CHARS // 2 :]}"


@lru_cache(maxsize=4)
def _frequencies(width: int) -> Floats:
    """(width, FREQUENCIES): orthogonal blocks whose lengths are those of Gaussian vectors; the same every time."""
    rng = np.random.default_rng(width)
    some = min(width, FREQUENCIES)
    blocks = []
    for _ in range(-(-FREQUENCIES // width)):
        directions, _ = np.linalg.qr(rng.standard_normal((width, some)))
        blocks.append(directions * np.sqrt(rng.chisquare(width, some)))
    return (np.concatenate(blocks, axis=1)[:, :FREQUENCIES] / BANDWIDTH).astype(np.float32)


def _ngrams(text: str) -> _Hashes:
    """A hash of each n-gram, of all lengths one after another; case and white space do not count."""
    plain = " ".join(shortened(text).lower().split())
    if not plain:
        return np.empty(0, np.uint64)
    chars = np.frombuffer(f" {plain} ".encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    found = []
    for length in NGRAMS:
        count = len(chars) - length + 1
        if count > 0:
            rolled = np.full(count, length, np.uint64)
            for offset in range(length):
                rolled = (rolled ^ chars[offset : offset + count]) * _ODD
                rolled ^= rolled >> np.uint64(29)
            rolled *= _MIX
            found.append(rolled ^ (rolled >> np.uint64(32)))
    return np.concatenate(found)
