"""What the collector says: one status an event, one for the request.

| every event                            | HTTP status                                     |
|----------------------------------------|-------------------------------------------------|
| acknowledged                           | 202                                             |
| at least one not acknowledged by Kafka | 503 with Retry-After, whatever else is in there |
| all refused alike                      | that status: 400, 403 or 413                    |
| all refused, not alike                 | 400                                             |
| some acknowledged, the others refused  | 207                                             |

503 wins, so that a sender who looks at the HTTP status only sends again instead of losing events. Those that were
acknowledged already are then recognised by their event id.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct
from starlette.responses import Response

from streams.collector.errors import Limit, Refused
from streams.collector.limits import BUSY_RETRY_S

ACCEPTED: Final = 202
MIXED: Final = 207
UNACKNOWLEDGED: Final = 503


class Fault(Struct, frozen=True, omit_defaults=True):
    """What is wrong: a dotted path into the event (empty: all of it), a sentence, the limit that was passed."""

    field: str
    problem: str
    limit: Limit | None = None


class EventAnswer(Struct, frozen=True, omit_defaults=True):
    """What became of the event at `index`: 202, 400, 403, 413 or 503. `event_id` is None where none could be read."""

    index: int
    event_id: str | None
    status: int
    error: Fault | None = None


class Answer(Struct, frozen=True):
    """The answer to a batch; `accepted` + `rejected` is the number of events."""

    accepted: int
    rejected: int
    events: tuple[EventAnswer, ...]


class RefusedAnswer(Struct, frozen=True):
    """The answer to a request of which nothing was taken."""

    error: Fault


def overall(statuses: Sequence[int]) -> int:
    """The HTTP status for the statuses of at least one event."""
    distinct = set(statuses)
    if UNACKNOWLEDGED in distinct:
        return UNACKNOWLEDGED
    if len(distinct) == 1:
        return statuses[0]
    return MIXED if ACCEPTED in distinct else 400


def events_response(events: Sequence[EventAnswer]) -> Response:
    """The response to a request whose events were looked at one by one."""
    statuses = [event.status for event in events]
    accepted = statuses.count(ACCEPTED)
    status = overall(statuses)
    headers = retry_after(BUSY_RETRY_S) if status == UNACKNOWLEDGED else {}
    return _json(status, Answer(accepted, len(events) - accepted, tuple(events)), headers)


def refused_response(refused: Refused) -> Response:
    """The response to a request that is refused as a whole."""
    headers = dict(retry_after(refused.retry_after_s)) if refused.retry_after_s is not None else {}
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if refused.status == 415:
        headers["Accept-Encoding"] = "gzip"
    return _json(refused.status, RefusedAnswer(Fault("", refused.problem, refused.limit)), headers)


def retry_after(wait_s: float) -> Mapping[str, str]:
    """The header that asks to come again after `wait_s`, in whole seconds."""
    return {"Retry-After": str(max(1, math.ceil(wait_s)))}


def _json(status: int, answer: Answer | RefusedAnswer, headers: Mapping[str, str]) -> Response:
    return Response(msgspec.json.encode(answer), status, headers=headers, media_type="application/json")
