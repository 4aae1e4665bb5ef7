"""What is hot goes round as it came, with where it came from; everything else is redacted."""

from __future__ import annotations

from schemas.codec import Codec
from schemas.events import FeedbackEvent, Interaction, Message
from streams.reentry import Origin, origin_of
from streams.runners import RawRecord
from streams.runners.overflow import Diversion
from streams.settings import Settings
from tests.events import NOW_MS

SETTINGS = Settings(batch_events=10)
LATE_MS = 5_000


def _event(number: int, tenant: str, interaction_id: str) -> FeedbackEvent:
    said = Interaction((Message("user", "Hi"), Message("assistant", "Hello")))
    return FeedbackEvent(event_id=f"e{number}", tenant=tenant, interaction_id=interaction_id, interaction=said)


def _batch() -> tuple[list[RawRecord], list[FeedbackEvent | Exception]]:
    events: list[FeedbackEvent | Exception] = [_event(n, "hot", f"i{n}") for n in range(8)]
    events += [_event(8, "other", "i8"), ValueError("no event")]
    at_ms = NOW_MS - LATE_MS
    records = [RawRecord("own", 0, offset, at_ms, _value(event), "own", 2) for offset, event in enumerate(events)]
    return records, events


def _value(event: FeedbackEvent | Exception) -> bytes:
    return b"poison" if isinstance(event, Exception) else Codec().encode(event)


def _diversion(waiting: int) -> Diversion:
    diversion = Diversion(SETTINGS, lambda: NOW_MS / 1_000)
    diversion.waiting = waiting
    for _ in range(2):
        diversion.divert(*_batch())
    return diversion


def test_only_what_is_hot_goes_round_byte_for_byte_with_its_origin_and_its_interaction_as_key() -> None:
    records, events = _batch()
    diverted = _diversion(waiting=1_000).divert(records, events)
    assert diverted[8:] == [None, None], "another tenant's event, and what is no event, are not held back"
    for number, outgoing in enumerate(diverted[:8]):
        assert outgoing is not None
        assert (outgoing.topic, outgoing.key) == ("feedback.reentry", f"hot/i{number}".encode())
        assert outgoing.value == records[number].value
        assert origin_of(outgoing.headers) == Origin("own", NOW_MS - LATE_MS, 2)
        assert outgoing.partition == -1


def test_with_nothing_waiting_behind_the_batch_all_of_it_is_redacted() -> None:
    assert _diversion(waiting=0).divert(*_batch()) == [None] * 10
