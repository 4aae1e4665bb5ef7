"""The balance: what is nowhere is lost, what is there twice is double, everything else has its place."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from schemas.events import Consent, Position, RedactedEvent, Score
from schemas.outcomes import DeadLetter, Outcome
from schemas.reasons import Reason
from schemas.tables import DEAD_LETTERS, EVENTS, Row, Table, arrow_table, dead_letter_row, event_row, outcome_row
from streams.balance import Balance, balance, positions
from streams.feed import LEDGER
from streams.lake.query import connect_to
from tests.events import interaction, redacted
from tests.fakes import FakeLake
from tests.outcomes import letter, outcome

UP = Score("thumbs", value=1.0)


class Run:
    """A lake and what was sent to it in one run."""

    def __init__(self, lake: FakeLake) -> None:
        self._lake = lake
        self._sent: list[dict[str, Any]] = []
        self.before = positions(connect_to(lake), ["raw"])

    def sent(self, event: RedactedEvent) -> RedactedEvent:
        self._sent.append(
            {
                "event_id": event.event_id,
                "kind": event.kind,
                "interaction_id": event.interaction_id,
                "tenant": event.tenant,
                "topic_id": event.entry.topic_id,
                "partition": event.entry.partition,
                "offset": event.entry.offset,
            }
        )
        return event

    def landed(self, *records: RedactedEvent | Outcome | DeadLetter) -> None:
        for record in records:
            table, row = _row(record)
            self._lake.create(table).append(arrow_table(table, [row]), {}, {})

    def balance(self) -> Balance:
        ledger = pa.Table.from_pylist(self._sent, schema=LEDGER)
        return balance(connect_to(self._lake), ledger, self.before, 0)


def _row(record: RedactedEvent | Outcome | DeadLetter) -> tuple[Table, Row]:
    if isinstance(record, RedactedEvent):
        return EVENTS, event_row(record)
    if isinstance(record, Outcome):
        return outcome_row(record)
    return DEAD_LETTERS, dead_letter_row(record)


@pytest.fixture
def run() -> Run:
    return Run(FakeLake())


def chat(name: str, at: int) -> RedactedEvent:
    return redacted(f"{name}-chat-{at}", at, interaction_id=name, interaction=interaction("Why?", "Because."))


def thumb(name: str, at: int) -> RedactedEvent:
    return redacted(f"{name}-thumb-{at}", at, interaction_id=name, scores=(UP,))


def test_an_event_that_is_nowhere_is_lost_and_nothing_adds_up(run: Run) -> None:
    run.landed(run.sent(chat("a", 0)))
    run.sent(chat("b", 1))
    result = run.balance()
    assert (result.waiting, result.lost, result.adds_up) == (1, 1, False)


def test_an_event_that_is_there_twice_is_double_and_nothing_adds_up(run: Run) -> None:
    event = run.sent(chat("a", 0))
    run.landed(event, event)
    result = run.balance()
    assert (result.double, result.adds_up) == (1, False)


def test_each_interaction_counts_by_its_latest_state(run: Run) -> None:
    for at, name in enumerate(("kept", "copy", "refused", "waiting", "taken-back")):
        run.landed(run.sent(chat(name, at)))
    run.landed(
        outcome("kept", 2, 0),
        outcome("copy", 2, 1, duplicate_of="t/kept"),
        outcome("refused", 2, 2, rejected=Reason.EMPTY_OUTPUT),
        outcome("taken-back", 2, 4),
        outcome("taken-back", 3, 4, rejected=Reason.FEEDBACK_RETRACTED),
    )
    result = run.balance()
    assert result.adds_up
    assert (result.samples, result.duplicates, result.waiting) == (1, 1, 1)
    assert result.rejected == {"empty_output": 1, "feedback_retracted": 1}


def test_feedback_is_applied_or_waits_for_its_interaction(run: Run) -> None:
    run.landed(run.sent(chat("a", 0)), run.sent(thumb("a", 1)), run.sent(thumb("unknown", 2)), outcome("a", 2, 1))
    result = run.balance()
    assert result.adds_up
    assert (result.feedback.applied, result.feedback.waiting) == (1, 1)


def test_an_interaction_whose_outcome_lacks_an_event_is_unapplied_and_nothing_adds_up(run: Run) -> None:
    run.landed(run.sent(chat("a", 0)), run.sent(thumb("a", 1)), run.sent(thumb("a", 2)), outcome("a", 2, 1))
    result = run.balance()
    assert (result.unapplied, result.lost, result.adds_up) == (1, 0, False)


def test_a_word_on_a_person_needs_no_interaction(run: Run) -> None:
    run.landed(run.sent(redacted("no", 0, interaction_id="", consent=Consent(False, "hash"))))
    assert run.balance().feedback.applied == 1


def test_dead_letters_of_either_agent_are_accounted_for(run: Run) -> None:
    run.sent(chat("a", 0))
    run.sent(thumb("b", 1))
    event = run.sent(chat("c", 2))
    run.landed(letter(0), letter(1), event, letter(2, stage="curate"))
    result = run.balance()
    assert result.adds_up
    assert (result.dead_lettered, result.feedback.dead_lettered) == (2, 1)


def test_an_id_conflict_is_a_rejection_and_leaves_its_interaction_as_it_was(run: Run) -> None:
    run.landed(run.sent(chat("a", 0)), run.sent(thumb("a", 1)), outcome("a", 2, 1))
    run.sent(chat("a", 2))
    run.landed(outcome("a", 0, 2, rejected=Reason.ID_CONFLICT, scope="event"))
    result = run.balance()
    assert result.adds_up
    assert (result.samples, result.rejected) == (1, {"id_conflict": 1})


def test_a_later_version_of_an_interaction_is_an_update(run: Run) -> None:
    run.landed(run.sent(chat("a", 0)), run.sent(chat("a", 1)), run.sent(thumb("a", 2)), outcome("a", 3, 2))
    result = run.balance()
    assert result.adds_up
    assert (result.samples, result.updates) == (1, 1)


def test_what_was_there_before_is_replayed_by_position_or_by_id() -> None:
    lake = FakeLake()
    first = Run(lake)
    event = first.sent(chat("a", 0))
    first.landed(event, outcome("a", 2, 0))
    again = Run(lake)
    again.sent(event)
    again.sent(
        redacted(event.event_id, 7, interaction_id="a", entry=Position("other", 0, 7), interaction=event.interaction)
    )
    result = again.balance()
    assert result.adds_up
    assert (result.samples, result.replayed, result.replayed_interactions) == (0, 2, 2)


def test_late_feedback_revises_a_sample_of_an_earlier_run() -> None:
    lake = FakeLake()
    first = Run(lake)
    first.landed(first.sent(chat("a", 0)))
    late = Run(lake)
    late.landed(late.sent(thumb("a", 1)), outcome("a", 2, 1))
    result = late.balance()
    assert result.adds_up
    assert (result.revised, result.samples, result.received) == (1, 0, {"score": 1})


def test_nothing_sent_adds_up_to_nothing(run: Run) -> None:
    result = run.balance()
    assert result.adds_up
    assert result.received == {}
