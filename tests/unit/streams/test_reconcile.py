"""Reconciliation with the real curate runner, a lake and a producer in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytest

from schemas.codec import Codec
from schemas.events import Consent, RedactedEvent, Review, Score
from schemas.outcomes import Outcome
from schemas.tables import EVENTS, TABLES, arrow_table, event_row, outcome_row
from streams.brokers import GaplessProducer, Outgoing
from streams.lake.query import connect_to
from streams.reconcile import reconcile, release
from streams.settings import Settings
from tests.events import NOW_MS, redacted
from tests.fakes import FakeLake
from tests.unit.streams.runners.test_curate import Curation, chat, thumb

MONTHS = 200 * 86_400
"""In seconds: longer than the state remembers."""


class Producing:
    """A producer that keeps what it was given."""

    def __init__(self) -> None:
        self.published: list[RedactedEvent] = []

    def deliver(self, records: Iterable[Outgoing]) -> None:
        self.published.extend(Codec().decode(each.value, RedactedEvent) for each in records)


class World:
    """`curate` with a state that can forget, and the lake."""

    def __init__(self, burst_per_hour: int = 100) -> None:
        self.curation = Curation(burst_per_hour)
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

    def reconcile(self, settled_s: float = 0.0, state_days: int = 10_000) -> int:
        """Publish again, and let `curate` take it at the end of the window; how many events that were."""
        producing = Producing()
        lake, settings = connect_to(self.lake), Settings(state_days=state_days)
        count = reconcile(lake, settings, cast(GaplessProducer, producing), settled_s)
        return self._take_again(count, producing.published, NOW_MS + state_days * 86_400_000)

    def release(self, *event_ids: str) -> int:
        """Let in what is held; how many events that were."""
        producing = Producing()
        count = release(connect_to(self.lake), Settings(), cast(GaplessProducer, producing), event_ids)
        return self._take_again(count, producing.published, NOW_MS)

    def _take_again(self, count: int, published: list[RedactedEvent], timestamp_ms: int) -> int:
        assert count == len(published)
        self._land(self.curation.outcomes(*published, topic="feedback.replay", timestamp_ms=timestamp_ms))
        return count

    def held(self) -> list[tuple[Any, ...]]:
        return connect_to(self.lake).execute("SELECT interaction_id, event_id FROM held ORDER BY ALL").fetchall()

    def states(self) -> list[tuple[Any, ...]]:
        query = "SELECT interaction_id, state, reason FROM interaction_states ORDER BY ALL"
        return connect_to(self.lake).execute(query).fetchall()

    def current(self) -> list[tuple[Any, ...]]:
        query = "SELECT sample_id, revision, score FROM samples_latest ORDER BY sample_id"
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


def test_what_nobody_scored_in_the_join_window_is_rejected_for_it_and_a_late_score_revives_it(world: World) -> None:
    world.take(chat("a"), chat("b"), thumb("b"))
    assert world.reconcile(state_days=10_000) == 0, "the window is open"
    assert world.reconcile(state_days=90) == 1
    assert world.states() == [("a", "rejected", "no_feedback"), ("b", "sample", None)]
    assert world.reconcile(state_days=90) == 0, "it is decided"
    world.forget()
    world.take(thumb("a", MONTHS))
    assert world.reconcile(state_days=90) == 2
    assert world.current() == [("t/a", 2, 1.0), ("t/b", 2, 1.0)]


def test_consent_that_is_given_back_lets_an_interaction_wait_again(world: World) -> None:
    withdrawn = redacted("no", at=1, interaction_id="a", consent=Consent(False))
    world.take(chat("a"), withdrawn)
    assert world.states() == [("a", "rejected", "consent_withdrawn")]
    world.take(redacted("yes", at=2, interaction_id="a", consent=Consent(True)))
    assert world.states() == [("a", "waiting", "no_score")]
    assert world.reconcile() == 0
    world.take(thumb("a", 3))
    assert world.states() == [("a", "sample", None)]


def test_an_edit_that_is_overruled_leaves_no_sample(world: World) -> None:
    edit = redacted("edit", at=1, interaction_id="a", review=Review("edit", output="Better."))
    world.take(chat("a"), edit)
    assert world.states() == [("a", "sample", None)]
    world.take(redacted("approve", at=2, interaction_id="a", review=Review("approve")))
    assert world.states() == [("a", "rejected", "feedback_retracted")]


def test_held_scores_are_seen_left_alone_by_reconciliation_and_let_in_on_release() -> None:
    world = World(burst_per_hour=2)
    world.take(*(chat(name, at, name * 9, name * 9) for at, name in enumerate("abcd")))
    world.take(*(thumb(name, 10, Score("thumbs", value=0.0, by="bot")) for name in "abcd"))
    scored, waiting = [(name, "sample", None) for name in "abcd"], [(name, "waiting", "no_score") for name in "abcd"]
    assert world.states() == scored[:2] + waiting[2:]
    assert world.held() == [("c", "c-thumb"), ("d", "d-thumb")]
    assert world.reconcile() == 0
    assert world.release("c-thumb") == 2, "with its interaction"
    assert world.held() == [("d", "d-thumb")]
    assert world.states() == scored[:3] + waiting[3:]
    world.forget()
    assert world.reconcile() == 0, "what is held is not forgotten"
    assert world.release() == 2
    assert world.held() == []
    assert world.states() == scored
    world.curation.store.close()
