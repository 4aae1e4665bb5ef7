"""Labels for dialogues that nobody labelled: what is surely no name, and what a first network is sure of."""

from __future__ import annotations

import random
import re
from collections.abc import Container, Iterator
from typing import Final

import numpy as np

from streams.redaction.names import tokens
from streams.redaction.names.features import features, shape
from streams.redaction.names.lexicon import Lexicon
from streams.redaction.names.network import Network, Weights
from streams.redaction.names.training.conll import Sentence
from streams.redaction.names.training.corpus import Example, tokenised
from streams.redaction.names.training.generate import Generator

SURE: Final = 0.9
WEIGHT: Final = 0.2
PIECE: Final = 400
"""Characters: transcripts are cut at line breaks into pieces of about this length, as the stream sees messages."""

_STANDS_FOR_NAME: Final = re.compile(
    r"\b(?:(?P<PERSON>[Hh]e|[Ss]he|him|they|them|[Ss]omeone|[Ss]omebody|everyone|"
    r"(?:my|your|the) (?:friend|wife|boss|guy|man|woman))"
    r"|(?P<LOCATION>the (?:city|country|state|town|world|area|house|street|park|beach|west|south)|"
    r"(?<=in )(?:school|prison|jail))"
    r"|(?P<ORGANIZATION>the (?:company|team|government|bank|store|school|police|hospital|army|media|show|internet)))\b"
)

_NOTHING: Final = np.eye(4, dtype=np.float32)[:1]


def lower_case(texts: list[str]) -> list[Example]:
    """Lower-case words of properly written pieces are no names; capitalised ones teach nothing yet."""
    examples = []
    for piece in _pieces(texts):
        words = tokens.words(piece)
        usual = sum(shape(word) == "title" for word in words) >= 2
        weights = [WEIGHT if usual and shape(word) not in {"title", "upper", "camel"} else 0.0 for word in words]
        examples.append(Example(words, _NOTHING[[0] * len(words)], np.array(weights, np.float32)))
    return examples


def populated(texts: list[str], generator: Generator, chance: random.Random) -> list[Example]:
    """Pieces where made-up people stand for pronouns, places for "the city" and organisations for "the company".

    Real sentences around known names: templates alone teach their own wording. A capitalised word that was there
    teaches nothing, as in `lower_case`.
    """
    examples = []
    for piece in _pieces(texts):
        text, end, spans = "", 0, []
        for match in _STANDS_FOR_NAME.finditer(piece):
            if chance.random() < 0.5:
                continue
            kind = str(match.lastgroup)
            value = _name(kind, generator)
            text += piece[end : match.start()]
            spans.append((len(text), len(text) + len(value), kind))
            text += value
            end = match.end()
        if not spans:
            continue
        text += piece[end:]
        if chance.random() < 0.25 and len(text.lower()) == len(text):
            text = text.lower()
        example = tokenised(Sentence(text, tuple(spans)), WEIGHT)
        outside = example.targets[:, 0] == 1
        capital = [shape(word) in {"title", "upper", "camel"} or text.islower() for word in example.words]
        example.weights[outside & np.array(capital)] = 0.0
        examples.append(example)
    return examples


def labelled(texts: list[str], weights: Weights, lexicon: Lexicon, common: Container[str]) -> list[Example]:
    """What the network is sure of, names and others; the rest teaches nothing. A word of `common` is no name."""
    network = Network(weights, lambda word: features(word, lexicon))
    examples = []
    for piece in _pieces(texts):
        words = tokens.words(piece)
        if not words:
            continue
        probabilities = network.probabilities([words])[0]
        probabilities[[word in common for word in words]] = _NOTHING
        sure = np.where(probabilities.max(axis=1) >= SURE, WEIGHT, 0.0).astype(np.float32)
        examples.append(Example(words, probabilities, sure))
    return examples


def _name(kind: str, generator: Generator) -> str:
    if kind == "PERSON":
        return generator.person()
    return generator.place() if kind == "LOCATION" else generator.organisation()


def _pieces(texts: list[str]) -> Iterator[str]:
    for text in texts:
        piece = ""
        for line in text.split("\n"):
            if len(piece) + len(line) > PIECE and piece:
                yield piece
                piece = ""
            piece += line + "\n"
        if piece.strip():
            yield piece
