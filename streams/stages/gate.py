"""gate: what must not be trained on, and what is no use. Every gate's outcome is kept, passed or not."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from schemas.outcomes import GateOutcome
from schemas.reasons import Reason
from streams.stages import Drop, Keep
from streams.stages.normalise import Normalised, text_of

VERSION: Final = "gate-2"

MAX_CHARS: Final = 200_000
"""Longest prompt and answer together: about 50,000 tokens, beyond what a fine-tune takes in one sample."""

ONE_WORD_QUALITY: Final = 0.5
"""Quality of a one-word answer; it grows to 1 at `FULL_WORDS`. One word is enough for chat, but says little."""

FULL_WORDS: Final = 20


class Gated(Struct, frozen=True):
    """An interaction that passed, with all gate outcomes and its `quality` in [0, 1]."""

    normalised: Normalised
    gates: tuple[GateOutcome, ...]
    quality: float


def gate(normalised: Normalised, barred: frozenset[str] = frozenset()) -> Keep[Gated] | Drop:
    """Judge one interaction: safety first. Drops for the first gate that did not pass, keeping all outcomes.

    `barred` are the types of PII of which no sample may have held one, redacted or not.
    """
    joined = normalised.joined
    chars = len(normalised.output) + sum(len(text_of(message)) for message in normalised.messages[:-1])
    words = len(normalised.output.split())
    quality = min(1.0, ONE_WORD_QUALITY + (1 - ONE_WORD_QUALITY) * max(0, words - 1) / (FULL_WORDS - 1))
    unconsented = joined.interaction.sensitive and joined.consent is not True
    gates = (
        _outcome("consent", "safety", None if not unconsented else Reason.CONSENT_MISSING),
        _outcome(
            "pii", "safety", Reason.PII_BARRED if barred & joined.pii.keys() else None, float(sum(joined.pii.values()))
        ),
        _outcome("format", "quality", None),
        _outcome("length", "quality", Reason.TOO_LONG if chars > MAX_CHARS else None, float(chars)),
        _outcome("low_signal", "quality", None, quality),
    )
    for outcome in gates:
        if outcome.reason is not None:
            return Drop(outcome.reason, gates)
    return Keep(Gated(normalised, gates, quality))


def _outcome(name: str, family: str, reason: Reason | None, value: float | None = None) -> GateOutcome:
    return GateOutcome(name, "safety" if family == "safety" else "quality", reason is None, reason, value)
