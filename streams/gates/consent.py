"""Consent: sensitive content needs the person's explicit yes. A withdrawn consent is `stages.join`'s."""

from __future__ import annotations

from schemas.outcomes import GateOutcome
from schemas.reasons import Reason
from streams.gates import Candidate, Gate


class Consent(Gate):
    """Drops what is sensitive and was not explicitly agreed to."""

    name = "consent"
    family = "safety"
    wants = "an explicit yes where the content is sensitive"

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`."""
        joined = sample.normalised.joined
        refused = joined.interaction.sensitive and joined.consent is not True
        return self.outcome(reason=Reason.CONSENT_MISSING if refused else None)
