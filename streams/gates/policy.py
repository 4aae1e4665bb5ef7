"""Policy: what must not be said. Term lists decide; a classifier gives a value and decides only if it may."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from schemas.curation import Policing
from schemas.outcomes import GateOutcome
from schemas.reasons import Reason
from streams.gates import Candidate, Gate

Classifier = Callable[[str], float]
"""The probability in [0, 1] that a text is harmful."""

Scope = Callable[[Candidate], str]
_SCOPES: Final[dict[str, Scope]] = {
    "output": lambda sample: sample.output,
    "prompt": lambda sample: sample.prompt,
    "both": lambda sample: f"{sample.prompt}\n{sample.output}",
}

_UNSPACED: Final = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN: Final = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
"""A word, or a character of a script without spaces, so that a term is found within a run of them."""


def tokens(text: str) -> list[str]:
    """The words of a text or term; case and punctuation say nothing."""
    return _TOKEN.findall(text.casefold())


class Terms:
    """Words and phrases by category, found in one look a word, however long the lists are."""

    def __init__(self, categories: Mapping[str, tuple[str, ...]]) -> None:
        """Raises `ValueError` for a term without a letter or digit."""
        self._by_first: dict[str, set[tuple[tuple[str, ...], str]]] = {}
        for category, terms in categories.items():
            for term in terms:
                first, *rest = tokens(term) or [""]
                if not first:
                    raise ValueError(f"a term of {category} has no letter or digit")
                self._by_first.setdefault(first, set()).add((tuple(rest), category))

    def found(self, text: str) -> dict[str, int]:
        """How many terms of each category a text has, categories by name."""
        words = tokens(text)
        if self._by_first.keys().isdisjoint(words):
            return {}
        counts: dict[str, int] = {}
        for place, word in enumerate(words, start=1):
            for rest, category in self._by_first.get(word, ()):
                if tuple(words[place : place + len(rest)]) == rest:
                    counts[category] = counts.get(category, 0) + 1
        return dict(sorted(counts.items()))


class Policy(Gate):
    """Drops what has a term of the lists."""

    name = "policy"
    family = "safety"
    unit = "terms"

    def __init__(self, rules: Policing, terms: Terms | None) -> None:
        self._text = _SCOPES[rules.scope]
        self._terms = terms
        self.idle = terms is None
        self.wants = "none" if terms is not None else "any, there is no list"

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`. The detail has the categories."""
        if self._terms is None:
            return self.outcome()
        found = self._terms.found(self._text(sample))
        return self.outcome(float(sum(found.values())), Reason.POLICY if found else None, ", ".join(found) or None)


class PolicyModel(Gate):
    """Records what a classifier says; drops from the configured threshold on."""

    name = "policy_model"
    family = "safety"
    unit = "probability of harm"

    def __init__(self, rules: Policing, classifier: Classifier) -> None:
        self._text = _SCOPES[rules.scope]
        self._classifier = classifier
        self._threshold = rules.threshold
        self.wants = "any, it is a signal" if rules.threshold is None else f"below {rules.threshold:g}"

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`. Raises `ValueError` for a classifier's value outside [0, 1]."""
        value = float(self._classifier(self._text(sample)))
        if not 0 <= value <= 1:
            raise ValueError("a classifier must give a probability in [0, 1]")
        drops = self._threshold is not None and value >= self._threshold
        return self.outcome(round(value, 4), Reason.POLICY if drops else None)
