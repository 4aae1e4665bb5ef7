"""What the lake tells of dead letters without opening one."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.events import Position
from schemas.reasons import Reason
from schemas.tables import SAMPLES, arrow_table, outcome_row
from streams.errors import LakeUnavailable, SettingError
from streams.lake.delta import DeltaLake
from streams.lake.ports import Lake
from streams.letters.index import Group, Index, Letter, Selection, letter_id
from streams.letters.journal import Journal, Sending
from streams.redaction.sealing import key_id, new_key_pair
from tests.events import NOW_US, redacted
from tests.fakes import FakeLake
from tests.letters import PAIR, put, put_events, sealed_letter
from tests.outcomes import letter, outcome

SENT_AT = datetime(2025, 10, 10, tzinfo=UTC)
RECEIVED = datetime.fromtimestamp(NOW_US / 1e6, UTC)


@pytest.fixture(params=["fake", "delta"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    return FakeLake() if request.param == "fake" else DeltaLake(str(tmp_path / "lake"))


def listed(lake: Lake, **conditions: Any) -> list[Letter]:
    return list(Index(lake).letters(Selection(**conditions)))


def states(lake: Lake) -> dict[int, tuple[str, int]]:
    """Entry offset → state and attempts."""
    return {one.entry.offset: (one.state, one.attempts) for one in listed(lake)}


def test_an_index_row_says_everything_but_the_original(lake: Lake) -> None:
    put(
        lake,
        sealed_letter(b"original", 7, tenant="t", event_hash="h" * 32, schema_id="9", reason=Reason.UNKNOWN_SCHEMA),
    )
    (one,) = listed(lake)
    assert one == Letter(
        id=letter_id(Position("raw", 0, 7)),
        entry=Position("raw", 0, 7),
        received_at=RECEIVED + timedelta(seconds=7),
        stage="redact",
        reason="unknown_schema",
        tenant="t",
        source="feedback.events",
        schema_id="9",
        event_hash="h" * 32,
        attempts=1,
        first=letter_id(Position("raw", 0, 7)),
        size_bytes=8,
        key_ids=(key_id(PAIR.public),),
        state="waiting",
    )


def test_an_id_is_the_same_in_sql_and_here_and_another_for_every_position(lake: Lake) -> None:
    entries = [
        Position(topic, partition, offset) for topic in ("a", "a/1") for partition in (0, 11) for offset in (1, 11)
    ]
    put(lake, *(letter(entry=entry) for entry in entries))
    assert {one.entry: one.id for one in listed(lake)} == {entry: letter_id(entry) for entry in entries}
    assert len({letter_id(entry) for entry in entries}) == len(entries)


def test_a_lake_without_letters_has_none(lake: Lake) -> None:
    assert listed(lake) == []
    assert Index(lake).count(Selection()) == 0
    assert Index(lake).groups("reason", Selection()) == []


def test_letters_are_listed_newest_first_and_no_more_than_asked_for(lake: Lake) -> None:
    put(lake, *(letter(at) for at in range(5)))
    index = Index(lake)
    assert [one.entry.offset for one in index.letters(Selection())] == [4, 3, 2, 1, 0]
    assert [one.entry.offset for one in index.letters(Selection(), 2)] == [4, 3]
    assert index.count(Selection()) == 5


@pytest.mark.parametrize(
    ("conditions", "offsets"),
    [
        ({}, [3, 2, 1, 0]),
        ({"reasons": ("oversize",)}, [1]),
        ({"reasons": ("oversize", "undecodable")}, [3, 2, 1, 0]),
        ({"stages": ("curate",)}, [2]),
        ({"tenants": ("acme",)}, [3]),
        ({"sources": ("feedback.acme",)}, [3]),
        ({"states": ("waiting",)}, [3, 2, 1, 0]),
        ({"states": ("failed",)}, []),
        ({"since": RECEIVED + timedelta(seconds=1)}, [3, 2, 1]),
        ({"until": RECEIVED + timedelta(seconds=1)}, [0]),
        ({"ids": (letter_id(Position("raw", 0, 3)),)}, [3]),
        ({"ids": (letter_id(Position("raw", 0, 3))[:9].upper(), letter_id(Position("raw", 0, 0)))}, [3, 0]),
        ({"ids": ("x' OR true --",)}, []),
        ({"tenants": ("acme",), "stages": ("curate",)}, []),
    ],
)
def test_a_selection_means_letters_that_fulfil_every_condition(
    lake: Lake, conditions: dict[str, Any], offsets: list[int]
) -> None:
    put(
        lake,
        letter(0),
        letter(1, reason=Reason.OVERSIZE),
        letter(2, stage="curate"),
        letter(3, tenant="acme", topic="feedback.acme"),
    )
    assert [one.entry.offset for one in listed(lake, **conditions)] == offsets
    assert Index(lake).count(Selection(**conditions)) == len(offsets)


@pytest.mark.parametrize("conditions", [{"reasons": ("empty_output",)}, {"stages": ("sink",)}, {"states": ("gone",)}])
def test_a_condition_that_no_letter_can_fulfil_is_refused_with_what_there_is(conditions: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="must be one of"):
        Selection(**conditions)


def test_letters_are_counted_by_reason_and_by_each_key_that_opens_them(lake: Lake) -> None:
    old, new = new_key_pair(), new_key_pair()
    for at, keys in enumerate(([old], [old], [old, new])):
        put(lake, sealed_letter(b"12345", at, [pair.public for pair in keys]))
    put(lake, sealed_letter(b"1234567890", 3, [new.public], reason=Reason.OVERSIZE))
    index = Index(lake)
    assert index.groups("reason", Selection()) == [Group("undecodable", 3, 15), Group("oversize", 1, 10)]
    by_key = {group.value: group.letters for group in index.groups("key", Selection())}
    assert by_key == {key_id(old.public): 3, key_id(new.public): 2}
    assert index.groups("tenant", Selection()) == [Group(None, 4, 25)]


def test_a_letter_s_state_follows_from_the_journal_and_from_what_is_in_the_lake(lake: Lake) -> None:
    put(lake, *(letter(at) for at in range(6)))
    journal = Journal(lake)
    journal.note([Sending(Position("raw", 0, at), "feedback.reentry") for at in range(1, 6)], SENT_AT)
    places = {at: Position("re", 0, at) for at in range(2, 6)}
    journal.note([Sending(Position("raw", 0, at), "feedback.reentry", place) for at, place in places.items()], SENT_AT)
    put_events(lake, redacted("e3", entry=places[3]), redacted("other", entry=Position("re", 1, 2)))
    put(lake, letter(entry=places[4], attempts=2, topic="feedback.events"))
    table, row = outcome_row(outcome("i", entry=places[5]))
    assert table is SAMPLES
    lake.create(SAMPLES).append(arrow_table(SAMPLES, [row]), {}, {})
    found = {one.entry: one for one in listed(lake)}
    assert [found[Position("raw", 0, at)].state for at in range(6)] == [
        "waiting", "sent", "sent", "replayed", "failed", "replayed"
    ]  # fmt: skip
    assert found[Position("raw", 0, 1)].again is None
    assert found[Position("raw", 0, 2)].again == places[2]
    assert (found[places[4]].state, found[places[4]].attempts) == ("waiting", 2)


def test_a_letter_that_failed_again_and_again_is_traced_to_the_first(lake: Lake) -> None:
    entries = [Position("raw", 0, 1), Position("re", 0, 0), Position("re", 0, 9)]
    journal = Journal(lake)
    for entry, again in itertools.pairwise(entries):
        journal.note([Sending(entry, "feedback.reentry", again)], SENT_AT)
    # Letters of `curate` do not know by themselves that they are not the first.
    put(lake, *(letter(entry=entry, stage="curate") for entry in entries))
    found = {one.entry: one for one in listed(lake)}
    assert [found[entry].attempts for entry in entries] == [1, 2, 3]
    assert {found[entry].first for entry in entries} == {letter_id(entries[0])}
    assert [found[entry].state for entry in entries] == ["failed", "failed", "waiting"]


def test_what_was_sent_once_more_counts_by_its_last_time(lake: Lake) -> None:
    put(lake, letter(0))
    journal = Journal(lake)
    journal.note([Sending(Position("raw", 0, 0), "feedback.reentry", Position("re", 0, 1))], SENT_AT)
    journal.note([Sending(Position("raw", 0, 0), "feedback.reentry")], SENT_AT + timedelta(days=9))
    (one,) = listed(lake)
    assert (one.state, one.again, one.sent_at) == ("sent", None, SENT_AT + timedelta(days=9))


def test_events_of_the_lake_are_found_by_tenant_and_id(lake: Lake) -> None:
    put_events(lake, redacted("e1", at=1), redacted("e2", at=2), redacted("e1", at=3, tenant="u"))
    index = Index(lake)
    assert index.events([("t", "e1"), ("t", "e3"), ("u", "e2")]) == {("t", "e1"): Position("raw", 0, 1)}
    assert index.events([("u", "e1")]) == {("u", "e1"): Position("raw", 0, 3)}
    assert index.events([]) == {}


def test_a_list_reads_no_original(tmp_path: Path) -> None:
    lake = DeltaLake(str(tmp_path / "lake"))
    put(lake, letter(0))
    index = Index(lake)
    plans = [
        str(index._ask(f"EXPLAIN {query}").fetchall())
        for query in (
            "SELECT * FROM letters ORDER BY received_at DESC",
            "SELECT reason, count(*) FROM letters GROUP BY 1",
        )
    ]
    assert all("PYTHON_ARROW_SCAN" in plan for plan in plans)
    assert "sealed" in plans[0]
    assert not any("original" in plan for plan in plans)
    assert "original" in str(index._ask("EXPLAIN SELECT original FROM dead_letters").fetchall())


def test_a_lake_that_is_away_is_said_so() -> None:
    lake = FakeLake()
    lake.away = True
    with pytest.raises(LakeUnavailable):
        Index(lake)
