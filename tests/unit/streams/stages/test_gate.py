"""gate: both sides of each threshold, and every outcome kept."""

from __future__ import annotations

from schemas.events import Interaction, Score
from schemas.reasons import Reason
from streams.stages import Drop, Keep
from streams.stages.gate import MAX_CHARS, Gated, gate
from streams.stages.join import Joined, Scored
from streams.stages.normalise import normalise
from tests.events import interaction


def _gate(body: Interaction, consent: bool | None = None) -> Keep[Gated] | Drop:
    scores = (Scored(Score("thumbs", value=1.0), 1, "thumb"),)
    normalised = normalise(Joined(body, scores, None, consent, {}))
    assert isinstance(normalised, Keep)
    return gate(normalised.record)


def test_sensitive_content_needs_an_explicit_yes() -> None:
    sensitive = interaction("Why?", "Because.", sensitive=True)
    refused = _gate(sensitive, consent=None)
    assert isinstance(refused, Drop)
    assert refused.reason == Reason.CONSENT_MISSING
    assert isinstance(_gate(sensitive, consent=True), Keep)


def test_other_content_needs_no_word_on_consent() -> None:
    assert isinstance(_gate(interaction("Why?", "Because.")), Keep)


def test_the_longest_sample_passes_and_one_character_more_does_not() -> None:
    assert isinstance(_gate(interaction("a" * (MAX_CHARS - 1), "b")), Keep)
    refused = _gate(interaction("a" * MAX_CHARS, "b"))
    assert isinstance(refused, Drop)
    assert refused.reason == Reason.TOO_LONG


def test_one_word_is_enough_and_twenty_are_full_quality() -> None:
    one, twenty = _gate(interaction("Why?", "Because.")), _gate(interaction("Why?", "word " * 20))
    assert isinstance(one, Keep)
    assert isinstance(twenty, Keep)
    assert (one.record.quality, twenty.record.quality) == (0.5, 1.0)


def test_all_outcomes_are_recorded_for_accepted_and_rejected_alike_safety_first() -> None:
    accepted = _gate(interaction("Why?", "Because."))
    refused = _gate(interaction("Why?", "Because.", sensitive=True))
    assert isinstance(accepted, Keep)
    assert isinstance(refused, Drop)
    names = ["consent", "pii", "format", "length", "low_signal"]
    assert [outcome.gate for outcome in accepted.record.gates] == names
    assert [outcome.gate for outcome in refused.gates] == names
    assert [outcome.family for outcome in refused.gates] == ["safety", "safety", "quality", "quality", "quality"]
    assert [outcome.passed for outcome in refused.gates] == [False, True, True, True, True]


def test_a_sample_that_held_a_barred_type_is_dropped_and_one_with_another_passes() -> None:
    body = interaction("Why?", "Because.")
    normalised = normalise(Joined(body, (Scored(Score("thumbs", value=1.0), 1, "thumb"),), None, None, {"US_SSN": 1}))
    assert isinstance(normalised, Keep)
    refused = gate(normalised.record, frozenset({"US_SSN", "URL"}))
    assert isinstance(refused, Drop)
    assert refused.reason == Reason.PII_BARRED
    assert isinstance(gate(normalised.record, frozenset({"URL"})), Keep)
