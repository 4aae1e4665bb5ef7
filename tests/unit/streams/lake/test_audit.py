"""The audit over a lake: all of its events, a batch at a time."""

from __future__ import annotations

import pytest

from schemas.events import Erasure, Review, Score
from schemas.tables import EVENTS, arrow_table, event_row
from streams.errors import LakeUnavailable
from streams.lake.audit import BATCH_ROWS, audit_lake
from streams.redaction.audit import Kind
from tests.events import interaction, redacted
from tests.fakes import FakeLake


def test_all_kinds_of_events_are_read_over_batches_and_commits() -> None:
    lake = FakeLake()
    events = [
        redacted("i", interaction=interaction("call 212-555-0123", "no")),
        redacted("s", scores=(Score("comment", text="10.0.0.1"),)),
        redacted("r", review=Review("approve", comment="Dear Ada,")),
        redacted("e", erasure=Erasure("hash")),
    ]
    many = [redacted(f"m{number}", scores=(Score("comment", text="fine"),)) for number in range(BATCH_ROWS * 2)]
    for batch in (events, many):
        lake.create(EVENTS).append(arrow_table(EVENTS, map(event_row, batch)), {}, {})
    report = audit_lake(lake, 1.0)
    assert report.events == len(events) + len(many)
    assert report.findings == {Kind.DIGITS: 1, Kind.IP_ADDRESS: 1, Kind.NAME: 1}


def test_of_no_share_and_of_an_empty_lake_nothing_is_read() -> None:
    lake = FakeLake()
    assert audit_lake(lake, 1.0).events == 0
    lake.create(EVENTS).append(arrow_table(EVENTS, [event_row(redacted("e"))]), {}, {})
    assert audit_lake(lake, 0.0).events == 0


def test_a_lake_that_is_away_is_told() -> None:
    lake = FakeLake()
    lake.away = True
    with pytest.raises(LakeUnavailable):
        audit_lake(lake, 1.0)
