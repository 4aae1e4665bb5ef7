"""JSON in: what is taken, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidEvent
from schemas.events import FeedbackEvent
from schemas.intake import event_from_json, event_to_json, parse_json
from tests.unit.schemas.test_avro import EVENTS

THUMB: dict[str, Any] = {"event_id": "e", "interaction_id": "i", "score": {"method": "thumbs", "value": "up"}}
CHAT: list[Any] = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def _refused(fields: dict[str, Any]) -> str:
    with pytest.raises(InvalidEvent) as caught:
        event_from_json({**THUMB, **fields})
    return str(caught.value)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": Infinity}', "not JSON"),
        (b'{"a": -Infinity}', "not JSON"),
        (b'{"a": 1e999}', "not JSON"),
        (b'{"a": "\\ud800"}', "not JSON"),
        (b'{"a": "\\udc00 after"}', "not JSON"),
        (b'{"a": "\xed\xa0\x80"}', "not JSON"),
        (b'{"a": "\xff"}', "not JSON"),
        (b'{"a": ' * 100 + b"1" + b"}" * 100, "nested deeper"),
        (b"[" * 100_000 + b"]" * 100_000, "nested deeper"),
    ],
)
def test_what_is_no_strict_json_is_refused(body: bytes, problem: str) -> None:
    with pytest.raises(InvalidEvent, match=problem):
        parse_json(body)


def test_the_depth_limit_is_exact() -> None:
    parse_json(b"[" * 64 + b"]" * 64, max_depth=64)
    with pytest.raises(InvalidEvent, match="nested deeper"):
        parse_json(b"[" * 65 + b"]" * 65, max_depth=64)


@pytest.mark.parametrize("parsed", [[], "text", 5, None, True])
def test_an_event_is_an_object(parsed: object) -> None:
    with pytest.raises(InvalidEvent, match="JSON object"):
        event_from_json(parsed)


def test_missing_ids_are_named() -> None:
    assert _refused({"event_id": None}) == "event_id: is required"
    assert _refused({"interaction_id": None}) == "interaction_id: is required"


def test_wrong_types_are_named_with_their_path() -> None:
    assert _refused({"event_id": 5}).startswith("event_id: expected `str`")
    assert _refused({"interaction": {"messages": "Hi"}}).startswith("interaction.messages: expected `array`")
    assert _refused({"interaction": []}).startswith("interaction: expected `object | null`")
    assert _refused({"scores": {}, "score": None}).startswith("scores: expected `array`")
    assert "interaction.input_tokens" in _refused({"interaction": {"messages": CHAT, "input_tokens": 10**30}})


def test_an_event_must_say_something() -> None:
    assert "at least one of" in _refused({"score": None})


@pytest.mark.parametrize(
    ("score", "field"),
    [
        ({"method": "smiles", "value": 1}, "method"),
        ({"method": "thumbs", "value": 0.5}, "value"),
        ({"method": "thumbs", "value": "sideways"}, "value"),
        ({"method": "thumbs"}, "value"),
        ({"method": "stars", "value": 11, "maximum": 5}, "value"),
        ({"method": "stars", "value": 0}, "value"),
        ({"method": "stars", "value": 2.5}, "value"),
        ({"method": "stars", "value": 1, "maximum": 1}, "maximum"),
        ({"method": "numeric", "value": 5}, "minimum"),
        ({"method": "numeric", "value": 5, "minimum": 9, "maximum": 1}, "minimum"),
        ({"method": "numeric", "value": 11, "minimum": 0, "maximum": 10}, "value"),
        ({"method": "numeric", "value": 0, "minimum": -1.7e308, "maximum": 1.7e308}, "maximum"),
        ({"method": "win_rate", "wins": 3}, "wins"),
        ({"method": "win_rate", "wins": 0, "losses": 0}, "wins"),
        ({"method": "win_rate", "wins": -1, "losses": 5}, "wins"),
        ({"method": "pairwise"}, "over"),
        ({"method": "correction", "text": "  "}, "text"),
        ({"method": "comment"}, "text"),
    ],
)
def test_a_score_out_of_its_method_s_range_is_refused(score: dict[str, Any], field: str) -> None:
    assert field in _refused({"score": score})


@pytest.mark.parametrize(
    "score",
    [
        {"method": "thumbs", "value": "down"},
        {"method": "thumbs", "value": True},
        {"method": "success", "value": False},
        {"method": "stars", "value": 1},
        {"method": "stars", "value": 11, "maximum": 11},
        {"method": "numeric", "value": 10, "minimum": 0, "maximum": 10},
        {"method": "win_rate", "wins": 0, "losses": 0, "ties": 1},
        {"method": "pairwise", "over": "other"},
        {"method": "demonstration", "text": "better"},
    ],
)
def test_a_score_at_the_edge_of_its_range_is_taken(score: dict[str, Any]) -> None:
    assert event_from_json({**THUMB, "score": score}).scores[0].method == score["method"]


def test_the_tenant_of_a_body_is_ignored() -> None:
    assert event_from_json({**THUMB, "tenant": "other"}, tenant="mine").tenant == "mine"
    assert event_from_json({**THUMB, "tenant": "other"}).tenant == ""


@pytest.mark.parametrize(
    ("said", "micros"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("2100-01-01T00:00:00+00:00", 4_102_444_800_000_000),
        (1_000, 1_000_000),
        (None, 0),
    ],
)
def test_times_come_as_text_or_epoch_milliseconds(said: object, micros: int) -> None:
    assert event_from_json({**THUMB, "occurred_at": said}).occurred_at == micros


@pytest.mark.parametrize("said", ["yesterday", 10**20, True, [], "2026-13-01"])
def test_a_time_that_is_none_is_refused(said: object) -> None:
    assert "occurred_at" in _refused({"occurred_at": said})


def test_a_flat_interaction_becomes_messages() -> None:
    flat = {"instruction": "Translate", "input": "Haus", "output": "house"}
    event = event_from_json({**THUMB, "interaction": flat})
    assert event.interaction is not None
    assert [(m.role, m.content) for m in event.interaction.messages] == [
        ("user", "Translate\n\nHaus"),
        ("assistant", "house"),
    ]


def test_openai_s_nesting_is_taken_apart() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {}}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}],
        },
    ]
    event = event_from_json({**THUMB, "interaction": {"messages": messages, "tools": [{"type": "function"}]}})
    assert event.interaction is not None
    user, assistant = event.interaction.messages
    assert [part.type for part in user.parts] == ["text", "image_url"]
    assert user.parts[1].data == '{"image_url":{}}'
    assert assistant.tool_calls[0].arguments == '{"at": 1}'
    assert event.interaction.tools == '[{"type":"function"}]'


def test_erasure_comes_alone_and_needs_no_interaction() -> None:
    assert event_from_json({"event_id": "e", "erasure": {"user": "u"}}).kind == "erasure"
    assert "erasure" in _refused({"erasure": {"user": "u"}})


@given(EVENTS)
def test_an_event_survives_its_json_form(event: FeedbackEvent) -> None:
    event = msgspec.structs.replace(event, occurred_at=1_700_000_000_000_000, interaction=None, scores=THUMBS)
    assert event_from_json(parse_json(event_to_json(event))) == event


THUMBS = event_from_json(THUMB).scores
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["event_id", "interaction_id", "interaction", "scores", "score", "review", "occurred_at"]), JSON
    )
)
def test_no_json_object_raises_anything_but_invalid_event(fields: dict[str, Any]) -> None:
    try:
        event_from_json(fields)
    except InvalidEvent as refused:
        assert str(refused)


@pytest.mark.parametrize(
    ("field", "parts"),
    [
        ("scores[0].method", {"score": {"method": "ada@lovelace.example"}}),
        ("scores[0].rater", {"score": {"method": "thumbs", "value": 1, "rater": "ada@lovelace.example"}}),
        ("review.decision", {"review": {"decision": "ada@lovelace.example"}}),
        ("interaction.messages[0].role", {"interaction": {"messages": [{"role": "ada@lovelace.example"}]}}),
        ("occurred_at", {"retraction": {"of": "e"}, "occurred_at": "ada@lovelace.example"}),
        ("source", {"retraction": {"of": "e"}, "source": "ada@lovelace.example"}),
    ],
)
def test_a_refusal_names_the_field_and_quotes_no_data_that_was_in_it(field: str, parts: dict[str, object]) -> None:
    with pytest.raises(InvalidEvent) as refused:
        event_from_json({"event_id": "e", "interaction_id": "i", **parts})
    assert refused.value.field == field
    assert "lovelace" not in str(refused.value)
