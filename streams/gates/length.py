"""Length: of all, in characters; of the answer, in words; and how much it says."""

from __future__ import annotations

from schemas.curation import Profile
from schemas.outcomes import GateOutcome
from schemas.reasons import Reason
from streams.gates import Candidate, Gate

ONE_WORD: float = 0.2
"""The grade of an answer of one word; it grows to 1 with every different word."""


class Length(Gate):
    """Drops what is longer than a fine-tune takes in one sample."""

    name = "length"
    unit = "characters of prompt and answer"

    def __init__(self, profile: Profile) -> None:
        self._most = profile.max_chars
        self.wants = f"at most {self._most}"

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`."""
        chars = len(sample.output) + len(sample.prompt)
        return self.outcome(float(chars), Reason.TOO_LONG if chars > self._most else None)


class Words(Gate):
    """Drops an answer with too few words or too many; grades whether it has as many as fit."""

    name = "words"
    unit = "words of the answer"

    def __init__(self, profile: Profile) -> None:
        self._least, self._most = profile.min_words, profile.max_words
        self._from, self._to = profile.fit_words
        self.idle = self._least == 0 and self._most is None
        self.wants = f"{self._from} to {self._to}, at least {self._least}, at most {self._most or 'any'}"

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`."""
        if sample.only_calls:
            return self.outcome()
        count = len(sample.words)
        if count < self._least:
            return self.outcome(float(count), Reason.TOO_SHORT)
        if self._most is not None and count > self._most:
            return self.outcome(float(count), Reason.TOO_LONG)
        return self.outcome(float(count))

    def grade(self, value: float) -> float:
        """See `Gate.grade`."""
        return 1.0 if self._from <= value <= self._to else 0.0


class LowSignal(Gate):
    """Grades how much an answer says: one word is enough for chat, but says little."""

    name = "low_signal"
    unit = "different words"

    def __init__(self, profile: Profile) -> None:
        self._full = profile.full_signal_words
        self.wants = f"{self._full} are a full answer"

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`. Without any letter or digit there is none."""
        if sample.only_calls:
            return self.outcome()
        return self.outcome(float(len(set(sample.words))) if any(map(str.isalnum, sample.output)) else 0.0)

    def grade(self, value: float) -> float:
        """See `Gate.grade`."""
        if value == 0:
            return 0.0
        return min(1.0, ONE_WORD + (1 - ONE_WORD) * (value - 1) / max(1, self._full - 1))
