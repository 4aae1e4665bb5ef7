"""`trl-kto`: `{"prompt", "completion", "label", "tools", "meta"}`, TRL's conversational unpaired preference."""

from __future__ import annotations

from typing import Final

from streams.exports.checks import check_trl_kto
from streams.exports.format import Line, SampleFormat
from streams.exports.rows import Exported
from streams.exports.trl import prompted, with_meta

NEUTRAL: Final = 0.5
"""A score that says neither good nor bad: left out, unless it was asked for as good."""


def line(row: Exported) -> Line:
    """The label is true for what a person wrote or liked: thumbs up, or a combined score in the upper half."""
    good = row.written or (row.sample.score is not None and row.sample.score >= NEUTRAL)
    return {**prompted(row, completion=row.answer), "label": good}


FORMAT = SampleFormat("trl-kto", "both", line, check_trl_kto, with_meta)
