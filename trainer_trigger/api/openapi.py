"""What `/openapi.json` says, from the routes and the types that they take and answer."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from trainer_trigger.api.keys import Scope
from trainer_trigger.api.problems import MEDIA_TYPE, Problem
from trainer_trigger.api.routes import BASE, ROUTES, Route

DESCRIPTION: Final = """\
Ask for fine-tunes, see why the trigger does or does not train, approve what waits, and find what a model came from.

Every request needs a key; each route says which scope. No scope implies another. A key may be for some targets only.
Every change, and every request that is denied, is in the audit log. A change that cannot be written down is not made.

A request with a `request_id` (or the header `Idempotency-Key`) that was taken before is answered as then. Every error
is `application/problem+json`. Times are epoch milliseconds.
"""

_REF: Final = "#/components/schemas/{name}"
_ERRORS: Final = {
    400: "The body is no JSON.",
    401: "No API key, an unknown or a revoked one.",
    403: "The key has not the scope, or is for other targets.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    409: "It is not in a state for that.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "A field is missing, unknown or wrong: `field` names it; or the target does not listen to it.",
    429: "Too many requests with this key; see Retry-After.",
    500: "Something went wrong here.",
    503: "The database, the lake or the provider does not answer; see Retry-After.",
}
_BODY_ERRORS: Final = frozenset({400, 408, 409, 413, 415})
_SEGMENT: Final = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 200}}


def operation_id(route: Route) -> str:
    """Such as `post_jobs_id_cancel`."""
    words = route.path.replace("{id:path}", "id").replace("{id}", "id").strip("/").replace("/", "_")
    return f"{route.method.lower()}_{words}"


def operation(route: Route) -> dict[str, Any]:
    """Parameters, body, answers and keys of a route."""
    said: dict[str, Any] = {
        "description": f"Scope: `{route.scope}`.",
        "parameters": _parameters(route),
        "responses": {str(route.status): _answer(route), **_problems(route)},
        "security": [{"bearer": []}, {"header": []}],
        "x-scope": route.scope,
    }
    if route.body is not None:
        needed = bool(msgspec.json.schema(route.body)["$defs"][route.body.__name__].get("required"))
        said["requestBody"] = {"required": needed, "content": {"application/json": {"schema": _ref(route.body)}}}
    return said


def complete(document: dict[str, Any]) -> None:
    """Add the schemas that the operations refer to, and where the key goes."""
    kinds = {Problem: None} | {route.answers: None for route in ROUTES}
    kinds |= {route.body: None for route in ROUTES if route.body is not None}
    _, schemas = msgspec.json.schema_components(tuple(kinds), ref_template=_REF)
    document["components"] = {
        "schemas": schemas,
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer mr_…"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        },
    }
    for path in [path for path in document["paths"] if ":path}" in path]:
        document["paths"][path.replace(":path}", "}")] = document["paths"].pop(path)


def scopes() -> dict[str, Scope]:
    """`METHOD /path` to the scope that it needs."""
    return {f"{route.method} {BASE}{route.path.replace(':path', '')}": route.scope for route in ROUTES}


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [_SEGMENT] if "{id" in route.path else []
    properties = msgspec.json.schema(route.query)["$defs"][route.query.__name__]["properties"]
    for name, schema in properties.items():
        found.append({"name": name, "in": "query", "required": False, "schema": schema})
    if route.body is not None and "request_id" in route.body.__struct_fields__:
        schema = {"type": "string", "maxLength": 200}
        found.append({"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema})
    return found


def _answer(route: Route) -> dict[str, Any]:
    schema = _ref(route.answers)
    if route.many:
        after = {"type": ["string", "integer", "null"], "description": "`after` of the next page, null at the end."}
        schema = {
            "type": "object",
            "properties": {"data": {"type": "array", "items": schema}, "next": after},
            "required": ["data", "next"],
        }
    return {"description": route.summary, "content": {"application/json": {"schema": schema}}}


def _problems(route: Route) -> dict[str, Any]:
    without = frozenset() if route.body is not None else _BODY_ERRORS
    found: dict[str, Any] = {}
    for status, words in _ERRORS.items():
        if status in without or (status == 404 and route.about == "nothing"):
            continue
        found[str(status)] = {"description": words, "content": {MEDIA_TYPE: {"schema": _ref(Problem)}}}
        if status in {429, 503}:
            seconds = {"type": "integer", "minimum": 1}
            found[str(status)]["headers"] = {"Retry-After": {"description": "seconds to wait", "schema": seconds}}
    return found


def _ref(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"$ref": _REF.format(name=kind.__name__)}
