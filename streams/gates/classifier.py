"""The bundled policy classifier: logistic regression over hashed words and pairs of words.

A word's hash is its bytes as a polynomial modulo 2^64, so that one cumulative sum gives the hashes of all words of a
text. The weights are in `policy_model.npz`; `docs/policy-model.md` is their card, `training` made them.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BUCKET_BITS: Final = 16
"""Words and pairs fall into 2^16 buckets."""

MOST_BYTES: Final = 20_000
"""So much of a text is read."""

_BASE: Final = 0x9E3779B97F4A7C15
"""Odd, so that it has an inverse modulo 2^64: 2^64 divided by the golden ratio, Knuth's multiplicative hash."""

_PAIR: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_MIX: Final = np.uint64(0xD6E8FEB86659FD93)
_MODEL: Final = Path(__file__).with_name("policy_model.npz")

_IS_WORD: Final = np.array([chr(byte).isalnum() or chr(byte) == "'" if byte < 128 else True for byte in range(256)])

Features = NDArray[np.uint64]


def _powers(base: int) -> NDArray[np.uint64]:
    """`base` to the power of 0, 1, … modulo 2^64; shape (MOST_BYTES + 2,)."""
    factors = np.full(MOST_BYTES + 2, base, dtype=np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)


_POWERS: Final = _powers(_BASE)
_INVERSES: Final = _powers(pow(_BASE, -1, 1 << 64))


def features(text: str) -> Features:
    """The buckets of a text's words and pairs of words, uint64 of shape (2 × words - 1,), or empty without words."""
    plain = text[:MOST_BYTES].replace("’", "'").lower().encode("utf-8", "replace")[:MOST_BYTES]
    read = np.frombuffer(b" %b " % plain, dtype=np.uint8)
    inside = _IS_WORD[read]
    edges = np.flatnonzero(inside[1:] != inside[:-1])  # the last byte before each word, the last byte of it
    if not len(edges):
        return np.zeros(0, dtype=np.uint64)
    sums = np.cumsum(read * _POWERS[: len(read)])[edges]
    words = (sums[1::2] - sums[::2]) * _INVERSES[edges[::2]]
    pairs = words[:-1] * _PAIR + words[1:]
    return np.concatenate((words, pairs)) * _MIX >> np.uint64(64 - BUCKET_BITS)


class LogisticRegression:
    """Weights a bucket; a text's are summed and divided by the root of their number, so that length says nothing."""

    def __init__(self, weights: NDArray[Any], bias: float) -> None:
        """`weights` float32 of shape (2^BUCKET_BITS,)."""
        self._weights = weights
        self._bias = bias

    def __call__(self, text: str) -> float:
        """The probability in [0, 1] that a text is harmful."""
        buckets = features(text)
        if not len(buckets):
            return 0.0
        logit = float(self._weights[buckets].sum()) / math.sqrt(len(buckets)) + self._bias
        return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0


@cache
def bundled() -> LogisticRegression:
    """The classifier of `policy_model.npz`."""
    with np.load(_MODEL) as model:
        return LogisticRegression(
            model["weights"].astype(np.float32) * np.float32(model["scale"]), float(model["bias"])
        )
