"""JSON in: from the bytes that an app sends to a checked `FeedbackEvent`.

The JSON form is looser than the record: OpenAI's own nesting for tool calls and content parts, a flat
`{instruction, input, output}` interaction, `score` for a single score, `up`/`down` and booleans as values, RFC 3339
or epoch milliseconds as `occurred_at`. Unknown fields are ignored, so that apps may send what later versions read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from schemas.errors import InvalidEvent
from schemas.events import FeedbackEvent
from schemas.scores import check_score

MAX_DEPTH: Final = 64
"""Levels of nesting that an event may have; chat traffic with tool schemas stays under 20."""

_MISTYPED: Final = re.compile(r"Invalid enum value '[A-Za-z_-]{1,24}'")
"""msgspec quotes what was sent. A word helps to see the mistake; anything else may be data in the wrong field."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WORDS: Final = {"up": 1.0, "down": 0.0, "true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0, "pass": 1.0, "fail": 0.0}
_PARTS: Final = ("interaction", "scores", "retraction", "review", "consent", "erasure")


def parse_json(body: bytes, max_depth: int = MAX_DEPTH) -> object:
    """Parse one JSON text, raising `InvalidEvent` for what is no strict JSON (NaN, lone surrogates) or too deep."""
    try:
        parsed = msgspec.json.decode(body)
    except RecursionError as exc:
        raise InvalidEvent("", f"nested deeper than {max_depth} levels", "depth") from exc
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise InvalidEvent("", f"not JSON: {exc}") from exc
    check_depth(parsed, max_depth)
    return parsed


def check_depth(parsed: object, max_depth: int) -> None:
    """Raise `InvalidEvent` if lists and objects are nested deeper than `max_depth`."""
    level: list[object] = [parsed]
    for _ in range(max_depth):
        level = [
            child
            for node in level
            if isinstance(node, (dict, list))
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise InvalidEvent("", f"nested deeper than {max_depth} levels", "depth")


def event_from_json(parsed: object, tenant: str = "") -> FeedbackEvent:
    """Build the event that a parsed JSON object stands for, owned by `tenant`.

    Raises `InvalidEvent` naming the first field that is missing, of a wrong type or out of range.
    """
    if not isinstance(parsed, dict):
        raise InvalidEvent("", "an event is a JSON object")
    try:
        return _event(parsed, tenant)
    except (OverflowError, SystemError) as exc:  # msgspec 0.20 on whole numbers beyond a float or beyond 64 bits
        raise InvalidEvent("", "holds a number that is too large") from exc


def _event(parsed: Mapping[str, Any], tenant: str) -> FeedbackEvent:
    shaped: dict[str, Any] = {**parsed, "tenant": tenant, "occurred_at": _micros(parsed.get("occurred_at"))}
    for name in [name for name, value in shaped.items() if value is None]:
        del shaped[name]
    if "interaction" in shaped:
        shaped["interaction"] = _interaction(shaped["interaction"])
    if "score" in shaped:
        if "scores" in shaped:
            raise InvalidEvent("score", "send either score or scores")
        shaped["scores"] = [shaped.pop("score")]
    if isinstance(shaped.get("scores"), list):
        shaped["scores"] = [_score(score, f"scores[{index}]") for index, score in enumerate(shaped["scores"])]
    try:
        event = msgspec.convert(shaped, FeedbackEvent)
    except msgspec.ValidationError as exc:
        raise _named(exc) from exc
    check_event(event)
    return event


def event_to_json(event: FeedbackEvent) -> bytes:
    """An event in the JSON form that `event_from_json` reads; the tenant stays out, for it comes from the API key."""
    said = msgspec.to_builtins(event)
    del said["tenant"]
    said["occurred_at"] = event.occurred_at / 1_000 if event.occurred_at else None
    return msgspec.json.encode({name: value for name, value in said.items() if value not in (None, [], "")})


def check_event(event: FeedbackEvent) -> None:
    """Raise `InvalidEvent` for what types cannot say: an event that says nothing, scores out of range, no one to
    apply to. Events from Avro pass here too."""
    if not any(getattr(event, part) for part in _PARTS):
        raise InvalidEvent("", f"an event carries at least one of {', '.join(_PARTS)}")
    if event.erasure is not None and any(getattr(event, part) for part in _PARTS if part != "erasure"):
        raise InvalidEvent("erasure", "comes alone")
    for_a_person = event.erasure is not None or (event.consent is not None and event.consent.user is not None)
    if not event.interaction_id and not for_a_person:
        raise InvalidEvent("interaction_id", "is required")
    for index, score in enumerate(event.scores):
        check_score(score, f"scores[{index}]")
        if score.over is not None and score.over == event.interaction_id:
            raise InvalidEvent(f"scores[{index}].over", "must be another interaction")
    if event.review is not None and event.review.decision == "edit" and not (event.review.output or "").strip():
        raise InvalidEvent("review.output", "is required for an edit")
    if event.interaction is not None:
        if not event.interaction.messages:
            raise InvalidEvent("interaction.messages", "must not be empty")
        latency_ms = event.interaction.latency_ms
        if latency_ms is not None and not (math.isfinite(latency_ms) and latency_ms >= 0):
            raise InvalidEvent("interaction.latency_ms", "must be a finite number of at least 0")


def _named(exc: msgspec.ValidationError) -> InvalidEvent:
    problem, _, path = str(exc).partition(" - at `")
    if problem.startswith("Invalid enum value ") and not _MISTYPED.fullmatch(problem):
        problem = "is none of the values that it may have"
    field = path.rstrip("`").removeprefix("$.").removeprefix("$")
    if problem.startswith("Object missing required field `"):
        missing = problem.removeprefix("Object missing required field `").rstrip("`")
        return InvalidEvent(f"{field}.{missing}".lstrip("."), "is required")
    return InvalidEvent(field, problem[:1].lower() + problem[1:])


def _micros(when: object) -> int:
    """Epoch microseconds of an RFC 3339 text or of epoch milliseconds; 0 for None."""
    if when is None:
        return 0
    if isinstance(when, bool) or not isinstance(when, (int, float, str)):
        raise InvalidEvent("occurred_at", "must be an RFC 3339 text or epoch milliseconds")
    try:
        if isinstance(when, str):
            moment = datetime.fromisoformat(when)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        else:
            moment = _EPOCH + timedelta(milliseconds=when)
        return (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError) as exc:
        raise InvalidEvent("occurred_at", "is no time between the years 1 and 9999") from exc


def _score(score: object, field: str) -> object:
    if not isinstance(score, dict):
        return score
    value = score.get("value")
    if isinstance(value, bool):
        return {**score, "value": float(value)}
    if isinstance(value, str):
        word = _WORDS.get(value.strip().casefold())
        if word is None and score.get("method") in ("thumbs", "success", "tests_passed"):
            raise InvalidEvent(f"{field}.value", f"{score['method']} takes up/down, true/false or 1/0")
        return {**score, "value": value if word is None else word}
    return score


def _interaction(interaction: object) -> object:
    if not isinstance(interaction, dict):
        return interaction
    shaped = dict(interaction)
    if "messages" not in shaped and "output" in shaped:
        prompt = [shaped.get("instruction") or "", shaped.get("input") or ""]
        if not all(isinstance(text, str) for text in prompt):
            raise InvalidEvent("interaction.instruction", "instruction and input must be texts")
        shaped["messages"] = [
            {"role": "user", "content": "\n\n".join(text for text in prompt if text)},
            {"role": "assistant", "content": shaped["output"]},
        ]
    if isinstance(shaped.get("messages"), list):
        shaped["messages"] = [_message(message) for message in shaped["messages"]]
    if shaped.get("tools") is not None and not isinstance(shaped["tools"], str):
        shaped["tools"] = _text(shaped["tools"])
    return shaped


def _message(message: object) -> object:
    if not isinstance(message, dict):
        return message
    shaped = dict(message)
    if isinstance(shaped.get("content"), list):
        shaped["parts"] = [_part(part) for part in shaped.pop("content")]
    if isinstance(shaped.get("tool_calls"), list):
        shaped["tool_calls"] = [_tool_call(call) for call in shaped["tool_calls"]]
    elif "tool_calls" in shaped and shaped["tool_calls"] is None:
        del shaped["tool_calls"]
    if "tool_calls" not in shaped and isinstance(shaped.get("function_call"), Mapping):
        shaped["tool_calls"] = [_tool_call({"function": shaped["function_call"]})]  # before OpenAI had tools
    return shaped


def _part(part: object) -> object:
    if not isinstance(part, Mapping) or "type" not in part:
        return part
    if part["type"] == "text":
        return {"type": "text", "text": part.get("text")}
    if "data" in part and isinstance(part["data"], str):
        return part
    return {"type": part["type"], "data": _text({key: value for key, value in part.items() if key != "type"})}


def _tool_call(call: object) -> object:
    if not isinstance(call, Mapping) or not isinstance(call.get("function"), Mapping):
        return call
    function = call["function"]
    arguments = function.get("arguments")
    return {
        "id": call.get("id"),
        "type": call.get("type", "function"),
        "name": function.get("name"),
        "arguments": arguments if isinstance(arguments, str) else _text(arguments),
    }


def _text(value: Mapping[str, object] | Sequence[object] | object) -> str:
    return msgspec.json.encode(value).decode()
