"""Letters go when they are too old, and on demand when they are in the lake by now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from schemas.events import Position
from streams.letters.index import Index, Selection
from streams.letters.journal import Journal, Sending
from streams.letters.retention import outdated, purge
from tests.events import NOW_US, redacted
from tests.fakes import FakeLake
from tests.letters import SETTINGS, put, put_events
from tests.outcomes import letter

DAY_S = 86_400


@pytest.fixture
def lake() -> FakeLake:
    """Letters 0 and 1 of a second before and at the age limit, 2 and 3 younger; 3 was replayed, 4 failed again."""
    lake = FakeLake()
    put(lake, *(letter(at) for at in (0, 1, DAY_S, DAY_S + 1, DAY_S + 2)))
    journal = Journal(lake)
    for number, at in enumerate((DAY_S + 1, DAY_S + 2)):
        journal.note([Sending(Position("raw", 0, at), "t", Position("re", 0, number))], datetime.now(UTC))
    put_events(lake, redacted("e", entry=Position("re", 0, 0)))
    put(lake, letter(DAY_S + 3, entry=Position("re", 0, 1)))
    return lake


def _old() -> Selection:
    settings = msgspec.structs.replace(SETTINGS, deadletter_days=30)
    return outdated(settings, datetime.fromtimestamp(NOW_US / 1e6, UTC) + timedelta(days=30, seconds=1))


def _left(lake: FakeLake) -> list[tuple[str, int]]:
    return sorted((one.entry.topic_id, one.entry.offset) for one in Index(lake).letters(Selection()))


def test_a_letter_is_kept_for_as_many_days_as_are_set_and_no_longer(lake: FakeLake) -> None:
    assert [one.entry.offset for one in Index(lake).letters(_old())] == [0]
    assert purge(lake, _old(), replayed=False) == 1
    assert [offset for topic, offset in _left(lake) if topic == "raw"] == [1, DAY_S, DAY_S + 1, DAY_S + 2]


def test_on_demand_what_is_in_the_lake_by_now_goes_too_and_what_failed_again_stays(lake: FakeLake) -> None:
    assert purge(lake, _old(), replayed=True) == 2
    assert _left(lake) == [("raw", 1), ("raw", DAY_S), ("raw", DAY_S + 2), ("re", 1)]


def test_a_lake_without_letters_has_none_to_purge() -> None:
    assert purge(FakeLake(), _old(), replayed=True) == 0
