"""What the collector's answer means for each event of a batch. Pure.

Only a verdict that names an event ends its way here. Everything else (no answer, an error page of a proxy, an
answer with half a list) leaves the events where they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, Literal

from millrace_client.events import has_id
from millrace_client.transport import Answer, Unreachable

Why = Literal["unreachable", "unconfigured", "busy", "unauthorised", "too_large", "unclear"]

MAX_RETRY_AFTER_S: Final = 3600.0
"""A collector that says more is not believed: one wrong header must not mute an app for days."""

_REFUSED: Final = frozenset({400, 413})
"""The statuses of an event that will be the same at the next try."""

_FORBIDDEN: Final = frozenset({401, 403})
"""The key is at fault, for an event or for all; and a key may be mended."""

_FIELD_CHARS: Final = 100
_SECONDS: Final = re.compile(r"\s*([0-9]{1,9})\s*")


@dataclass(frozen=True)
class Rejection:
    """The event at `index` of the batch breaks the contract in `field` (a dotted path, empty for the
    whole)."""

    index: int
    status: int
    field: str


@dataclass(frozen=True)
class Verdicts:
    """The collector decided on some events or all: so many accepted, some rejected, the others `again`.

    `forbidden`: the key may not send some of the others.
    """

    accepted: int
    rejected: tuple[Rejection, ...]
    again: tuple[int, ...]
    retry_after_s: float | None = None
    forbidden: bool = False


@dataclass(frozen=True)
class NoVerdict:
    """Nothing is known about any event.

    `suspect`: the batch itself may be the cause, a smaller one may pass. `aside`: other events may pass,
    these will not for now. `lasting`: another try in this moment will not help. `detail` is a status or the
    type of an error.
    """

    why: Why
    detail: str
    suspect: bool = False
    aside: bool = False
    lasting: bool = False
    retry_after_s: float | None = None


def judge(answer: Answer | Unreachable, batch: Sequence[bytes], now_epoch_s: float) -> Verdicts | NoVerdict:
    """Read the answer to `batch`."""
    if isinstance(answer, Unreachable):
        if answer.cause == "no_url":
            return NoVerdict("unconfigured", answer.cause, lasting=True)
        detail = answer.error or answer.cause
        return NoVerdict("unreachable", detail, suspect=answer.cause in ("timeout", "broken"))
    retry_after_s = parse_retry_after(answer.retry_after, now_epoch_s)
    detail = f"status {answer.status}"
    verdicts = _verdicts(answer.body, batch, retry_after_s)
    if answer.status in _FORBIDDEN:
        told = verdicts is not None
        return NoVerdict("unauthorised", detail, aside=told, lasting=True, retry_after_s=retry_after_s)
    if verdicts is not None and len(verdicts.again) < len(batch):
        return verdicts
    if answer.status in (429, 502, 503, 504) or verdicts is not None:
        return NoVerdict("busy", detail, retry_after_s=retry_after_s)
    why: Why = "too_large" if answer.status == 413 else "unclear"
    return NoVerdict(why, detail, suspect=True, retry_after_s=retry_after_s)


def parse_retry_after(header: str | None, now_epoch_s: float) -> float | None:
    """Seconds to wait, from delta-seconds or an HTTP date (RFC 9110, 10.2.3); None for anything else."""
    if header is None:
        return None
    if seconds := _SECONDS.fullmatch(header):
        return min(float(seconds[1]), MAX_RETRY_AFTER_S)
    try:
        wait_s = parsedate_to_datetime(header).timestamp() - now_epoch_s
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)


def _verdicts(body: bytes, batch: Sequence[bytes], retry_after_s: float | None) -> Verdicts | None:
    """The verdicts in an answer; None if it has no list with at least one about this batch."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    entries = parsed.get("events") if isinstance(parsed, dict) else None
    if not isinstance(entries, list):
        return None
    statuses: dict[int, int] = {}
    fields: dict[int, str] = {}
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        index, status, event_id = entry.get("index"), entry.get("status"), entry.get("event_id")
        if type(index) is not int or type(status) is not int or not 0 <= index < len(batch):
            continue
        if isinstance(event_id, str) and event_id and not has_id(batch[index], event_id):
            continue
        statuses[index] = status
        fields[index] = _field(entry.get("error"))
    if not statuses:
        return None
    accepted = sum(200 <= status < 300 for status in statuses.values())
    rejected = tuple(
        Rejection(index, status, fields[index]) for index, status in statuses.items() if status in _REFUSED
    )
    settled = {index for index, status in statuses.items() if 200 <= status < 300 or status in _REFUSED}
    again = tuple(index for index in range(len(batch)) if index not in settled)
    forbidden = any(statuses.get(index) in _FORBIDDEN for index in again)
    return Verdicts(accepted, rejected, again, retry_after_s, forbidden)


def _field(error: object) -> str:
    field = error.get("field") if isinstance(error, dict) else None
    return ascii(field)[1:-1][:_FIELD_CHARS] if isinstance(field, str) else ""
