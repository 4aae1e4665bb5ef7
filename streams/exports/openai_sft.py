"""`openai-sft`: `{"messages", "tools"}`; only the answer that was judged is trained on."""

from __future__ import annotations

from streams.exports.chat import for_openai, tools_of
from streams.exports.checks import check_openai_sft
from streams.exports.format import Line, SampleFormat
from streams.exports.rows import Exported


def line(row: Exported) -> Line:
    """Earlier answers of the conversation get weight 0: nobody judged them."""
    *prompt, answer = for_openai(row.sample.messages)
    before = [{**message, "weight": 0} if message["role"] == "assistant" else message for message in prompt]
    tools = tools_of(row.sample.tools)
    return {"messages": [*before, answer], **({"tools": tools} if tools else {})}


FORMAT = SampleFormat("openai-sft", "good", line, check_openai_sft, None)
