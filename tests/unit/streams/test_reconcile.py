"""Reconciliation with the real curate runner, a lake and a producer in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytest

from schemas.codec import Codec
from schemas.events import RedactedEvent
from schemas.outcomes import Outcome
from schemas.tables import EVENTS, TABLES, arrow_table, event_row, outcome_row
from streams.brokers import GaplessProducer, Outgoing
from streams.lake.query import connect_to
from streams.reconcile import reconcile
from streams.settings import Settings
from tests.fakes import FakeLake
from tests.unit.streams.runners.test_curate import Curation, chat, thumb

MONTHS = 200 * 86_400
"""In seconds: longer than the state remembers."""


class World:
    """`curate` with a state that can forget, and the lake."""

    def __init__(self) -> None:
        self.curation = Curation()
        self.lake = FakeLake()
        for table in TABLES.values():
            self.lake.create(table)

    def forget(self) -> None:
        self.curation.store.close()
        self.curation = Curation()

    def take(self, *events: RedactedEvent) -> None:
        """Events come in, and their outcomes land."""
        self.lake.tables["events"].commit(arrow_table(EVENTS, map(event_row, events)), {})
        self._land(self.curation.outcomes(*events))

    def reconcile(self, settled_s: float = 0.0) -> int:
        """Publish again, and let `curate` take it; how many events that were."""
        published: list[RedactedEvent] = []

        class Producing:
            def deliver(self, records: Iterable[Outgoing]) -> None:
                published.extend(Codec().decode(each.value, RedactedEvent) for each in records)

        count = reconcile(connect_to(self.lake), Settings(), cast(GaplessProducer, Producing()), settled_s)
        assert count == len(published)
        self._land(self.curation.outcomes(*published, topic="feedback.replay"))
        return count

    def current(self) -> list[tuple[Any, ...]]:
        query = "SELECT sample_id, revision, score FROM samples_current ORDER BY sample_id"
        return connect_to(self.lake).execute(query).fetchall()

    def _land(self, outcomes: Iterable[Outcome]) -> None:
        for table, row in map(outcome_row, outcomes):
            self.lake.tables[table.name].commit(arrow_table(table, [row]), {})


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.curation.store.close()


def test_nothing_is_published_where_nothing_was_forgotten(world: World) -> None:
    world.take(chat("a"), thumb("a"), chat("b"))
    assert world.reconcile() == 0
    assert world.current() == [("t/a", 2, 1.0)]


def test_a_score_that_comes_months_late_revises_what_the_state_has_forgotten(world: World) -> None:
    world.take(chat("a"), thumb("a"), chat("b"))
    world.forget()
    late = [thumb(name, MONTHS, event_id=f"{name}-late") for name in ("a", "b")]
    world.take(*late)
    assert world.current() == [("t/a", 2, 1.0)], "alone the scores say nothing"
    assert world.reconcile() == 5
    assert world.current() == [("t/a", 3, 1.0), ("t/b", 2, 1.0)]
    assert world.reconcile() == 0


def test_what_may_be_on_its_way_is_left_alone(world: World) -> None:
    world.take(chat("a"))
    world.forget()
    world.take(thumb("a"))
    assert world.reconcile(settled_s=10**9) == 0
    assert world.reconcile(settled_s=0.0) == 2
    assert world.current() == [("t/a", 2, 1.0)]
