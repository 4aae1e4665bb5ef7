"""Which events are good: the text of one event to an event of the key's tenant, or what is wrong with it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from schemas.errors import InvalidEvent
from schemas.events import FeedbackEvent
from schemas.intake import event_from_json, parse_json
from streams.collector.answers import Fault
from streams.collector.errors import Why
from streams.collector.keys import Key

BROWSER_METHODS: Final = frozenset({"thumbs", "stars", "comment"})
_BROWSER_PARTS: Final = ("interaction", "retraction", "review", "consent", "erasure")
_LONGEST_ID: Final = 200


class Good(Struct, frozen=True):
    """An event that may go to Kafka."""

    event: FeedbackEvent


class Bad(Struct, frozen=True):
    """An event that is refused, and the answer for it."""

    event_id: str | None
    status: int
    why: Why
    fault: Fault


def judge(texts: Sequence[bytes], key: Key, max_event_bytes: int) -> list[Good | Bad]:
    """A verdict for the text of each event, in order. One bad event leaves the others as they are."""
    return [judge_one(text, key, max_event_bytes) for text in texts]


def judge_one(text: bytes, key: Key, max_event_bytes: int) -> Good | Bad:
    """The verdict for one event. Its tenant is the key's; one that names another tenant is refused."""
    if len(text) > max_event_bytes:
        problem = f"the event has {len(text)} bytes, more than {max_event_bytes}"
        return Bad(None, 413, "event", Fault("", problem, "event"))
    event_id = None
    try:
        parsed = parse_json(text)
        event_id = _event_id(parsed)
        if names_another(parsed, key.tenant):
            return Bad(event_id, 403, "tenant", Fault("tenant", "is the API key's; this event names another"))
        event = event_from_json(parsed, key.tenant)
    except InvalidEvent as exc:
        if exc.limit == "depth":
            return Bad(None, 400, "depth", Fault("", exc.problem, "depth"))
        return Bad(event_id, 400, "invalid", Fault(exc.field, exc.problem))
    beyond = beyond_browser(event) if key.scope == "browser" else None
    if beyond is not None:
        return Bad(event_id, 403, "scope", beyond)
    return Good(event)


def names_another(parsed: object, tenant: str) -> bool:
    """Whether an event says that it is another tenant's: a mixed-up key, or somebody who tries."""
    named = parsed.get("tenant") if isinstance(parsed, dict) else None
    return named not in (None, "", tenant)


def beyond_browser(event: FeedbackEvent) -> Fault | None:
    """What a key in a web page, which anybody can copy from there, may not send; None if all is allowed.

    It may give a person's own thumbs, stars and comments. An expert's or a metric's score would weigh more than
    that person's word, and a correction or demonstration would become training text.
    """
    for part in _BROWSER_PARTS:
        if getattr(event, part) is not None:
            return Fault(part, "may not be sent with a key of scope browser")
    for index, score in enumerate(event.scores):
        if score.method not in BROWSER_METHODS:
            return Fault(
                f"scores[{index}].method", f"a key of scope browser takes {', '.join(sorted(BROWSER_METHODS))}"
            )
        if score.rater != "user":
            return Fault(f"scores[{index}].rater", "a key of scope browser takes only the rater user")
        if score.by is not None:
            return Fault(f"scores[{index}].by", "a key of scope browser cannot say who judged")
    return None


def _event_id(parsed: object) -> str | None:
    event_id = parsed.get("event_id") if isinstance(parsed, dict) else None
    return event_id if isinstance(event_id, str) and len(event_id) <= _LONGEST_ID else None
