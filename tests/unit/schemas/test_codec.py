"""The three wire forms."""

from __future__ import annotations

import pytest

from schemas import avro
from schemas.codec import Codec, newest_schemas, schema_name
from schemas.errors import InvalidEvent, UndecodableRecord, UnknownSchemaError
from schemas.events import FeedbackEvent, Score
from schemas.outcomes import Outcome

EVENT = FeedbackEvent(event_id="e1", interaction_id="i1", scores=(Score("thumbs", value=1.0),))


class Registry:
    """A schema registry in a dictionary."""

    def __init__(self) -> None:
        self.texts = dict(enumerate(newest_schemas().values(), start=100))

    def id_of(self, subject: str) -> int:
        return 100 + list(newest_schemas()).index(subject)

    def text_of(self, schema_id: int) -> str:
        if schema_id not in self.texts:
            raise UnknownSchemaError(str(schema_id))
        return self.texts[schema_id]


def test_without_a_registry_a_record_is_single_object_encoded() -> None:
    value = Codec().encode(EVENT)
    assert value[:2] == b"\xc3\x01"
    assert value[2:10] == avro.current(FeedbackEvent).fingerprint
    assert Codec().decode(value, FeedbackEvent) == EVENT


def test_with_a_registry_a_record_has_confluent_framing() -> None:
    codec = Codec(Registry())
    value = codec.encode(EVENT)
    assert value[:5] == b"\x00\x00\x00\x00\x64"
    assert codec.decode(value, FeedbackEvent) == EVENT


def test_a_reader_takes_all_three_forms() -> None:
    codec = Codec(Registry())
    json = b'{"event_id": "e1", "interaction_id": "i1", "score": {"method": "thumbs", "value": "up"}}'
    for value in (Codec().encode(EVENT), codec.encode(EVENT), json, b"\n  " + json):
        assert codec.decode(value, FeedbackEvent) == EVENT


def test_only_events_come_as_json() -> None:
    with pytest.raises(UndecodableRecord):
        Codec().decode(b"{}", Outcome)


@pytest.mark.parametrize("value", [b"", b"\x00", b"\xc3\x01abc", b"nonsense", b"\x01\x02\x03\x04\x05\x06"])
def test_bytes_of_no_form_are_undecodable(value: bytes) -> None:
    with pytest.raises(UndecodableRecord):
        Codec(Registry()).decode(value, FeedbackEvent)


def test_an_unknown_schema_id_or_fingerprint_is_said_so() -> None:
    for value in (b"\x00\x00\x00\x00\x07abc", b"\xc3\x01" + b"8" * 8 + b"abc"):
        with pytest.raises(UnknownSchemaError):
            Codec(Registry()).decode(value, FeedbackEvent)


def test_a_schema_id_without_a_registry_is_unknown() -> None:
    with pytest.raises(UnknownSchemaError, match="no schema registry"):
        Codec().decode(b"\x00\x00\x00\x00\x64abc", FeedbackEvent)


def test_values_that_do_not_fit_the_record_are_invalid() -> None:
    other = FeedbackEvent(event_id="e1", scores=(Score("smiles"),))  # type: ignore[arg-type]
    with pytest.raises(InvalidEvent):
        Codec().decode(Codec().encode(other), FeedbackEvent)


def test_the_schema_that_a_value_announces_can_be_told_without_decoding() -> None:
    assert schema_name(b"\x00\x00\x00\x00\x07abc") == "7"
    assert schema_name(Codec().encode(EVENT)) == avro.current(FeedbackEvent).fingerprint.hex()
    assert schema_name(b"{}") is None


@pytest.mark.parametrize("value", [b"\x00536-90-4399", b"\xc3\x01536-90-4399", b"\x00a b ", b"\xc3\x01ada@lova"])
def test_what_reads_as_text_where_a_schema_is_announced_is_not_shown(value: bytes) -> None:
    assert schema_name(value) is None


def test_no_schema_of_ours_reads_as_text() -> None:
    for version in (version for subject in avro.SUBJECTS.values() for version in avro.versions(subject)):
        assert schema_name(b"\xc3\x01" + version.fingerprint) == version.fingerprint.hex()
