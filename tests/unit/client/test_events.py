"""What the calls send, checked by the collector's own reader."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace_client import FeedbackClient
from millrace_client.events import new_id
from millrace_client.testing import FakeCollector

from schemas.events import Consent, Erasure, FeedbackEvent, Message, Retraction, Review, Score
from schemas.intake import event_from_json


def event_of(call: Callable[[FeedbackClient], object]) -> FeedbackEvent:
    """The event that one call sends, as the collector reads it."""
    collector = FakeCollector()
    with FeedbackClient(transport=collector, source="shop") as client:
        call(client)
    (event,) = collector.events
    return event_from_json(event, tenant="acme")


def test_chat_messages_arrive_with_the_output_as_their_answer() -> None:
    event = event_of(lambda client: client.interaction([{"role": "user", "content": "hi"}], output="hello"))
    assert event.interaction is not None
    assert event.interaction.messages == (Message("user", "hi"), Message("assistant", "hello"))
    assert event.source == "shop"


def test_a_flat_interaction_arrives_with_all_its_fields() -> None:
    event = event_of(
        lambda client: client.interaction(
            instruction="Translate.",
            input="Guten Tag",
            output="Good day",
            interaction_id="i-1",
            model="m",
            model_version="2",
            variant="b",
            role="translator",
            task_type="translation",
            intent="greeting",
            user="u-1",
            latency_ms=12.5,
            input_tokens=3,
            output_tokens=2,
            tools=[{"type": "function", "function": {"name": "lookup"}}],
            tags=["a", "b"],
            consent=True,
            sensitive=True,
        )
    )
    interaction = event.interaction
    assert interaction is not None
    assert event.interaction_id == "i-1"
    assert interaction.messages[0] == Message("user", "Translate.\n\nGuten Tag")
    assert (interaction.model, interaction.model_version, interaction.variant) == ("m", "2", "b")
    assert (interaction.role, interaction.task_type, interaction.intent) == (
        "translator",
        "translation",
        "greeting",
    )
    assert (interaction.user, interaction.latency_ms, interaction.tags) == ("u-1", 12.5, ("a", "b"))
    assert (interaction.input_tokens, interaction.output_tokens) == (3, 2)
    assert interaction.tools == '[{"type":"function","function":{"name":"lookup"}}]'
    assert (interaction.consent, interaction.sensitive) == (True, True)


def test_a_message_object_of_an_sdk_arrives_as_its_json() -> None:
    class CompletionMessage:
        def model_dump(self, *, mode: str) -> dict[str, object]:
            assert mode == "json"
            return {"role": "assistant", "content": "hello", "refusal": None, "tool_calls": None}

    event = event_of(lambda client: client.interaction([{"role": "user", "content": "hi"}, CompletionMessage()]))
    assert event.interaction is not None
    assert event.interaction.messages[-1] == Message("assistant", "hello")


@pytest.mark.parametrize(
    ("call", "score"),
    [
        (lambda client: client.score("i", value="up"), Score("thumbs", 1.0)),
        (lambda client: client.score("i", value=False), Score("thumbs", 0.0)),
        (lambda client: client.score("i", "stars", 4, maximum=5), Score("stars", 4.0, maximum=5.0)),
        (
            lambda client: client.score("i", "numeric", 7, minimum=0, maximum=10, rater="model"),
            Score("numeric", 7.0, minimum=0.0, maximum=10.0, rater="model"),
        ),
        (
            lambda client: client.score("i", "success", True, rater="metric"),
            Score("success", 1.0, rater="metric"),
        ),
        (
            lambda client: client.score("i", "win_rate", wins=3, losses=1, ties=2),
            Score("win_rate", wins=3, losses=1, ties=2),
        ),
        (lambda client: client.score("i", "pairwise", over="j"), Score("pairwise", over="j")),
        (lambda client: client.score("i", "correction", text="better"), Score("correction", text="better")),
        (lambda client: client.score("i", "comment", text="too long"), Score("comment", text="too long")),
    ],
)
def test_each_method_of_scoring_arrives(call: Callable[[FeedbackClient], object], score: Score) -> None:
    assert event_of(call).scores == (score,)


def test_a_retraction_names_the_event_that_it_takes_back() -> None:
    event = event_of(lambda client: client.retract("e-1", "i-1"))
    assert (event.retraction, event.interaction_id) == (Retraction("e-1"), "i-1")


def test_a_review_arrives() -> None:
    event = event_of(lambda client: client.review("i-1", "edit", reviewer="ann", output="x", comment="y"))
    assert event.review == Review("edit", "ann", "x", "y")


def test_consent_is_for_an_interaction_or_for_a_person() -> None:
    one = event_of(lambda client: client.consent(False, "i-1"))
    assert (one.consent, one.interaction_id) == (Consent(False), "i-1")
    everything = event_of(lambda client: client.consent(True, user="u-1"))
    assert (everything.consent, everything.interaction_id) == (Consent(True, "u-1"), "")


def test_an_erasure_names_the_person_only() -> None:
    event = event_of(lambda client: client.erase("u-1"))
    assert (event.erasure, event.interaction_id) == (Erasure("u-1"), "")


def test_the_event_id_that_a_call_returns_is_the_one_that_arrives() -> None:
    returned: list[str] = []
    event = event_of(lambda client: returned.append(client.score("i", value="up")))
    assert returned == [event.event_id]
    assert event_of(lambda client: client.score("i", value="up", event_id="mine")).event_id == "mine"


def test_an_interaction_returns_its_interaction_id_which_is_the_event_id_too_if_the_client_made_it() -> None:
    returned: list[str] = []
    event = event_of(lambda client: returned.append(client.interaction(output="x")))
    assert returned == [event.interaction_id] == [event.event_id]
    named = event_of(lambda client: returned.append(client.interaction(output="x", interaction_id="i-1")))
    assert returned[1] == named.interaction_id == "i-1" != named.event_id


def test_the_same_interaction_sent_twice_is_two_events() -> None:
    collector = FakeCollector()
    with FeedbackClient(transport=collector) as client:
        client.interaction(output="x", interaction_id="i-1")
        client.interaction(output="y", interaction_id="i-1")
    first, second = collector.events
    assert first["event_id"] != second["event_id"]


def test_the_time_of_the_call_goes_along_in_utc_with_microseconds() -> None:
    collector = FakeCollector()
    with FeedbackClient(transport=collector) as client:
        before = datetime.now(UTC)
        client.erase("u-1")
        after = datetime.now(UTC)
    occurred_at = str(collector.events[0]["occurred_at"])
    assert before <= datetime.fromisoformat(occurred_at) <= after
    assert len(occurred_at) == len("2026-01-02T03:04:05.000006+00:00")


def test_a_given_time_arrives_whatever_its_zone() -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, 6, timezone(timedelta(hours=2)))
    event = event_of(lambda client: client.erase("u-1", occurred_at=when))
    assert event.occurred_at == int(when.timestamp()) * 1_000_000 + 6
    naive = event_of(lambda client: client.erase("u-1", occurred_at=datetime(2026, 1, 2, 1, 4, 5, 6)))
    assert naive.occurred_at == event.occurred_at


@given(now_ms=st.integers(0, 2**48 - 1), entropy=st.binary(min_size=10, max_size=10))
def test_an_id_is_a_uuid_of_version_7_that_grows_with_time(now_ms: int, entropy: bytes) -> None:
    made = uuid.UUID(new_id(now_ms, entropy))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == now_ms
    assert str(made) == new_id(now_ms, entropy)
