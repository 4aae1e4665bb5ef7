"""Gradient descent for the network, in numpy: Adam over mini-batches of texts laid end to end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from streams.redaction.names.features import PAD, ROWS, features, shape
from streams.redaction.names.lexicon import Lexicon
from streams.redaction.names.network import CASINGS, NEAR, REACH, SHAPES, Weights, casings
from streams.redaction.names.training.corpus import Example

WIDTH: Final = 48
HIDDEN: Final = 64
CLASSES: Final = 4
BATCH_TOKENS: Final = 1500
RATE: Final = 0.003
DROPOUT: Final = 0.5
NO_WORD: Final = 0.4
"""How often a word's own features are dropped in a batch: its form, its lists and what is around it must do."""
NO_LISTS: Final = 0.15
NO_FEATURE: Final = 0.4
"""How often any one feature of a word is dropped in a batch."""
MIN_SEEN: Final = 3
"""A feature of fewer different words than this stays at zero."""
DECAY: Final = 0.02

_START: Final = np.zeros(1, np.int64)

Floats = npt.NDArray[np.float32]


@dataclass
class _Moments:
    first: Floats
    second: Floats


def train(examples: list[Example], lexicon: Lexicon, epochs: int, seed: int, progress: Any = None) -> Weights:
    """The averaged weights of the last epochs, embeddings rounded to int8."""
    chance = np.random.default_rng(seed)
    table = _FeatureTable(examples, lexicon)
    parameters: dict[str, Floats] = {
        "embeddings": _random(chance, (ROWS, WIDTH), 200) * table.keep[:, None],
        "first": _random(chance, (2 * NEAR + 1, WIDTH, HIDDEN), WIDTH * 2),
        "casing": np.zeros((CASINGS, HIDDEN), np.float32),
        "second": _random(chance, (3, HIDDEN, HIDDEN), HIDDEN * 3),
        "second_bias": np.zeros(HIDDEN, np.float32),
        "topic": _random(chance, (HIDDEN, HIDDEN), HIDDEN * 8),
        "out": _random(chance, (HIDDEN, CLASSES), HIDDEN),
        "out_bias": np.zeros(CLASSES, np.float32),
    }
    moments = {name: _Moments(np.zeros_like(value), np.zeros_like(value)) for name, value in parameters.items()}
    averages = {name: np.zeros_like(value) for name, value in parameters.items()}
    averaged = step = 0
    for epoch in range(epochs):
        batches = _batches(examples, chance)
        total = 0.0
        for number, batch in enumerate(batches):
            step += 1
            done = (epoch + number / len(batches)) / epochs
            rate = RATE * min(step / 200, 1.0) * (0.5 + 0.5 * float(np.cos(np.pi * done)))
            laid = _batch([examples[index] for index in batch], table, chance)
            loss, gradients = _backward(parameters, laid, _forward(parameters, laid, chance))
            total += loss
            _update(parameters, moments, gradients, laid.rows, rate, step)
            if done > 0.6 and step % 20 == 0:
                averaged += 1
                for name, value in parameters.items():
                    averages[name] += (value - averages[name]) / averaged
        if progress is not None:
            progress(epoch, total / max(len(batches), 1))
    return _weights(averages if averaged else parameters)


class _FeatureTable:
    """Features of every training word, full and with parts dropped; rare features are left out."""

    def __init__(self, examples: list[Example], lexicon: Lexicon) -> None:
        words = sorted({word for example in examples for word in example.words} | {PAD})
        self.ids = {word: index for index, word in enumerate(words)}
        self.shapes = np.array([SHAPES.get(shape(word), 0) if word.strip() else 0 for word in words], np.int8)
        variants = [
            [features(word, lexicon, lexical=lexical, listed=listed) for word in words]
            for lexical, listed in ((True, True), (False, True), (True, False), (False, False))
        ]
        seen = np.zeros(ROWS, np.int32)
        for row in variants[0]:
            seen[list(set(row))] += 1
        often = np.zeros(ROWS, np.int64)
        for example in examples:
            for word in example.words:
                often[variants[0][self.ids[word]]] += 1
        self.keep = (seen >= MIN_SEEN) | (often >= 8)
        self._variants = [
            [np.array([slot for slot in row if self.keep[slot]], np.int32) for row in variant] for variant in variants
        ]

    def matrix(self, words: npt.NDArray[np.int64], chance: np.random.Generator) -> tuple[Any, npt.NDArray[np.int64]]:
        """Sparse (len(words), touched rows), and those rows."""
        variant = (chance.random(len(words)) < NO_WORD) + 2 * (chance.random(len(words)) < NO_LISTS)
        parts = [self._variants[which][word] for which, word in zip(variant.tolist(), words.tolist(), strict=True)]
        ends = np.cumsum([0, *(len(part) for part in parts)])
        rows, columns = np.unique(np.concatenate(parts), return_inverse=True)
        values = (chance.random(len(columns), np.float32) >= NO_FEATURE).astype(np.float32) / (1 - NO_FEATURE)
        return sparse.csr_matrix((values, columns.ravel(), ends), shape=(len(words), len(rows))), rows.astype(np.int64)


def _batches(examples: list[Example], chance: np.random.Generator) -> list[list[int]]:
    batches: list[list[int]] = [[]]
    size = 0
    for index in chance.permutation(len(examples)).tolist():
        size += len(examples[index].words) + REACH
        batches[-1].append(index)
        if size > BATCH_TOKENS:
            batches.append([])
            size = 0
    return [batch for batch in batches if batch]


@dataclass
class _Batch:
    """Texts end to end with `REACH` pads between: hidden row i is token i + NEAR, deep row i is token i + REACH."""

    inverse: npt.NDArray[np.intp]  # (tokens,) index into the batch's different words
    features: Any  # sparse (different words, touched rows)
    rows: npt.NDArray[np.int64]  # touched rows of the embedding table
    casings: npt.NDArray[np.int64]  # (hidden rows,)
    texts: npt.NDArray[np.int64]  # (deep rows,) which text
    members: Any  # sparse (texts, hidden rows): the share of each row in its text's mean
    targets: Floats  # (deep rows, CLASSES)
    weights: Floats  # (deep rows,)


def _batch(examples: list[Example], table: _FeatureTable, chance: np.random.Generator) -> _Batch:
    pad = [table.ids[PAD]] * REACH
    gap = np.zeros((REACH, CLASSES), np.float32)
    ids = list(pad)
    modes = [0] * REACH
    texts = [0] * REACH
    targets: list[Floats] = []
    weights: list[Floats] = []
    for index, example in enumerate(examples):
        own = [table.ids[word] for word in example.words]
        ids += own + pad
        modes += [int(casings(table.shapes[own], _START)[0]) if own else 0] * (len(own) + REACH)
        texts += [index] * (len(own) + REACH)
        targets += [example.targets, gap]
        weights += [example.weights, gap[:, 0]]
    unique, inverse = np.unique(np.array(ids), return_inverse=True)
    matrix, rows = table.matrix(unique, chance)
    hidden, deep = len(ids) - 2 * NEAR, len(ids) - 2 * REACH
    return _Batch(
        inverse.ravel(),
        matrix,
        rows,
        np.array(modes)[NEAR : NEAR + hidden],
        np.array(texts)[REACH : REACH + deep],
        _members(examples, hidden),
        np.concatenate(targets)[:deep],
        np.concatenate(weights)[:deep],
    )


@dataclass
class _Activations:
    inputs: Floats
    hidden: Floats
    hidden_kept: Floats  # what dropout keeps, scaled
    topics: Floats
    deep: Floats
    deep_kept: Floats
    probabilities: Floats


def _forward(parameters: dict[str, Floats], batch: _Batch, chance: np.random.Generator) -> _Activations:
    inputs = (batch.features @ parameters["embeddings"][batch.rows])[batch.inverse]
    count = len(batch.casings)
    hidden = parameters["casing"][batch.casings].copy()
    for offset in range(2 * NEAR + 1):
        hidden += inputs[offset : offset + count] @ parameters["first"][offset]
    np.maximum(hidden, 0, out=hidden)
    hidden_kept = _kept(hidden.shape, chance)
    dropped = hidden * hidden_kept
    topics = batch.members @ dropped
    count -= 2
    deep = (parameters["second_bias"] + topics @ parameters["topic"])[batch.texts]
    for offset in range(3):
        deep += dropped[offset : offset + count] @ parameters["second"][offset]
    np.maximum(deep, 0, out=deep)
    deep_kept = _kept(deep.shape, chance)
    scores = (deep * deep_kept) @ parameters["out"] + parameters["out_bias"]
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return _Activations(inputs, hidden, hidden_kept, topics, deep, deep_kept, scores)


def _backward(parameters: dict[str, Floats], batch: _Batch, made: _Activations) -> tuple[float, dict[str, Floats]]:
    """The weighted mean cross-entropy, and its gradient by parameter; that of the embeddings for `batch.rows` only."""
    norm = max(float(batch.weights.sum()), 1.0)
    loss = float(-(batch.weights[:, None] * batch.targets * np.log(made.probabilities + 1e-9)).sum()) / norm
    back = (made.probabilities - batch.targets) * (batch.weights / norm)[:, None]
    gradients: dict[str, Floats] = {"out": (made.deep * made.deep_kept).T @ back, "out_bias": back.sum(axis=0)}
    back = (back @ parameters["out"].T) * made.deep_kept * (made.deep > 0)
    gradients["second_bias"] = back.sum(axis=0)
    dropped = made.hidden * made.hidden_kept
    gradients["second"] = np.stack([dropped[offset : offset + len(back)].T @ back for offset in range(3)])
    topics_back = _sum_by(batch.texts, len(made.topics)) @ back
    gradients["topic"] = made.topics.T @ topics_back
    hidden_back = batch.members.T @ (topics_back @ parameters["topic"].T)
    for offset in range(3):
        hidden_back[offset : offset + len(back)] += back @ parameters["second"][offset].T
    hidden_back *= made.hidden_kept * (made.hidden > 0)
    gradients["casing"] = _sum_by(batch.casings, CASINGS) @ hidden_back
    inputs, count = made.inputs, len(hidden_back)
    gradients["first"] = np.stack([inputs[offset : offset + count].T @ hidden_back for offset in range(2 * NEAR + 1)])
    inputs_back = np.zeros_like(inputs)
    for offset in range(2 * NEAR + 1):
        inputs_back[offset : offset + count] += hidden_back @ parameters["first"][offset].T
    words_back = _sum_by(batch.inverse, batch.features.shape[0]) @ inputs_back
    gradients["embeddings"] = batch.features.T @ words_back
    return loss, gradients


def _kept(shape: tuple[int, ...], chance: np.random.Generator) -> Floats:
    return (chance.random(shape, np.float32) > DROPOUT).astype(np.float32) / np.float32(1 - DROPOUT)


def _sum_by(groups: npt.NDArray[Any], count: int) -> Any:
    """Sparse (count, len(groups)): sums the rows of each group when it is multiplied with them."""
    ones = np.ones(len(groups), np.float32)
    return sparse.csr_matrix((ones, (groups, np.arange(len(groups)))), shape=(count, len(groups)))


def _members(examples: list[Example], count: int) -> Any:
    """Sparse (texts, hidden rows): the share of each row in its text's mean, a row beyond each end included."""
    rows: list[int] = []
    columns: list[int] = []
    shares: list[float] = []
    start = 0
    for text, example in enumerate(examples):
        covered = len(example.words) + 2
        rows += [text] * covered
        columns += range(start, start + covered)
        shares += [1 / covered] * covered
        start += len(example.words) + REACH
    return sparse.csr_matrix((np.array(shares, np.float32), (rows, columns)), shape=(len(examples), count))


def _update(
    parameters: dict[str, Floats],
    moments: dict[str, _Moments],
    gradients: dict[str, Floats],
    rows: npt.NDArray[np.int64],
    rate: float,
    step: int,
) -> None:
    correction = float(np.sqrt(1 - 0.999**step) / (1 - 0.9**step))
    for name, gradient in gradients.items():
        moment = moments[name]
        where = rows if name == "embeddings" else slice(None)
        first = 0.9 * moment.first[where] + 0.1 * gradient
        second = 0.999 * moment.second[where] + 0.001 * gradient * gradient
        moment.first[where] = first
        moment.second[where] = second
        change = rate * correction * first / (np.sqrt(second) + 1e-8)
        parameters[name][where] = parameters[name][where] * (1 - rate * DECAY) - change


def _random(chance: np.random.Generator, size: tuple[int, ...], fan: int) -> Floats:
    return np.asarray(chance.standard_normal(size) * np.sqrt(2 / fan), np.float32)


def _weights(parameters: dict[str, Floats]) -> Weights:
    table = parameters["embeddings"]
    scale = np.maximum(np.abs(table).max(axis=0), 1e-6) / 127
    rounded = np.rint(table / scale).astype(np.int8)
    used = np.flatnonzero(np.any(rounded != 0, axis=1))
    slots = np.zeros(ROWS, np.int32)
    slots[used] = np.arange(1, len(used) + 1)
    kept = np.concatenate([np.zeros((1, table.shape[1]), np.int8), rounded[used]])
    rest = {name: value for name, value in parameters.items() if name != "embeddings"}
    return Weights(embeddings=kept, scale=scale.astype(np.float32), slots=slots, **rest)
