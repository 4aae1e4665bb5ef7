"""`trl-preference`: `{"prompt", "chosen", "rejected", "tools", "meta"}`, TRL's conversational preference."""

from __future__ import annotations

from streams.exports.checks import check_trl_preference
from streams.exports.format import Line, PairFormat
from streams.exports.rows import Pair
from streams.exports.trl import prompted, with_meta


def line(pair: Pair) -> Line:
    """The chosen sample's prompt, which is the rejected one's too, and both answers."""
    return prompted(pair.chosen, chosen=pair.chosen.answer, rejected=pair.rejected_answer)


FORMAT = PairFormat("trl-preference", line, check_trl_preference, with_meta)
