"""Grounding: names and numbers that the answer has and the prompt has not. A signal: much that is true is new."""

from __future__ import annotations

import re
from typing import Final

from schemas.outcomes import GateOutcome
from streams.gates import Candidate, Gate

MANY: Final = 10
"""So many are a grade of 0."""

_NUMBER: Final = re.compile(r"\d+(?:[.,:/]\d+)*")
_NAME: Final = re.compile(r" (?<=[a-zß-ÿ,;)] )([A-Z]\w+)")
"""A capitalised word within a sentence: after a small letter or a comma and a space. Elsewhere it begins a sentence."""


class Grounding(Gate):
    """Counts the names and numbers of an answer that its prompt does not have, each once."""

    name = "grounding"
    unit = "names and numbers that the prompt has not"
    wants = f"few, {MANY} and more are the worst"

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`."""
        output, prompt = sample.output, sample.prompt
        numbers = set(_NUMBER.findall(output))
        if numbers:
            numbers.difference_update(_NUMBER.findall(prompt))
        names = set(_NAME.findall(output))
        if names:
            asked = prompt.lower()
            names = {name for name in names if name.lower() not in asked}
        count = len(numbers) + len(names)
        return self.outcome(float(count), detail=f"{len(names)} names, {len(numbers)} numbers" if count else None)

    def grade(self, value: float) -> float:
        """See `Gate.grade`."""
        return max(0.0, 1 - value / MANY)
