"""The audit finds what is wrong: each test breaks one thing in a lake that was right."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa
import pytest

from schemas.events import Consent, Position, RedactedEvent, Score
from schemas.outcomes import DeadLetter, Outcome
from schemas.reasons import Reason
from schemas.tables import DEAD_LETTERS, EVENTS, TABLES, arrow_table, dead_letter_row, event_row, outcome_row
from streams.lake.query import connect_to
from streams.redaction.hashing import KeyedHasher
from tests.chaos.audit import Findings, audit
from tests.chaos.ledger import Ledger
from tests.events import interaction, redacted
from tests.fakes import FakeLake
from tests.outcomes import letter, outcome

HASHER = KeyedHasher("k" * 32)


class World:
    """A lake and a ledger that agree: a sample of two events, a rejection, one that waits, two dead letters."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.events: list[RedactedEvent] = [
            redacted("a1", 0, "a", interaction=interaction("question", "answer")),
            redacted("a2", 1, "a", scores=(Score("thumbs", 1.0),)),
            redacted("b1", 2, "b", interaction=interaction("question", "answer")),
            redacted("b2", 3, "b", consent=Consent(granted=False)),
            redacted("c1", 4, "c", interaction=interaction("question", "answer")),
        ]
        self.outcomes: list[Outcome] = [
            outcome("a", 2, 1, score=1.0, confidence=0.5),
            outcome("b", 2, 3, rejected=Reason.CONSENT_WITHDRAWN),
        ]
        self.letters: list[DeadLetter] = [
            letter(5),
            msgspec.structs.replace(letter(6), event_hash=HASHER.event("t", "long")),
        ]
        for event_id in ("a1", "a2", "b1", "b2", "c1", "long"):
            self.ledger.sending("t", event_id)
            self.ledger.acknowledged("t", event_id)
        self.ledger.poisoned("raw", 0, 5)

    def audit(self) -> Findings:
        lake = FakeLake()
        for table in TABLES.values():
            lake.create(table)
        lake.tables["events"].commit(arrow_table(EVENTS, map(event_row, self.events)), {})
        lake.tables["dead_letters"].commit(arrow_table(DEAD_LETTERS, map(dead_letter_row, self.letters)), {})
        for table, row in map(outcome_row, self.outcomes):
            lake.tables[table.name].commit(arrow_table(table, [row]), {})
        sent: pa.Table = self.ledger.sent(HASHER)
        return audit(connect_to(lake), sent, self.ledger.poison())


@pytest.fixture
def world() -> World:
    return World()


def test_a_lake_that_is_right_passes(world: World) -> None:
    assert world.audit() == Findings([], [], [])


def test_an_event_that_was_not_acknowledged_may_be_missing_or_there(world: World) -> None:
    world.ledger.sending("t", "missing")
    world.ledger.sending("t", "c2")
    world.events.append(redacted("c2", 7, "c", interaction=interaction("question", "answer")))
    assert world.audit() == Findings([], [], [])


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4])
def test_an_acknowledged_event_that_is_missing_is_lost(world: World, place: int) -> None:
    gone = world.events.pop(place)
    assert world.audit().lost == [f"t/{gone.event_id}: acknowledged, and neither in events nor in the dead letters"]


def test_an_acknowledged_event_whose_dead_letter_is_missing_is_lost(world: World) -> None:
    world.letters.pop()
    assert world.audit().lost == ["t/long: acknowledged, and neither in events nor in the dead letters"]


def test_an_acknowledged_corrupt_record_whose_dead_letter_is_missing_is_lost(world: World) -> None:
    world.letters.pop(0)
    assert world.audit().lost == ["raw/0/5: corrupt, acknowledged, and not in the dead letters"]


def test_an_event_that_is_there_twice_is_double_also_unacknowledged(world: World) -> None:
    world.ledger.sending("t", "c2")
    again = [redacted("c2", at, "c", interaction=interaction("question", "answer")) for at in (7, 8)]
    world.events += again
    assert world.audit() == Findings([], ["t/c2: more than once in events"], [])


def test_an_event_that_nobody_sent_is_told(world: World) -> None:
    world.events.append(redacted("d1", 7, "d", interaction=interaction("question", "answer")))
    assert world.audit().double == ["t/d1: nobody sent it"]


def test_a_dead_letter_that_is_there_twice_is_double(world: World) -> None:
    world.letters.append(letter(5))
    assert world.audit().double == ["raw/0/5: a position more than once in the dead letters"]


def test_two_dead_letters_of_an_event_are_double_unless_it_was_sent_twice(world: World) -> None:
    world.letters.append(msgspec.structs.replace(world.letters[1], entry=Position("raw", 0, 7)))
    assert world.audit().double == ["t/long: more dead letters than it was sent"]
    world.ledger.sending("t", "long")
    assert world.audit().double == []


def test_an_event_that_is_both_a_row_and_a_dead_letter_is_double(world: World) -> None:
    world.letters.append(msgspec.structs.replace(letter(4), event_hash=HASHER.event("t", "c1")))
    assert world.audit().double == ["t/c1: both in events and in the dead letters of redact"]


def test_an_outcome_that_landed_twice_is_double(world: World) -> None:
    world.outcomes.append(world.outcomes[0])
    told = world.audit().double
    assert "raw/0/1: a position with more than one outcome" in told
    assert "t/a: more than one current sample" in told


@pytest.mark.parametrize(
    "wrong",
    [
        {"score": 0.5, "confidence": 0.5},
        {"score": 1.0, "confidence": 0.7},
        {"score": 1.0, "output": "another answer"},
        {"score": 1.0, "instruction": "another question"},
        {"score": 1.0, "duplicate_of": "t/a"},
        {"revision": 1, "score": 1.0},
        {"revision": 3, "score": 1.0},
        {"rejected": Reason.EMPTY_OUTPUT},
    ],
)
def test_a_sample_that_is_not_what_its_events_say_is_a_wrong_state(world: World, wrong: dict[str, Any]) -> None:
    world.outcomes[0] = outcome("a", **{"revision": 2, "at": 1, **wrong})
    findings = world.audit()
    assert (findings.lost, findings.double) == ([], [])
    assert [told.partition(":")[0] for told in findings.wrong_state] == ["t/a"]


def test_an_outcome_that_is_missing_is_a_wrong_state(world: World) -> None:
    world.outcomes.pop(0)
    assert [told.partition(":")[0] for told in world.audit().wrong_state] == ["t/a"]


def test_a_rejection_for_another_reason_is_a_wrong_state(world: World) -> None:
    world.outcomes[1] = outcome("b", 2, 3, rejected=Reason.REVIEW_REJECTED)
    assert [told.partition(":")[0] for told in world.audit().wrong_state] == ["t/b"]


def test_an_outcome_of_an_interaction_that_should_wait_is_a_wrong_state(world: World) -> None:
    world.outcomes.append(outcome("c", 1, 4, score=1.0))
    assert [told.partition(":")[0] for told in world.audit().wrong_state] == ["t/c"]


def test_an_outcome_without_events_is_a_wrong_state(world: World) -> None:
    world.outcomes.append(outcome("x", 1, 9, score=1.0))
    assert world.audit().wrong_state == ["t/x: has a state and no events"]


def test_a_near_duplicate_is_as_good_as_a_sample(world: World) -> None:
    world.outcomes[0] = outcome("a", 2, 1, score=1.0, duplicate_of="t/other", similarity=0.9)
    assert world.audit() == Findings([], [], [])
