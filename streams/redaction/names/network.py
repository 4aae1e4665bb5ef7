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
"""Tokens that share a topic."""

MULTIPLICATIONS: Final = 1 << 18
"""In one matrix product: with more, OpenBLAS would start threads, which then spin."""

TOGETHER: Final = 2_048
"""Tokens of several texts in one array, about: the arrays then fit the processor's cache."""

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

    def probabilities(self, texts: Sequence[Sequence[str]]) -> list[Floats]:
        """For the tokens of each text float32 (tokens, 4): nothing, person, location, organisation; rows sum to 1.

        Several texts at once take half the time of one after the other.
        """
        blocks: list[list[str]] = []
        for words in texts:
            padded = [PAD] * REACH + list(words) + [PAD] * REACH
            blocks += [padded[start : start + BLOCK + 2 * REACH] for start in range(0, max(1, len(words)), BLOCK)]
        rows: list[Floats] = []
        taken: list[list[str]] = []
        for block in blocks:
            taken.append(block)
            if sum(map(len, taken)) >= TOGETHER:
                rows += self._blocks(taken)
                taken = []
        if taken:
            rows += self._blocks(taken)
        of_blocks, found = iter(rows), []
        for words in texts:
            parts = [next(of_blocks) for _ in range(0, max(1, len(words)), BLOCK)]
            found.append(parts[0] if len(parts) == 1 else np.concatenate(parts))
        return found

    def _blocks(self, blocks: list[list[str]]) -> list[Floats]:
        """All blocks in one array, one after the other; what reaches over the end of a block is left out at the end."""
        weights = self._weights
        lengths = np.array([len(block) for block in blocks])
        starts = np.cumsum(lengths) - lengths
        with self._lock:
            ids = self._ids([word for block in blocks for word in block])
            seen = self._seen_as[ids]
            modes = casings(self._shapes[ids], starts)
        count = len(seen) - 2 * NEAR
        hidden = np.repeat(weights.casing[modes], lengths, axis=0)[:count]
        for offset in range(2 * NEAR + 1):
            hidden += seen[offset : offset + count, offset]
        np.maximum(hidden, 0, out=hidden)
        inner = lengths - 2 * NEAR
        # Sums from each block's first row to its last, and (left out) from there to the next block's first.
        edges = np.stack([starts, starts + inner], axis=1).ravel()[:-1]
        topics = cast(Floats, np.add.reduceat(hidden, edges, axis=0)[::2] / inner[:, np.newaxis].astype(np.float32))
        deep = np.repeat(weights.second_bias + _product(topics, weights.topic), lengths, axis=0)[: count - 2]
        for offset in range(3):
            deep += _product(hidden[offset : offset + len(deep)], weights.second[offset])
        np.maximum(deep, 0, out=deep)
        scores = _product(deep, weights.out) + weights.out_bias
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        ends = starts + lengths - 2 * REACH
        return [cast(Floats, scores[start:end]) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]

    def _ids(self, words: list[str]) -> list[int]:
        new = set(words).difference(self._seen)
        if new:
            if len(self._seen) + len(new) > REMEMBERED:
                self._seen.clear()
                new = set(words)
            self._learn(list(new))
        return list(map(self._seen.__getitem__, words))

    def _learn(self, words: list[str]) -> None:
        weights = self._weights
        described = [self._features(word) for word in words]
        starts = [0, *accumulate(map(len, described))]
        slots = weights.slots[list(chain.from_iterable(described))]
        # Sums of integers, so that a word comes out the same whatever words are learned with it.
        rows = np.add.reduceat(weights.embeddings[slots], starts[:-1], axis=0, dtype=np.int32) * weights.scale
        places = range(len(self._seen), len(self._seen) + len(words))
        part = slice(places.start, places.stop)
        self._seen_as[part] = _product(rows, self._first).reshape(len(words), *self._seen_as.shape[1:])
        self._shapes[part] = [SHAPES.get(shape(word), 0) if word.strip() else 0 for word in words]
        self._seen.update(zip(words, places, strict=True))


def _product(rows: Floats, weights: Floats) -> Floats:
    """`rows @ weights` in slices so small that BLAS stays on the calling thread."""
    product = np.empty((len(rows), weights.shape[1]), np.float32)
    step = MULTIPLICATIONS // weights.size
    for start in range(0, len(rows), step):
        np.matmul(rows[start : start + step], weights, out=product[start : start + step])
    return product


SHAPES: Final = {"lower": 1, "mixed": 1, "title": 2, "camel": 2, "upper": 3}


def casings(shapes: npt.NDArray[np.int8], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How each block is written, from its tokens' `SHAPES`: 0 usual, 1 without capitals, 2 mostly in capitals."""
    lower, title, upper = (np.add.reduceat(shapes == kind, starts, dtype=np.int64) for kind in (1, 2, 3))
    return np.where(title + upper == 0, 1, np.where(upper > lower + title, 2, 0))
