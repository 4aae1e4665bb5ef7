"""Form: the pattern that answers have, and the system prompt that frames them."""

from __future__ import annotations

import re

from schemas.curation import Profile
from schemas.outcomes import GateOutcome
from schemas.reasons import Reason
from streams.gates import Candidate, Gate
from streams.stages.forms import SYSTEM_ROLES, text_of


class Format(Gate):
    """Whether the profile's pattern is found in the answer; drops where it is required and is not."""

    name = "format"

    def __init__(self, profile: Profile) -> None:
        self._pattern = None if profile.format is None else re.compile(profile.format)
        self._required = profile.require_format
        self.idle = not self._required
        said = "any" if profile.format is None else f"the pattern {profile.format}"
        self.wants = f"{said}, required" if self._required else said

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`. The value is 1 where it is found."""
        if self._pattern is None or sample.only_calls:
            return self.outcome()
        found = self._pattern.search(sample.output) is not None
        return self.outcome(float(found), Reason.BAD_FORMAT if self._required and not found else None)

    def grade(self, value: float) -> float:
        """See `Gate.grade`."""
        return value


class SystemPrompt(Gate):
    """Whether there is a system prompt: without one a model may not learn what the task is."""

    name = "system_prompt"
    wants = "one"
    idle = True

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`. The value is 1 where there is one."""
        messages = sample.normalised.messages
        return self.outcome(float(any(each.role in SYSTEM_ROLES and text_of(each).strip() for each in messages)))

    def grade(self, value: float) -> float:
        """See `Gate.grade`."""
        return value
