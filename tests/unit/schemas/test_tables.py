"""Tables follow the records, and a record comes back out of its row."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Consent, Erasure, Position, RedactedEvent, Retraction, Review, Score
from schemas.outcomes import DeadLetter, GateOutcome, Outcome, Rejection, Sample
from schemas.reasons import Reason
from schemas.tables import (
    DEAD_LETTERS,
    EVENTS,
    REJECTED,
    SAMPLES,
    TABLES,
    TIMESTAMP,
    Table,
    arrow_table,
    day_of,
    dead_letter_row,
    event_of,
    event_row,
    outcome_row,
)
from tests.events import NOW_US, interaction, redacted
from tests.outcomes import letter, outcome

TIMES = st.integers(0, 4_102_444_800_000_000)  # 1970 to 2100
ENTRY = ["entry_topic_id", "entry_partition", "entry_offset"]


def names(record: type[msgspec.Struct], *without: str) -> list[str]:
    return [field.name for field in msgspec.structs.fields(record) if field.name not in without]


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (EVENTS, ["kind", *names(RedactedEvent, "entry")]),
        (SAMPLES, [*names(Outcome, "entry", "sample", "rejection"), *names(Sample)]),
        (REJECTED, [*names(Outcome, "entry", "sample", "rejection"), *names(Rejection)]),
        (DEAD_LETTERS, names(DeadLetter, "entry")),
    ],
)
def test_a_table_has_every_field_of_its_record_its_day_and_its_entry_position(table: Table, columns: list[str]) -> None:
    assert sorted(table.schema.names) == sorted(["day", *ENTRY, *columns])


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_has_its_key_and_its_times_in_utc(table: Table) -> None:
    assert set(table.key) <= set(table.schema.names)
    assert table.schema.field("received_at").type == TIMESTAMP
    assert table.schema.field("day").type == pa.date32()


@pytest.mark.parametrize(
    ("micros", "day"),
    [
        (0, date(1970, 1, 1)),
        (86_400_000_000 - 1, date(1970, 1, 1)),
        (86_400_000_000, date(1970, 1, 2)),
        (NOW_US, date(2025, 10, 9)),
    ],
)
def test_the_day_is_the_one_in_utc(micros: int, day: date) -> None:
    assert day_of(micros) == day


def test_a_late_event_lies_under_the_day_on_which_kafka_took_it() -> None:
    row = event_row(redacted("e", occurred_at=0, received_at=NOW_US))
    assert row["day"] == day_of(NOW_US)


EVENT_PARTS = [
    {"interaction": interaction("q", "a", user="u" * 32, tags=("x", "y"), latency_ms=1.5, input_tokens=3)},
    {"scores": (Score("thumbs", 1.0), Score("win_rate", wins=3, losses=1, ties=0, rater="model"))},
    {"retraction": Retraction("e0")},
    {"review": Review("edit", reviewer="r", output="better")},
    {"consent": Consent(granted=False, user="u" * 32)},
    {"erasure": Erasure(user="u" * 32), "interaction_id": ""},
]


@pytest.mark.parametrize("parts", EVENT_PARTS, ids=lambda parts: next(iter(parts)))
def test_an_event_comes_back_out_of_its_row(parts: dict[str, Any]) -> None:
    event = redacted("e", at=7, pii={"PERSON": 2}, **parts)
    assert [event_of(row) for row in arrow_table(EVENTS, [event_row(event)]).to_pylist()] == [event]


@given(occurred_at=TIMES, received_at=TIMES)
def test_times_are_exact_to_the_microsecond(occurred_at: int, received_at: int) -> None:
    event = redacted("e", occurred_at=occurred_at, received_at=received_at)
    (row,) = arrow_table(EVENTS, [event_row(event)]).to_pylist()
    assert event_of(row) == event
    assert (row["received_at"] - datetime(1970, 1, 1, tzinfo=UTC)).microseconds == received_at % 1_000_000


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.dictionaries(st.text(max_size=5), st.integers(0, 2**53), max_size=3),
)
def test_any_text_survives(text: str, pii: dict[str, int]) -> None:
    event = redacted("e", interaction=interaction(text, text), pii=pii)
    (row,) = arrow_table(EVENTS, [event_row(event)]).to_pylist()
    assert event_of(row) == event


def test_a_sample_goes_to_samples_and_a_rejection_to_rejected() -> None:
    table, row = outcome_row(outcome("i", revision=3, at=5, score=None, duplicate_of="t/j", similarity=0.9))
    assert table is SAMPLES
    (back,) = arrow_table(table, [row]).to_pylist()
    assert (back["sample_id"], back["revision"], back["score"], back["duplicate_of"]) == ("t/i", 3, None, "t/j")
    assert [back[name] for name in ENTRY] == ["raw", 0, 5]
    assert back["sources"][0]["entry"] == {"topic_id": "raw", "partition": 0, "offset": 5}

    table, row = outcome_row(outcome("i", rejected=Reason.EMPTY_OUTPUT, scope="event"))
    assert table is REJECTED
    (back,) = arrow_table(table, [row]).to_pylist()
    assert (back["reason"], back["scope"]) == ("empty_output", "event")


def test_what_a_gate_measured_and_why_it_refused_is_in_the_row() -> None:
    gates = (
        GateOutcome("length", "quality", False, Reason.EMPTY_OUTPUT, 0.0),
        GateOutcome("consent", "safety", True),
    )
    _, row = outcome_row(outcome("i", gates=gates))
    (back,) = arrow_table(SAMPLES, [row]).to_pylist()
    assert back["gates"][0]["reason"] == "empty_output"
    assert back["gates"][0]["value"] == 0.0
    nothing = {"reason": None, "value": None, "detail": None}
    assert back["gates"][1] == {"gate": "consent", "family": "safety", "passed": True, **nothing}


def test_the_seal_of_a_dead_letter_is_kept_byte_for_byte() -> None:
    box = bytes(range(256))
    sealed = msgspec.structs.replace(letter(), sealed=(msgspec.structs.replace(letter().sealed[0], box=box),))
    (back,) = arrow_table(DEAD_LETTERS, [dead_letter_row(sealed)]).to_pylist()
    assert back["sealed"] == [{"key_id": "key", "box": box}]


def test_a_row_has_exactly_the_columns_of_the_contract() -> None:
    rows = [event_row(redacted("e", entry=Position("raw", 1, 2)))]
    assert arrow_table(EVENTS, rows).schema == EVENTS.schema
    assert set(rows[0]) == set(EVENTS.schema.names)
