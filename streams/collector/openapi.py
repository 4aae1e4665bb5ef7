"""What `/openapi.json` says: the JSON form of an event, which is looser than the record, and every answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from schemas.events import FeedbackEvent
from streams.collector.answers import Answer, RefusedAnswer

DESCRIPTION: Final = """\
Takes the feedback events of apps: one JSON event, a JSON array of events, or NDJSON (one event a line), plain or with
`Content-Encoding: gzip`.

An event's status is 202 only after Kafka has acknowledged it. An event with another status has not been taken; what
is 503 is to be sent again, unchanged and with the same `event_id`, after `Retry-After` seconds. One bad event does not
harm the others of its batch.

The HTTP status is 202 if every event was acknowledged, and 503 if at least one valid event was not: who looks at that
status only and sends everything again loses nothing, because events are recognised by their id. It is 207 if some were
acknowledged and the others refused, and that of the events if all were refused alike (400 if not alike).

The tenant is the API key's; an event that names another is refused with 403. A key has one of two scopes. `write` sends
everything and belongs on a server. `browser` may stand in a web page: it sends only a person's thumbs, stars and
comments, and it is the only scope for which cross-origin answers are given. No key reads anything.
"""

_REF: Final = "#/components/schemas/{name}"
_EVENT: Final = {"$ref": _REF.format(name="FeedbackEvent")}
_EXAMPLE: Final = {
    "event_id": "7f0c1c1e-1",
    "interaction_id": "chat-42",
    "score": {"method": "thumbs", "value": "up"},
}
_STATUSES: Final[Sequence[tuple[int, str, str]]] = (
    (202, "Every event is acknowledged by Kafka.", "Answer"),
    (207, "Some events are acknowledged, the others refused: a status for each.", "Answer"),
    (400, "The only event, or all of them, are invalid; or the body is no JSON, or broken gzip.", "Answer"),
    (401, "No API key, an unknown or a revoked one.", "RefusedAnswer"),
    (403, "All events are beyond what a key of scope `browser` may send.", "Answer"),
    (408, "The body did not arrive in time.", "RefusedAnswer"),
    (413, "Too large; `limit` says what: `body`, `decompressed`, `batch` or `event`.", "Answer"),
    (415, "A Content-Encoding other than gzip.", "RefusedAnswer"),
    (429, "The key's events a second are used up; see Retry-After.", "RefusedAnswer"),
    (
        503,
        "At least one event could not be acknowledged in time; see Retry-After. Without a status for each event, "
        "nothing was looked at.",
        "Answer",
    ),
)
_SEVERAL_FORMS: Final = frozenset({400, 413, 503})  # as a whole, or event by event


def operation() -> dict[str, Any]:
    """Request body, answers and keys of the operation that takes events."""
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"oneOf": [_EVENT, {"type": "array", "items": _EVENT, "minItems": 1}]},
                    "example": _EXAMPLE,
                },
                "application/x-ndjson": {
                    "schema": {"type": "string", "description": "One event, as in application/json, a line."}
                },
            },
        },
        "responses": {str(status): _response(status, text, name) for status, text, name in _STATUSES},
        "security": [{"bearer": []}, {"header": []}],
    }


def components() -> dict[str, Any]:
    """The schemas that `operation` refers to, and where the key goes."""
    _, schemas = msgspec.json.schema_components((FeedbackEvent, Answer, RefusedAnswer), ref_template=_REF)
    _loosen(schemas)
    return {
        "schemas": schemas,
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer mr_…"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        },
    }


def _response(status: int, text: str, name: str) -> dict[str, Any]:
    names = [name, "RefusedAnswer"] if status in _SEVERAL_FORMS else [name]
    refs = [{"$ref": _REF.format(name=name)} for name in names]
    schema = refs[0] if len(refs) == 1 else {"oneOf": refs}
    response: dict[str, Any] = {"description": text, "content": {"application/json": {"schema": schema}}}
    if status in (429, 503):
        seconds = {"type": "integer", "minimum": 1}
        response["headers"] = {"Retry-After": {"description": "seconds to wait", "schema": seconds}}
    return response


def _loosen(schemas: dict[str, Any]) -> None:
    """Widen the record's schemas to what `schemas.intake` takes."""
    event = schemas["FeedbackEvent"]
    event["description"] = (
        "At least one of interaction, score(s), retraction, review, consent, erasure. Unknown fields are ignored."
    )
    del event["properties"]["tenant"]
    event["properties"]["occurred_at"] = {
        "oneOf": [{"type": "string", "format": "date-time"}, {"type": "number"}, {"type": "null"}],
        "description": "RFC 3339, or epoch milliseconds.",
    }
    event["properties"]["score"] = {
        "$ref": _REF.format(name="Score"),
        "description": "Instead of `scores`, where there is one.",
    }
    schemas["Score"]["properties"]["value"] = {
        "oneOf": [
            {"type": "number"},
            {"type": "boolean"},
            {"type": "string", "enum": ["up", "down", "true", "false", "yes", "no", "pass", "fail"]},
            {"type": "null"},
        ]
    }
    _loosen_interaction(schemas)


def _loosen_interaction(schemas: dict[str, Any]) -> None:
    interaction = schemas["Interaction"]
    interaction["properties"] |= {
        name: {"type": "string", "description": "Flat form, instead of `messages`."}
        for name in ("instruction", "input", "output")
    }
    del interaction["required"]
    interaction["anyOf"] = [{"required": ["messages"]}, {"required": ["output"]}]
    interaction["properties"]["tools"] = {
        "oneOf": [{"type": "array", "items": {"type": "object"}}, {"type": "string"}, {"type": "null"}],
        "description": "Tool definitions as in OpenAI's chat API, or their JSON text.",
    }
    part = {"$ref": _REF.format(name="ContentPart")}
    schemas["Message"]["properties"]["content"] = {
        "oneOf": [{"type": "string"}, {"type": "array", "items": part}, {"type": "null"}]
    }
    schemas["ContentPart"]["description"] = (
        "One part of a multi-part message, as in OpenAI's chat API: `text`, or any other `type` with fields of its own."
    )
    call = schemas["ToolCall"]
    call["properties"]["function"] = {
        "type": "object",
        "description": "OpenAI's nesting, instead of name and arguments beside it.",
        "properties": {
            "name": {"type": "string"},
            "arguments": {"oneOf": [{"type": "string"}, {"type": "object"}]},
        },
        "required": ["name", "arguments"],
    }
    call["anyOf"] = [{"required": call.pop("required")}, {"required": ["function"]}]
