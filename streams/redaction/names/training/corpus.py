"""Everything the network learns from, as tokens with a label and a weight each."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streams.redaction.names import tokens
from streams.redaction.names.training.conll import Sentence, held_out, read
from streams.redaction.names.training.generate import Generator

KINDS: Final = ("", "PERSON", "LOCATION", "ORGANIZATION")
"""Label → finding type; 0 is no name."""


Floats = npt.NDArray[np.float32]


class Example(NamedTuple):
    """Tokens of a text, what each is (float32 (tokens, 4), as in `KINDS`) and its weight; weight 0 teaches nothing."""

    words: list[str]
    targets: Floats
    weights: Floats


def tokenised(sentence: Sentence, weight: float = 1.0, common: Container[str] = ()) -> Example:
    """Labels by overlap of token and span; a token such as a @handle or a URL is never a name.

    A lower-case word of an organisation's name that is in `common` teaches nothing: "target" is a shop in capitals.
    """
    words = tokens.words(sentence.text)
    labels: list[int] = []
    for word, (start, end) in zip(words, tokens.spans(sentence.text), strict=True):
        kind = next((kind for first, last, kind in sentence.spans if first < end and start < last), "")
        labels.append(0 if len(word) > 1 and (word[0] == "@" or "://" in word) else KINDS.index(kind))
    weights = [
        0.0 if KINDS[label] == "ORGANIZATION" and word in common else weight
        for word, label in zip(words, labels, strict=True)
    ]
    return Example(words, np.eye(len(KINDS), dtype=np.float32)[labels], np.array(weights, np.float32))


def human(paths: Iterable[Path]) -> list[Sentence]:
    """The sentences of CoNLL files, without those held out."""
    return [sentence for path in paths for sentence in read(path) if not held_out(sentence.text)]


def dialogue_texts(path: Path, *, held: bool) -> Iterator[str]:
    """Transcripts of a JSON-lines file (`chosen`), gzipped or not; `held` says which half, by the prompt's hash."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for line in content.splitlines():
        text = str(json.loads(line)["chosen"])
        prompt = text.partition("\n\nAssistant:")[0]
        if (hashlib.sha256(prompt.encode()).digest()[0] < 128) == held:
            yield text


def varied(sentence: Sentence, generator: Generator, chance: random.Random) -> Sentence:
    """A sentence with some names exchanged for others of their kind, and sometimes without its casing."""
    text, end, spans = "", 0, []
    for start, stop, kind in sentence.spans:
        text += sentence.text[end:start]
        value = sentence.text[start:stop]
        if chance.random() < 0.5:
            value = _like(value, _other(kind, generator))
        spans.append((len(text), len(text) + len(value), kind))
        text += value
        end = stop
    text += sentence.text[end:]
    roll = chance.random()
    changed = text.lower() if roll < 0.2 else text.upper() if roll < 0.25 else text
    return Sentence(changed if len(changed) == len(text) else text, tuple(spans))


def _other(kind: str, generator: Generator) -> str:
    if kind == "PERSON":
        return generator.person()
    return generator.place() if kind == "LOCATION" else generator.organisation()


def _like(original: str, value: str) -> str:
    if original.islower():
        return value.lower()
    return value.upper() if original.isupper() and len(original) > 4 else value
