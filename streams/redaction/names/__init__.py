"""Names of people, places and organisations in English chat text, tweets and forms; the model ships with the package.

text ─ tokens ─ features + lexicon ─ network ─ spans ─┐
  └───────────────── addresses ───────────────────────┴─ findings
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from streams.redaction import Finding
from streams.redaction.names import addresses, features, model_file, spans, tokens
from streams.redaction.names.network import Floats, Network

SUSPICION: Final = 0.2
"""A text in which the first network sees no name at this probability is not shown to the others."""

_NEW_WORDS: Final = 1 << 12


class NamesModel:
    """An `Analyzer` for PERSON, LOCATION and ORGANIZATION. Several threads may share one."""

    types: Final = frozenset(("PERSON", "LOCATION", "ORGANIZATION"))
    """See `Analyzer.types`."""

    def __init__(self, path: Path) -> None:
        """Reads a model file. Raises `SettingError` if it is missing or damaged."""
        lexicon, members, digest = model_file.load(path)
        self._lexicon = lexicon
        # One network asks soon after the other for the same new words.
        described = lru_cache(_NEW_WORDS)(lambda word: features.features(word, lexicon))
        self._networks = [Network(weights, described) for weights in members]
        rules = repr((digest, features.VERSION, tokens.PATTERN, addresses.PATTERNS, spans.RULES, SUSPICION))
        self._prepared: dict[str, list[Finding]] = {}
        self._version = hashlib.sha256(rules.encode()).hexdigest()[:16]

    @classmethod
    def bundled(cls) -> NamesModel:
        """The model that ships with the package."""
        return cls(model_file.BUNDLED)

    @property
    def version(self) -> str:
        """A hash of the model file and of the rules around it: equal versions find the same."""
        return self._version

    def prepare(self, texts: Iterable[str]) -> None:
        """See `Preparing.prepare`."""
        self._prepared = {}
        self._prepared = self._found(list(dict.fromkeys(texts)))

    def analyze(self, text: str) -> list[Finding]:
        """See `Analyzer.analyze`. Findings come in order and do not overlap."""
        found = self._prepared.get(text)
        return self._found([text])[text] if found is None else list(found)

    def _found(self, texts: Sequence[str]) -> dict[str, list[Finding]]:
        """What is found in each of some distinct texts."""
        words = {text: tokens.words(text) for text in texts}
        found: dict[str, list[Finding]] = {text: [] for text in texts}
        asked = [text for text in texts if words[text]]
        first = self._networks[0].probabilities([words[text] for text in asked])
        suspicious: dict[str, Floats] = {}
        for text, probabilities in zip(asked, first, strict=True):
            if probabilities[:, 0].min() > 1 - SUSPICION:
                found[text] = addresses.find(text)
            else:
                suspicious[text] = probabilities
        for network in self._networks[1:]:
            more = network.probabilities([words[text] for text in suspicious])
            for text, probabilities in zip(suspicious, more, strict=True):
                suspicious[text] = suspicious[text] + probabilities
        for text, total in suspicious.items():
            probabilities = total / np.float32(len(self._networks))
            names = []
            if probabilities[:, 0].min() < 1 - spans.LEAST:
                names = spans.find(words[text], probabilities, tokens.spans(text), self._lexicon)
            found[text] = addresses.joined(text, addresses.find(text), names)
        return found
