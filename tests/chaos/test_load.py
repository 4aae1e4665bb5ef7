"""What the load sends."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from schemas.codec import Codec
from schemas.errors import InvalidEvent, SchemaError
from schemas.events import FeedbackEvent
from schemas.intake import check_event
from streams.settings import Settings
from tests.chaos.load import conversations, corrupt


def some(seed: int, name: str, count: int = 2_000) -> list[FeedbackEvent]:
    return list(itertools.islice(conversations(seed, name, 20_000, lambda: 1_700_000_000.0), count))


def test_the_same_seed_sends_the_same_and_each_sender_its_own() -> None:
    assert some(1, "a") == some(1, "a")
    ids = [{event.event_id for event in some(1, name)} for name in ("a", "b")]
    assert not ids[0] & ids[1]


def test_every_event_is_valid_and_has_an_id_of_its_own() -> None:
    events = some(2, "a")
    for event in events:
        check_event(event)
    assert len({event.event_id for event in events}) == len(events)


def test_it_holds_every_kind_also_feedback_before_its_interaction_and_texts_that_are_too_long() -> None:
    events = some(3, "a", 4_000)
    assert {event.kind for event in events} == {"interaction", "score", "retraction", "consent", "review"}
    first = {event.interaction_id: event.kind for event in reversed(events)}
    assert Counter(first.values())["score"] > 20
    bodies = [event.interaction for event in events if event.interaction is not None]
    assert any(len(body.messages[0].content or "") > 20_000 for body in bodies)
    assert any(body.messages[1].content == "" for body in bodies)


@pytest.mark.parametrize("kind", ["magic", "truncated", "schema", "deep"])
def test_a_corrupt_record_is_no_event(kind: str) -> None:
    for number in range(50):
        with pytest.raises((SchemaError, InvalidEvent)):
            Codec().decode(corrupt(kind, number, Settings()), FeedbackEvent)


def test_an_oversize_record_is_larger_than_an_event_may_be() -> None:
    settings = Settings(max_event_bytes=50_000)
    assert len(corrupt("oversize", 1, settings)) > 50_000
