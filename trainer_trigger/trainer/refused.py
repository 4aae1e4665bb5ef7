"""What the API answers when it does not do what was asked: OpenAI's error shape, and which field is to blame."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from starlette.responses import Response

from trainer_trigger.trainer.errors import TrainerError

_PATH: Final = re.compile(r" - at `\$\.?(?P<path>[^`]*)`\Z")
_FIELD: Final = re.compile(r"Object (?:contains unknown|missing required) field `(?P<field>[^`]*)`")
T = TypeVar("T")


class Refused(TrainerError):
    """A request is answered with the HTTP `status`. `param` names the field that is to blame, as a dotted path."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, param)
        self.status = status
        self.answer_code = code
        self.kind = kind
        self.headers = headers

    @classmethod
    def of(cls, error: TrainerError, status: int = 400) -> Refused:
        """The answer to an error of this package."""
        return cls(status, error.message, param=error.param, code=error.failure_code)

    @property
    def response(self) -> Response:
        """The answer."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.answer_code}
        return json_response({"error": error}, self.status, self.headers)


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response with this as JSON."""
    return Response(msgspec.json.encode(content), status, headers=headers, media_type="application/json")


def converted(content: Any, kind: type[T], at: str = "") -> T:
    """`content` as a `kind`. Raises `Refused` (400) with the field's path, which begins with `at`."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as exc:
        raise invalid(exc, at) from exc


def invalid(exc: msgspec.ValidationError, at: str = "") -> Refused:
    """The answer (400) to what msgspec does not take."""
    message = str(exc)
    path = _PATH.search(message)
    field = _FIELD.search(message)
    parts = [at, path["path"] if path else "", field["field"] if field else ""]
    param = ".".join(part for part in parts if part)
    code = None
    if field:
        unknown = "unknown" in field[0]
        message = f"Unknown parameter: '{param}'." if unknown else f"Missing required parameter: '{param}'."
        code = "unknown_parameter" if unknown else "missing_required_parameter"
    elif path:
        message = message[: path.start()]
    if param and not field:
        message = f"Invalid value for '{param}': {message}."
        code = "invalid_value"
    return Refused(400, message, param=param or None, code=code)
