"""The network: two narrow convolutions over word rows, and a probability for each kind of name at each token.

row       (WIDTH,)           sum of the embeddings of a word's features
seen      (5, HIDDEN)        a row as each of five neighbours sees it, kept for words seen lately
hidden    (tokens, HIDDEN)   relu over five neighbours' sum, with a bias for the casing of the text
hidden    (tokens, HIDDEN)   relu over three neighbouring hidden vectors and the mean of all (the topic)
out       (tokens, 4)        softmax over nothing, person, location, organisation
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from threading import Lock
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from streams.redaction.names.features import PAD, shape

Floats = npt.NDArray[np.float32]

NEAR: Final = 2
"""Tokens to each side that the first convolution sees; the second sees one more."""

REACH: Final = NEAR + 1

BLOCK: Final = 72
"""Tokens in one matrix product: small enough that BLAS stays on the calling thread, and memory is bounded."""

REMEMBERED: Final = 1 << 15
"""Words that are kept; chat repeats its words, so nearly every token is one of them."""

CASINGS: Final = 3


@dataclass(frozen=True)
class Weights:
    """Trained parameters, float32. `embeddings` is (slots, width), `slots` int32 (ROWS,) maps a feature to its slot."""

    embeddings: npt.NDArray[np.int8]
    scale: Floats
    slots: npt.NDArray[np.int32]
    first: Floats  # (2·NEAR+1, width, hidden)
    casing: Floats  # (CASINGS, hidden)
    second: Floats  # (3, hidden, hidden)
    second_bias: Floats  # (hidden,)
    topic: Floats  # (hidden, hidden)
    out: Floats  # (hidden, 4)
    out_bias: Floats  # (4,)


class Network:
    """Weights with a bounded memory of words (40 MB when full), which threads may share."""

    def __init__(self, weights: Weights, features: Callable[[str], list[int]]) -> None:
        self._weights = weights
        self._features = features
        self._lock = Lock()
        self._seen: dict[str, int] = {}
        width = weights.first.shape[1]
        self._first = np.ascontiguousarray(weights.first.transpose(1, 0, 2)).reshape(width, -1)  # for one product
        self._seen_as = np.zeros((REMEMBERED, weights.first.shape[0], weights.first.shape[2]), np.float32)
        self._shapes = np.zeros(REMEMBERED, np.int8)

    def probabilities(self, words: Sequence[str]) -> Floats:
        """float32 (len(words), 4): nothing, person, location, organisation; each row sums to 1."""
        if len(words) <= BLOCK:
            return self._block([PAD] * REACH + list(words) + [PAD] * REACH)
        padded = [PAD] * REACH + list(words) + [PAD] * REACH
        parts = [self._block(padded[start : start + BLOCK + 2 * REACH]) for start in range(0, len(words), BLOCK)]
        return np.concatenate(parts)

    def _block(self, words: list[str]) -> Floats:
        weights = self._weights
        with self._lock:
            ids = self._ids(words)
            seen = self._seen_as[ids]
            mode = casing(self._shapes[ids])
        count = len(ids) - 2 * NEAR
        hidden = weights.casing[mode] + seen[:count, 0]
        for offset in range(1, 2 * NEAR + 1):
            hidden += seen[offset : offset + count, offset]
        np.maximum(hidden, 0, out=hidden)
        count -= 2
        deep = weights.second_bias + hidden.mean(axis=0) @ weights.topic + hidden[:count] @ weights.second[0]
        for offset in (1, 2):
            deep += hidden[offset : offset + count] @ weights.second[offset]
        np.maximum(deep, 0, out=deep)
        scores = deep @ weights.out + weights.out_bias
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        return cast(Floats, scores / scores.sum(axis=1, keepdims=True))

    def _ids(self, words: list[str]) -> list[int]:
        seen = self._seen
        try:
            return [seen[word] for word in words]
        except KeyError:
            if len(seen) > REMEMBERED - len(words):
                seen.clear()
            self._learn([word for word in dict.fromkeys(words) if word not in seen])
            return [seen[word] for word in words]

    def _learn(self, words: list[str]) -> None:
        weights = self._weights
        described = [self._features(word) for word in words]
        starts = [0, *accumulate(map(len, described))]
        slots = weights.slots[list(chain.from_iterable(described))]
        # Sums of integers, so that a word comes out the same whatever words are learned with it.
        rows = np.add.reduceat(weights.embeddings[slots], starts[:-1], axis=0, dtype=np.int32) * weights.scale
        for word, row in zip(words, rows, strict=True):
            place = self._seen[word] = len(self._seen)
            self._seen_as[place] = (row @ self._first).reshape(self._seen_as.shape[1:])
            self._shapes[place] = SHAPES.get(shape(word), 0) if word.strip() else 0


SHAPES: Final = {"lower": 1, "mixed": 1, "title": 2, "camel": 2, "upper": 3}


def casing(shapes: npt.NDArray[np.int8]) -> int:
    """How a block is written, from its tokens' `SHAPES`: 0 usual, 1 without capitals, 2 mostly in capitals."""
    lower, title, upper = np.bincount(shapes, minlength=4)[1:4]
    if title + upper == 0:
        return 1
    return 2 if upper > lower + title else 0
