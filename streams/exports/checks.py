"""What each consumer asks of a line, from its documentation; each check says everything that is wrong.

- OpenAI: "Supervised fine-tuning" and "Direct preference optimization" guides, and the API reference's
  `FineTuneChatRequestInput`; unknown keys are refused.
- TRL: "Dataset formats and types"; more columns are allowed.

Problems name places, never values.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

_FUNCTION: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PARTICIPANT: Final = re.compile(r"[^\s<|\\/>]{1,64}")
_ROLES: Final = frozenset({"system", "user", "assistant", "tool"})
_MESSAGE_KEYS: Final = {
    "system": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "tool_calls", "weight"},
    "tool": {"role", "content", "tool_call_id"},
}
_USER_PARTS: Final = frozenset({"text", "image_url"})


def check_sample(line: object) -> list[str]:
    """`{instruction, input, output, meta}`: texts, a question and an answer, and its lineage."""
    if not isinstance(line, dict):
        return ["is no object"]
    problems = _keys(line, {"instruction", "input", "output", "meta"}, "", required=True)
    problems += [
        f"{key} is no text" for key in ("instruction", "input", "output") if not isinstance(line.get(key), str)
    ]
    if not problems:
        problems += [f"{key} is empty" for key in ("instruction", "output") if not line[key].strip()]
    meta = line.get("meta")
    if not isinstance(meta, dict) or not meta.get("sample_id") or not meta.get("sources"):
        problems.append("meta lacks its lineage")
    return problems


def check_openai_sft(line: object) -> list[str]:
    """OpenAI's supervised format."""
    if not isinstance(line, dict):
        return ["is no object"]
    problems = _keys(line, {"messages", "tools", "parallel_tool_calls"}, "")
    messages = line.get("messages")
    problems += _openai_messages(messages, "messages", media=True) + _openai_tools(line)
    if isinstance(messages, list) and messages:
        last = messages[-1]
        if not isinstance(last, dict) or last.get("role") != "assistant":
            problems.append("messages do not end with the assistant's")
        weights = [
            each.get("weight", 1) for each in messages if isinstance(each, dict) and each.get("role") == "assistant"
        ]
        if not any(weights):
            problems.append("no assistant message is trained on")
    return problems


def check_openai_dpo(line: object) -> list[str]:
    """OpenAI's preference format: text only, one assistant message in each output."""
    if not isinstance(line, dict):
        return ["is no object"]
    problems = _keys(line, {"input", "preferred_output", "non_preferred_output"}, "", required=True)
    given = line.get("input")
    if isinstance(given, dict):
        problems += _keys(given, {"messages", "tools", "parallel_tool_calls"}, "input.")
        messages = given.get("messages")
        problems += _openai_messages(messages, "input.messages", media=False) + _openai_tools(given)
    else:
        problems.append("input is no object")
    outputs = []
    for key in ("preferred_output", "non_preferred_output"):
        output = line.get(key)
        if not isinstance(output, list) or len(output) != 1 or not isinstance(output[0], dict):
            problems.append(f"{key} is not one message")
            continue
        problems += _keys(output[0], {"role", "content"}, f"{key}[0].", required=True)
        if output[0].get("role") != "assistant":
            problems.append(f"{key}[0] is not the assistant's")
        if not _is_text(output[0].get("content")):
            problems.append(f"{key}[0].content is no text")
        outputs.append(output[0].get("content"))
    if len(outputs) == 2 and outputs[0] == outputs[1]:
        problems.append("both outputs are the same")
    return problems


def check_trl_sft(line: object) -> list[str]:
    """TRL's conversational prompt-completion format."""
    return _trl(line, ("prompt", "completion"), {"prompt", "completion", "tools", "meta"})


def check_trl_preference(line: object) -> list[str]:
    """TRL's conversational preference format with an explicit prompt."""
    problems = _trl(line, ("prompt", "chosen", "rejected"), {"prompt", "chosen", "rejected", "tools", "meta"})
    if isinstance(line, dict) and line.get("chosen") == line.get("rejected"):
        problems.append("chosen and rejected are the same")
    return problems


def check_trl_kto(line: object) -> list[str]:
    """TRL's conversational unpaired preference format."""
    problems = _trl(line, ("prompt", "completion"), {"prompt", "completion", "label", "tools", "meta"})
    if isinstance(line, dict) and not isinstance(line.get("label"), bool):
        problems.append("label is neither true nor false")
    return problems


def _trl(line: object, columns: Sequence[str], known: Collection[str]) -> list[str]:
    if not isinstance(line, dict):
        return ["is no object"]
    problems = _keys(line, known, "")
    for column in columns:
        messages = line.get(column)
        if not isinstance(messages, list) or not messages:
            problems.append(f"{column} is no list of messages")
            continue
        for place, message in enumerate(messages):
            problems += _trl_message(message, f"{column}[{place}]")
        if column != "prompt" and [each.get("role") for each in messages if isinstance(each, dict)] != ["assistant"]:
            problems.append(f"{column} is not one message of the assistant")
    prompt = line.get("prompt")
    if isinstance(prompt, list) and not any(isinstance(each, dict) and each.get("role") == "user" for each in prompt):
        problems.append("prompt has no user turn")
    if "tools" in line:
        problems += _tools(_parsed(line["tools"]), "tools")
    return problems


def _trl_message(message: object, place: str) -> list[str]:
    if not isinstance(message, dict):
        return [f"{place} is no object"]
    problems = []
    if message.get("role") not in _ROLES:
        problems.append(f"{place}.role is none of {', '.join(sorted(_ROLES))}")
    if not isinstance(message.get("content"), str):
        problems.append(f"{place}.content is no text")
    calls = message.get("tool_calls", [])
    if calls and message.get("role") != "assistant":
        problems.append(f"{place}.tool_calls are not the assistant's")
    if message.get("role") == "assistant" and not calls and not _is_text(message.get("content")):
        problems.append(f"{place} says nothing")
    for number, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            problems.append(f"{place}.tool_calls[{number}].function has no name")
        elif not isinstance(function.get("arguments"), dict):
            problems.append(f"{place}.tool_calls[{number}].function.arguments is no object")
    return problems


def _openai_messages(messages: object, place: str, media: bool) -> list[str]:
    if not isinstance(messages, list) or not messages:
        return [f"{place} is no list of messages"]
    problems: list[str] = []
    pending: set[str] = set()
    for number, message in enumerate(messages):
        at = f"{place}[{number}]"
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            problems.append(f"{at}.role is none of {', '.join(sorted(_ROLES))}")
            continue
        role = message["role"]
        problems += _keys(message, _MESSAGE_KEYS[role], f"{at}.")
        problems += _openai_content(message, at, media)
        name = message.get("name")
        if name is not None and not (isinstance(name, str) and _PARTICIPANT.fullmatch(name)):
            problems.append(f"{at}.name may not be a name")
        if role == "tool":
            if message.get("tool_call_id") not in pending:
                problems.append(f"{at} answers no call before it")
            pending.discard(message.get("tool_call_id", ""))
            continue
        if pending:
            problems.append(f"{at} comes before a call is answered")
        pending = set()
        if role == "assistant":
            problems += _openai_assistant(message, at)
            calls = message.get("tool_calls")
            pending = (
                {str(call.get("id")) for call in calls if isinstance(call, dict)} if isinstance(calls, list) else set()
            )
    if pending and number + 1 < len(messages):
        problems.append(f"{place} leave a call unanswered")
    return problems


def _openai_content(message: dict[str, Any], at: str, media: bool) -> list[str]:
    content = message.get("content")
    if isinstance(content, str):
        return []
    if content is None and message["role"] == "assistant" and message.get("tool_calls"):
        return []
    if isinstance(content, list) and content and message["role"] == "user" and media:
        wrong = [part for part in content if not isinstance(part, dict) or part.get("type") not in _USER_PARTS]
        return [f"{at}.content has parts that are neither text nor image"] if wrong else []
    return [f"{at}.content is no text"]


def _openai_assistant(message: dict[str, Any], at: str) -> list[str]:
    problems = []
    calls = message.get("tool_calls")
    if calls is None and not _is_text(message.get("content")):
        problems.append(f"{at} says nothing")
    if message.get("weight", 1) not in (0, 1) or isinstance(message.get("weight"), bool):
        problems.append(f"{at}.weight is neither 0 nor 1")
    if calls is None:
        return problems
    if not isinstance(calls, list) or not calls:
        return [*problems, f"{at}.tool_calls is no list of calls"]
    for number, call in enumerate(calls):
        place = f"{at}.tool_calls[{number}]"
        if not isinstance(call, dict):
            problems.append(f"{place} is no object")
            continue
        problems += _keys(call, {"id", "type", "function"}, f"{place}.", required=True)
        if not isinstance(call.get("id"), str) or not call["id"] or call.get("type") != "function":
            problems.append(f"{place} is no function call with an id")
        function = call.get("function")
        if not isinstance(function, dict):
            problems.append(f"{place}.function is no object")
            continue
        problems += _keys(function, {"name", "arguments"}, f"{place}.function.", required=True)
        if not isinstance(function.get("name"), str) or not _FUNCTION.fullmatch(function["name"]):
            problems.append(f"{place}.function.name is no function's name")
        if not isinstance(_parsed(function.get("arguments")), dict):
            problems.append(f"{place}.function.arguments is no JSON object as text")
    return problems


def _openai_tools(line: dict[str, Any]) -> list[str]:
    problems = []
    if "tools" in line:
        problems += _tools(line["tools"], "tools")
    if "parallel_tool_calls" in line and not isinstance(line["parallel_tool_calls"], bool):
        problems.append("parallel_tool_calls is neither true nor false")
    return problems


def _tools(tools: object, place: str) -> list[str]:
    if not isinstance(tools, list):
        return [f"{place} is no list"]
    problems = []
    for number, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict):
            problems.append(f"{place}[{number}] is no function")
            continue
        if not isinstance(function.get("name"), str) or not _FUNCTION.fullmatch(function["name"]):
            problems.append(f"{place}[{number}].function.name is no function's name")
        if not isinstance(function.get("parameters", {}), dict):
            problems.append(f"{place}[{number}].function.parameters is no JSON schema")
    return problems


def _keys(line: dict[str, Any], known: Collection[str], place: str, required: bool = False) -> list[str]:
    problems = ["has a key that is unknown" if not place else f"{place.rstrip('.')} has a key that is unknown"] * bool(
        line.keys() - set(known)
    )
    return problems + [f"{place}{key} is missing" for key in sorted(known) if required and key not in line]


def _parsed(text: object) -> object:
    if not isinstance(text, str):
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _is_text(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip())
