"""The curate runner on the state file: join, replays, conflicts, duplicates, dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.codec import Codec
from schemas.events import Position, RedactedEvent, Retraction, Score
from schemas.outcomes import DeadLetter, Outcome
from schemas.reasons import Reason
from streams.errors import StateUnavailable
from streams.redaction.hashing import KeyedHasher
from streams.redaction.sealing import Sealer, new_key_pair
from streams.runners import Batch, RawRecord
from streams.runners import curate as curating
from streams.runners.curate import CurateRunner
from streams.runners.dead_letters import DeadLetters
from streams.settings import Settings
from streams.stages.join import InteractionLog
from streams.stages.outcome import Applied, sampled
from streams.state.sqlite import SqliteState
from tests.events import interaction, record, redacted

CODEC = Codec()
UP, DOWN = Score("thumbs", value=1.0), Score("thumbs", value=0.0)
LONG = " ".join(f"word{number}" for number in range(40))


class Curation:
    """A runner with its state: takes batches, merges changes as the agent does."""

    def __init__(self) -> None:
        self.store = SqliteState(":memory:")
        letters = DeadLetters("feedback.deadletter", CODEC, Sealer([new_key_pair().public]), 12)
        ids = {"feedback.redacted": "redacted-uuid", "feedback.replay": "replay-uuid"}
        self.runner = CurateRunner(Settings(), CODEC, self.store, KeyedHasher("k" * 32), letters, ids)

    def process(self, *records: RawRecord) -> Batch:
        return self.runner.process(records)

    def outcomes(self, *events: RedactedEvent, topic: str = "feedback.redacted") -> list[Outcome]:
        batch = self.process(*(record(event, offset, topic, 5) for offset, event in enumerate(events)))
        self.store.merge(batch.changes, 60)
        assert all(outgoing.partition == 5 for outgoing in batch.outgoing)
        return [CODEC.decode(each.value, Outcome) for each in batch.outgoing if each.topic == "feedback.curated"]


@pytest.fixture
def curation() -> Iterator[Curation]:
    curation = Curation()
    yield curation
    curation.store.close()


def chat(name: str, at: int = 0, prompt: str = "Why?", answer: str = "Because.") -> RedactedEvent:
    return redacted(f"{name}-chat", at, interaction_id=name, interaction=interaction(prompt, answer))


def thumb(name: str, at: int = 1, score: Score = UP, event_id: str = "") -> RedactedEvent:
    return redacted(event_id or f"{name}-thumb", at, interaction_id=name, scores=(score,))


def test_an_interaction_with_its_score_becomes_a_sample(curation: Curation) -> None:
    (outcome,) = curation.outcomes(chat("a"), thumb("a"))
    assert outcome.sample is not None
    assert (outcome.sample_id, outcome.revision, outcome.sample.score) == ("t/a", 2, 1.0)
    assert outcome.entry == Position("raw", 0, 1)
    assert [source.event_id for source in outcome.sources] == ["a-chat", "a-thumb"]


def test_no_score_no_sample_and_a_later_batch_completes_it(curation: Curation) -> None:
    assert curation.outcomes(chat("a")) == []
    (outcome,) = curation.outcomes(thumb("a"))
    assert outcome.revision == 2


def test_a_score_before_its_interaction_is_held(curation: Curation) -> None:
    assert curation.outcomes(thumb("a", 0)) == []
    (outcome,) = curation.outcomes(chat("a", 1))
    assert outcome.sample is not None


def test_each_further_score_is_a_new_revision(curation: Curation) -> None:
    first, second = curation.outcomes(chat("a"), thumb("a"), thumb("a", 2, DOWN, "again"))
    assert (first.revision, second.revision) == (2, 3)
    assert second.sample is not None
    assert second.sample.score == 0.5


def test_taking_the_only_score_back_rejects_the_sample(curation: Curation) -> None:
    back = redacted("back", 2, interaction_id="a", retraction=Retraction("a-thumb"))
    *_, last = curation.outcomes(chat("a"), thumb("a"), back)
    assert last.rejection is not None
    assert (last.rejection.reason, last.revision) == (Reason.FEEDBACK_RETRACTED, 3)


def test_the_same_position_again_brings_about_the_same_outcome_again(curation: Curation) -> None:
    events = (chat("a"), thumb("a"), chat("b", 2), thumb("b", 3), thumb("a", 4, DOWN, "again"))
    assert curation.outcomes(*events) == curation.outcomes(*events)


def test_a_client_s_retry_at_a_new_position_is_recognised_and_brings_about_nothing(curation: Curation) -> None:
    curation.outcomes(chat("a"), thumb("a"))
    assert curation.outcomes(chat("a", 7), thumb("a", 8)) == []


def test_one_id_with_two_bodies_is_rejected_and_the_interaction_stays_as_it_was(curation: Curation) -> None:
    curation.outcomes(chat("a"), thumb("a"))
    other = redacted("a-thumb", 9, interaction_id="a", digest="another", scores=(DOWN,))
    (outcome,) = curation.outcomes(other)
    assert outcome.rejection is not None
    assert (outcome.rejection.reason, outcome.rejection.scope) == (Reason.ID_CONFLICT, "event")
    (again,) = curation.outcomes(thumb("a", 10, UP, "third"))
    assert again.revision == 3


def test_tenants_share_neither_ids_nor_interactions_nor_duplicates(curation: Curation) -> None:
    for tenant in ("t", "u"):
        events = [
            redacted("chat", 0, "a", tenant, interaction=interaction("Why?", LONG)),
            redacted("thumb", 1, "a", tenant, scores=(UP,)),
        ]
        (outcome,) = curation.outcomes(*events)
        assert outcome.sample is not None
        assert (outcome.sample_id, outcome.sample.duplicate_of) == (f"{tenant}/a", None)


def test_a_near_duplicate_is_kept_and_points_to_the_first(curation: Curation) -> None:
    curation.outcomes(chat("a", answer=LONG), thumb("a"))
    (outcome,) = curation.outcomes(chat("b", 2, answer=LONG + " more"), thumb("b", 3))
    assert outcome.sample is not None
    assert (outcome.sample.duplicate_of, outcome.sample.cluster) == ("t/a", "t/a")
    assert outcome.sample.similarity is not None
    assert outcome.sample.similarity >= 0.8


def test_near_duplicates_in_one_batch_are_found_too(curation: Curation) -> None:
    outcomes = curation.outcomes(chat("a", 0, answer=LONG), chat("b", 1, answer=LONG), thumb("a", 2), thumb("b", 3))
    assert [outcome.sample and outcome.sample.duplicate_of for outcome in outcomes] == [None, "t/a"]


def test_a_revision_and_a_replay_are_never_duplicates_of_their_own_sample(curation: Curation) -> None:
    events = (chat("a", answer=LONG), thumb("a"), thumb("a", 2, DOWN, "again"))
    for outcome in (*curation.outcomes(*events), *curation.outcomes(*events)):
        assert outcome.sample is not None
        assert outcome.sample.duplicate_of is None


def test_what_comes_through_the_replay_topic_enters_at_its_position_there(curation: Curation) -> None:
    curation.outcomes(chat("a"))
    (outcome,) = curation.outcomes(thumb("a", 1), topic="feedback.replay")
    assert outcome.entry == Position("replay-uuid", 5, 0)


def test_erasure_and_consent_of_a_person_bring_about_no_outcome(curation: Curation) -> None:
    assert curation.outcomes(redacted("e", interaction_id="")) == []


def test_an_event_on_which_a_stage_raises_is_sealed_away_and_the_others_go_on(
    curation: Curation, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = curating._judge

    def raising(log: InteractionLog, *rules: Any) -> object:
        if any(event.interaction_id == "bad" for event in log.events):
            raise RuntimeError("a bug")
        return judge(log, *rules)

    monkeypatch.setattr(curating, "_judge", raising)
    events = (chat("bad"), chat("a", 1), thumb("a", 2))
    batch = curation.process(*(record(event, index, "feedback.redacted") for index, event in enumerate(events)))
    letter = CODEC.decode(batch.outgoing[0].value, DeadLetter)
    assert (letter.reason, letter.stage, letter.entry) == (Reason.STAGE_FAILED, "curate", Position("raw", 0, 0))
    assert CODEC.decode(batch.outgoing[1].value, Outcome).sample is not None


def test_an_event_whose_outcome_cannot_be_built_is_sealed_away_and_the_others_go_on(
    curation: Curation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(applied: Applied, *rest: Any) -> Outcome:
        if applied.event.interaction_id == "bad":
            raise RuntimeError("a bug")
        return sampled(applied, *rest)

    monkeypatch.setattr(curating, "sampled", raising)
    events = (chat("bad"), thumb("bad"), chat("a", 2), thumb("a", 3))
    batch = curation.process(*(record(event, index, "feedback.redacted") for index, event in enumerate(events)))
    assert [outgoing.topic for outgoing in batch.outgoing] == ["feedback.deadletter", "feedback.curated"]


def test_an_outcome_larger_than_kafka_takes_is_sealed_away_and_its_partition_goes_on(
    curation: Curation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curation.runner, "_largest_bytes", 3_000)
    events = [chat("hot"), *(thumb("hot", at, Score("comment", text="x" * 500), f"c{at}") for at in range(1, 8))]
    batch = curation.process(*(record(event, index, "feedback.redacted") for index, event in enumerate(events)))
    letters = [CODEC.decode(each.value, DeadLetter) for each in batch.outgoing if each.topic == "feedback.deadletter"]
    assert {letter.reason for letter in letters} == {Reason.OVERSIZE}
    assert 0 < len(letters) < len(batch.outgoing)


def test_a_record_that_is_not_ours_is_sealed_away(curation: Curation) -> None:
    (outgoing,) = curation.process(record(b"garbage", 4, "feedback.redacted", 5)).outgoing
    letter = CODEC.decode(outgoing.value, DeadLetter)
    assert (letter.reason, letter.entry) == (Reason.UNDECODABLE, Position("redacted-uuid", 5, 4))


def test_a_state_that_is_away_is_said_so_and_nothing_is_dropped(curation: Curation) -> None:
    curation.store.close()
    with pytest.raises(StateUnavailable):
        curation.process(record(chat("a"), topic="feedback.redacted"))


STREAM: Sequence[RedactedEvent] = tuple(
    event
    for index, name in enumerate(("a", "b", "c"))
    for event in (
        chat(name, 10 * index, answer=LONG),
        thumb(name, 10 * index + 1),
        thumb(name, 10 * index + 2, DOWN, f"{name}2"),
    )
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_crashes_between_any_two_steps_change_no_outcome(data: st.DataObject) -> None:
    """Batches of any size; each may be processed and then lost before or after its state was merged, and come again."""
    expected, actual = Curation(), Curation()
    wanted = {outcome.entry: outcome for outcome in expected.outcomes(*STREAM)}
    got: dict[Position, Outcome] = {}
    at = 0
    while at < len(STREAM):
        size = data.draw(st.integers(1, len(STREAM) - at))
        crash = data.draw(st.sampled_from(["no", "before merge", "after merge"]))
        batch = actual.process(*(record(event, 0, "feedback.redacted", 5) for event in STREAM[at : at + size]))
        if crash != "before merge":
            actual.store.merge(batch.changes, 60)
        for outgoing in batch.outgoing:
            outcome = CODEC.decode(outgoing.value, Outcome)
            got.setdefault(outcome.entry, outcome)
        if crash == "no":
            at += size
    assert got == wanted
    expected.store.close()
    actual.store.close()
