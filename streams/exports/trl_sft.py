"""`trl-sft`: `{"prompt", "completion", "tools", "meta"}`, TRL's conversational prompt-completion."""

from __future__ import annotations

from streams.exports.checks import check_trl_sft
from streams.exports.format import Line, SampleFormat
from streams.exports.rows import Exported
from streams.exports.trl import prompted, with_meta


def line(row: Exported) -> Line:
    """Prompt and answer."""
    return prompted(row, completion=row.answer)


FORMAT = SampleFormat("trl-sft", "good", line, check_trl_sft, with_meta)
