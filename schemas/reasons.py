"""Why something was dropped: one closed enum, the same in the metric, the row and the test."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Every reason for which an event or an interaction leaves the way to a sample."""

    # Dead letters: the event itself cannot be processed.
    UNDECODABLE = "undecodable"
    UNKNOWN_SCHEMA = "unknown_schema"
    INVALID_EVENT = "invalid_event"
    OVERSIZE = "oversize"
    UNKNOWN_TENANT = "unknown_tenant"
    REDACTION_FAILED = "redaction_failed"
    STAGE_FAILED = "stage_failed"

    # Rejections of one event; the interaction that it names stays as it was.
    ID_CONFLICT = "id_conflict"
    BURST_HELD = "burst_held"

    # Safety: the interaction must not be trained on.
    CONSENT_MISSING = "consent_missing"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    REVIEW_REJECTED = "review_rejected"
    PII_BARRED = "pii_barred"
    PII_RESIDUAL = "pii_residual"
    POLICY = "policy"

    # Quality: the interaction is no use.
    EMPTY_PROMPT = "empty_prompt"
    EMPTY_OUTPUT = "empty_output"
    TOO_LONG = "too_long"
    FEEDBACK_RETRACTED = "feedback_retracted"
    NO_FEEDBACK = "no_feedback"
    TOO_SHORT = "too_short"
    BAD_FORMAT = "bad_format"
    TRUNCATED = "truncated"
    LANGUAGE = "language"
    REPETITION = "repetition"
    LOW_QUALITY = "low_quality"
    PLUGIN = "plugin"


DEAD_LETTER_REASONS = frozenset(
    {
        Reason.UNDECODABLE,
        Reason.UNKNOWN_SCHEMA,
        Reason.INVALID_EVENT,
        Reason.OVERSIZE,
        Reason.UNKNOWN_TENANT,
        Reason.REDACTION_FAILED,
        Reason.STAGE_FAILED,
    }
)
