"""A check accepts what its consumer documents, and says what is wrong with everything else."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from streams.exports.checks import (
    check_openai_dpo,
    check_openai_sft,
    check_sample,
    check_trl_kto,
    check_trl_preference,
    check_trl_sft,
)

USER = {"role": "user", "content": "Is it raining in Graz?"}
YES = {"role": "assistant", "content": "Yes."}
NO = {"role": "assistant", "content": "No."}
ASK = {
    "role": "assistant",
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Graz"}'}},
        {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
    ],
}
RESULTS = [{"role": "tool", "tool_call_id": name, "content": "rain"} for name in ("c1", "c2")]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
SFT = {"messages": [{"role": "system", "content": "Be short."}, USER, ASK, *RESULTS, YES], "tools": TOOLS}
DPO = {
    "input": {"messages": [USER], "tools": [], "parallel_tool_calls": True},
    "preferred_output": [YES],
    "non_preferred_output": [NO],
}
TRL_ASK = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Graz"}}}],
}
TRL = {"prompt": [USER, TRL_ASK, RESULTS[0]], "completion": [YES], "tools": json.dumps(TOOLS), "meta": "{}"}
PREFERENCE = {"prompt": [USER], "chosen": [YES], "rejected": [NO]}
KTO = {"prompt": [USER], "completion": [YES], "label": False}
SAMPLE = {"instruction": "a", "input": "", "output": "b", "meta": {"sample_id": "t/i", "sources": [{}]}}

CHECKS: dict[str, tuple[Callable[[object], list[str]], dict[str, Any]]] = {
    "sample": (check_sample, SAMPLE),
    "sft": (check_openai_sft, SFT),
    "dpo": (check_openai_dpo, DPO),
    "trl": (check_trl_sft, TRL),
    "preference": (check_trl_preference, PREFERENCE),
    "kto": (check_trl_kto, KTO),
}


def _with(line: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy with the value at a path of keys and places; `...` takes it away."""
    changed = copy.deepcopy(line)
    *way, last = [int(step) if step.lstrip("-").isdigit() else step for step in path.split(".")]
    at: Any = changed
    for step in way:
        at = at[step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return changed


@pytest.mark.parametrize("name", CHECKS)
def test_a_documented_line_has_no_problem(name: str) -> None:
    check, line = CHECKS[name]
    assert check(line) == []


@pytest.mark.parametrize(
    "line",
    [
        {"messages": [USER, YES]},
        {"messages": [USER, {**NO, "weight": 0}, USER, {**YES, "weight": 1}]},
        {"messages": [USER, ASK], "parallel_tool_calls": False},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}, YES]},
        {"messages": [{**USER, "name": "ada"}, YES]},
    ],
)
def test_openai_takes_weights_a_call_as_the_answer_images_and_names(line: dict[str, Any]) -> None:
    assert check_openai_sft(line) == []


BROKEN: list[tuple[str, str, object, str]] = [
    ("sample", "instruction", ..., "instruction is missing"),
    ("sample", "output", " ", "output is empty"),
    ("sample", "input", None, "input is no text"),
    ("sample", "meta", {}, "meta lacks its lineage"),
    ("sample", "score", 1, "unknown"),
    ("sft", "meta", {}, "unknown"),
    ("sft", "messages", [], "no list of messages"),
    ("sft", "messages", [USER], "do not end with the assistant's"),
    ("sft", "messages", [USER, {**YES, "weight": 0}], "no assistant message is trained on"),
    ("sft", "messages.1.role", "human", "role is none of"),
    ("sft", "messages.1.content", None, "content is no text"),
    ("sft", "messages.1.weight", 1, "unknown"),
    ("sft", "messages.1.name", "<PERSON_1>", "may not be a name"),
    ("sft", "messages.1.content", [{"type": "input_audio"}], "neither text nor image"),
    ("sft", "messages.0.content", [{"type": "text", "text": "x"}], "content is no text"),
    ("sft", "messages.5.content", "", "says nothing"),
    ("sft", "messages.5.weight", 0.5, "neither 0 nor 1"),
    ("sft", "messages.5.weight", True, "neither 0 nor 1"),
    ("sft", "messages.2.tool_calls", [], "no list of calls"),
    ("sft", "messages.2.tool_calls.0.id", None, "no function call with an id"),
    ("sft", "messages.2.tool_calls.0.type", "code", "no function call"),
    ("sft", "messages.2.tool_calls.0.name", "x", "unknown"),
    ("sft", "messages.2.tool_calls.0.function.name", "a b", "no function's name"),
    ("sft", "messages.2.tool_calls.0.function.arguments", {}, "no JSON object as text"),
    ("sft", "messages.2.tool_calls.0.function.arguments", "[1]", "no JSON object as text"),
    ("sft", "messages.3", ..., "comes before a call is answered"),
    ("sft", "messages.3.tool_call_id", "c9", "answers no call before it"),
    ("sft", "messages.2", ..., "answers no call before it"),
    ("sft", "tools", "[]", "tools is no list"),
    ("sft", "tools.0.type", "code", "is no function"),
    ("sft", "tools.0.function.name", "", "no function's name"),
    ("sft", "tools.0.function.parameters", "x", "no JSON schema"),
    ("sft", "parallel_tool_calls", 1, "neither true nor false"),
    ("dpo", "meta", {}, "unknown"),
    ("dpo", "input", ..., "input is missing"),
    ("dpo", "input.role", "x", "unknown"),
    ("dpo", "input.messages.0.content", [{"type": "image_url"}], "content is no text"),
    ("dpo", "preferred_output", [YES, YES], "preferred_output is not one message"),
    ("dpo", "preferred_output.0.role", "user", "is not the assistant's"),
    ("dpo", "preferred_output.0.weight", 1, "unknown"),
    ("dpo", "non_preferred_output", [], "non_preferred_output is not one message"),
    ("dpo", "non_preferred_output.0.content", "", "content is no text"),
    ("dpo", "non_preferred_output.0.content", "Yes.", "both outputs are the same"),
    ("trl", "messages", [], "unknown"),
    ("trl", "prompt", "text", "prompt is no list"),
    ("trl", "prompt", [YES], "no user turn"),
    ("trl", "prompt.0.content", None, "content is no text"),
    ("trl", "prompt.0.role", "developer", "role is none of"),
    ("trl", "prompt.0.tool_calls", TRL_ASK["tool_calls"], "not the assistant's"),
    ("trl", "prompt.1.tool_calls.0.function.arguments", "{}", "arguments is no object"),
    ("trl", "prompt.1.tool_calls.0.function.name", None, "has no name"),
    ("trl", "prompt.1.tool_calls", [], "says nothing"),
    ("trl", "completion", [YES, USER], "not one message of the assistant"),
    ("trl", "completion.0.content", " ", "says nothing"),
    ("trl", "tools", TOOLS, "tools is no list"),
    ("preference", "label", True, "unknown"),
    ("preference", "chosen", [NO], "are the same"),
    ("preference", "rejected", [], "rejected is no list"),
    ("kto", "label", 1, "neither true nor false"),
    ("kto", "chosen", [YES], "unknown"),
]


@pytest.mark.parametrize(("name", "path", "value", "problem"), BROKEN)
def test_what_a_consumer_refuses_is_told(name: str, path: str, value: object, problem: str) -> None:
    check, line = CHECKS[name]
    problems = check(_with(line, path, value))
    assert any(problem in each for each in problems), problems


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("line", [None, [], "x", {}, {"messages": [5]}, {"prompt": [None], "input": 3}])
def test_whatever_is_no_line_at_all_is_told_and_breaks_nothing(name: str, line: object) -> None:
    assert CHECKS[name][0](line) != []
