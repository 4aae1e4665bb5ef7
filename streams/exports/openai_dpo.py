"""`openai-dpo`: `{"input", "preferred_output", "non_preferred_output"}`."""

from __future__ import annotations

from streams.exports.chat import for_openai, tools_of
from streams.exports.checks import check_openai_dpo
from streams.exports.format import Line, PairFormat
from streams.exports.rows import Pair


def line(pair: Pair) -> Line:
    """The chosen sample's prompt, which is the rejected one's too, and both answers."""
    tools = tools_of(pair.chosen.sample.tools)
    return {
        "input": {
            "messages": for_openai(pair.chosen.prompt),
            **({"tools": tools, "parallel_tool_calls": True} if tools else {}),
        },
        "preferred_output": for_openai([pair.chosen.answer]),
        "non_preferred_output": for_openai([pair.rejected_answer]),
    }


FORMAT = PairFormat("openai-dpo", line, check_openai_dpo, None)
