"""The Avro files agree with the records, and every version reads what the earlier ones wrote."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import avro
from schemas.errors import IncompatibleSchemaError, UndecodableRecord
from schemas.events import FeedbackEvent, Interaction, Message, Score, ToolCall

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
IDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
MESSAGES = st.builds(
    Message,
    st.sampled_from(["user", "assistant", "tool"]),
    st.none() | TEXT,
    tool_calls=st.lists(st.builds(ToolCall, TEXT, TEXT), max_size=2).map(tuple),
)
EVENTS = st.builds(
    FeedbackEvent,
    event_id=IDS,
    interaction_id=IDS,
    occurred_at=st.integers(-(2**62), 2**62),
    interaction=st.none()
    | st.builds(Interaction, st.lists(MESSAGES, max_size=3).map(tuple), tags=st.lists(TEXT, max_size=2).map(tuple)),
    scores=st.lists(st.builds(Score, st.just("stars"), value=st.floats(allow_nan=False)), max_size=2).map(tuple),
)


def _shape(schema: Any) -> Any:
    """A schema without what is only for readers: docs and the namespace."""
    if isinstance(schema, list):
        return [_shape(branch) for branch in schema]
    if isinstance(schema, dict):
        return {key: _shape(value) for key, value in schema.items() if key not in ("doc", "namespace")}
    return schema


@pytest.mark.parametrize("record", avro.SUBJECTS, ids=lambda record: record.__name__)
def test_the_newest_avro_file_says_what_the_record_says(record: type[avro.Record]) -> None:
    assert _shape(json.loads(avro.current(record).text)) == _shape(avro.avro_schema(record))


@pytest.mark.parametrize("subject", avro.SUBJECTS.values())
def test_every_version_can_read_all_earlier_ones(subject: str) -> None:
    versions = avro.versions(subject)
    assert [version.number for version in versions] == list(range(1, len(versions) + 1))
    for index, reader in enumerate(versions):
        for writer in versions[: index + 1]:
            avro.check_compatible(
                avro.resolve_names(json.loads(reader.text)), avro.resolve_names(json.loads(writer.text))
            )


def _event_schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(avro.current(FeedbackEvent).text)
    return schema


def test_a_new_field_without_a_default_is_incompatible_and_named() -> None:
    old, new = _event_schema(), _event_schema()
    new["fields"].append({"name": "mood", "type": "string"})
    with pytest.raises(IncompatibleSchemaError, match="mood"):
        avro.check_compatible(avro.resolve_names(new), avro.resolve_names(old))


def test_a_new_field_with_a_default_is_compatible() -> None:
    old, new = _event_schema(), _event_schema()
    new["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
    avro.check_compatible(avro.resolve_names(new), avro.resolve_names(old))


def test_a_changed_type_deep_inside_is_incompatible_and_named() -> None:
    old = avro.resolve_names(_event_schema())
    new = copy.deepcopy(old)
    scores = next(field for field in new["fields"] if field["name"] == "scores")
    next(field for field in scores["type"]["items"]["fields"] if field["name"] == "method")["type"] = "long"
    with pytest.raises(IncompatibleSchemaError, match=r"scores\[\]\.method"):
        avro.check_compatible(new, old)


@given(EVENTS)
def test_an_event_survives_avro(event: FeedbackEvent) -> None:
    assert avro.decode(avro.encode(event), avro.current(FeedbackEvent).parsed, FeedbackEvent) == event


@given(EVENTS, st.data())
def test_a_truncated_event_is_undecodable_and_never_another_event(event: FeedbackEvent, data: st.DataObject) -> None:
    body = avro.encode(event)
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(UndecodableRecord):
        avro.decode(body[:cut], avro.current(FeedbackEvent).parsed, FeedbackEvent)


def test_bytes_left_over_are_undecodable() -> None:
    body = avro.encode(FeedbackEvent(event_id="e")) + b"\x00"
    with pytest.raises(UndecodableRecord, match="left over"):
        avro.decode(body, avro.current(FeedbackEvent).parsed, FeedbackEvent)


def test_fingerprints_are_the_avro_specification_s_own() -> None:
    # https://avro.apache.org/docs/1.12.0/specification/#schema-fingerprints: "int" has 0x7275d51a3f395c8f.
    assert avro._load("int", 1, '"int"').fingerprint == bytes.fromhex("8f5c393f1ad57572")
