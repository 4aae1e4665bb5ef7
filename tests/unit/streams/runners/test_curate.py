"""The curate runner on the state file: join, replays, conflicts, duplicates, dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.codec import Codec
from schemas.curation import Curation as CurationFile
from schemas.curation import Scoring
from schemas.events import Consent, Position, RedactedEvent, Retraction, Score
from schemas.outcomes import DeadLetter, Outcome, Rejection, Sample
from schemas.reasons import Reason
from streams.errors import StateUnavailable
from streams.redaction.hashing import KeyedHasher
from streams.redaction.sealing import Sealer, new_key_pair
from streams.runners import Batch, RawRecord
from streams.runners import curate as curating
from streams.runners.curate import CurateRunner
from streams.runners.dead_letters import DeadLetters
from streams.settings import Settings
from streams.stages.hold import hour
from streams.stages.outcome import Applied, sampled
from streams.state.sqlite import SqliteState
from tests.events import NOW_MS, interaction, record, redacted

CODEC = Codec()
UP, DOWN = Score("thumbs", value=1.0), Score("thumbs", value=0.0)
LONG = " ".join(f"word{number}" for number in range(40))


class Curation:
    """A runner with its state: takes batches, merges changes as the agent does."""

    def __init__(self, burst_per_hour: int = 100) -> None:
        self.store = SqliteState(":memory:")
        letters = DeadLetters("feedback.deadletter", CODEC, Sealer([new_key_pair().public]), 12)
        ids = {"feedback.redacted": "redacted-uuid", "feedback.replay": "replay-uuid"}
        rules = CurationFile(scores=Scoring(burst_per_hour=burst_per_hour))
        self.runner = CurateRunner(Settings(), CODEC, self.store, KeyedHasher("k" * 32), letters, ids, rules)

    def process(self, *records: RawRecord) -> Batch:
        return self.runner.process(records)

    def merge(self, batch: Batch) -> None:
        for changes in (batch.changes, batch.brief):
            self.store.merge(changes, 60)

    def outcomes(
        self, *events: RedactedEvent, topic: str = "feedback.redacted", timestamp_ms: int = NOW_MS
    ) -> list[Outcome]:
        batch = self.process(*(record(event, at, topic, 5, timestamp_ms) for at, event in enumerate(events)))
        self.merge(batch)
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
    events = chat("a"), thumb("a"), thumb("a", 2, DOWN, "again"), thumb("a", 3, by("another"), "theirs")
    outcomes = curation.outcomes(*events)
    assert [each.revision for each in outcomes] == [2, 3, 4]
    scores = [each.sample.score for each in outcomes if each.sample is not None]
    assert scores == [1.0, 0.0, 0.5], "a person's last word counts, and two persons' mean"


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

    def raising(applied: Applied, *rules: Any) -> object:
        if applied.event.interaction_id == "bad":
            raise RuntimeError("a bug")
        return judge(applied, *rules)

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


def by(judge: str | None, score: Score = UP) -> Score:
    return msgspec.structs.replace(score, by=judge)


def verdicts(outcomes: Sequence[Outcome]) -> list[str]:
    return ["sample" if each.rejection is None else each.rejection.reason.value for each in outcomes]


def test_a_person_s_scores_beyond_so_many_in_an_hour_are_held_whatever_they_judge() -> None:
    curation = Curation(burst_per_hour=3)
    curation.outcomes(*(chat(f"i{at}", at, f"{at} " * 9, f"{at} " * 9) for at in range(5)))
    thumbs = [thumb(f"i{at}", 10 + at, by("bot")) for at in range(5)]
    assert verdicts(curation.outcomes(*thumbs[:2])) == ["sample"] * 2
    held = curation.outcomes(*thumbs[2:])
    assert verdicts(held) == ["sample", "burst_held", "burst_held"]
    assert [each.rejection.scope for each in held if each.rejection is not None] == ["event"] * 2
    assert verdicts(curation.outcomes(thumb("i4", 20, by("another"), "theirs"))) == ["sample"]
    assert verdicts(curation.outcomes(thumb("i4", 3_700, by("bot"), "later"))) == ["sample"], "in the next hour"
    curation.store.close()


def test_a_score_without_a_judge_is_its_interaction_s_user_s() -> None:
    curation = Curation(burst_per_hour=1)
    mine = [
        redacted(f"c{at}", at, interaction_id=f"i{at}", interaction=interaction("q " * at, "a " * at, user="me"))
        for at in (1, 2)
    ]
    assert verdicts(curation.outcomes(*mine, thumb("i1", 3), thumb("i2", 4))) == ["sample", "burst_held"]
    curation.store.close()


def test_scores_of_which_nobody_knows_whose_they_are_count_by_interaction() -> None:
    curation = Curation(burst_per_hour=2)
    curation.outcomes(chat("a"), chat("b", 1, "Who?", "Me."))
    scores = [thumb("a", 2 + at, event_id=f"a{at}") for at in range(4)]
    assert verdicts(curation.outcomes(*scores)) == ["sample", "sample", "burst_held", "burst_held"]
    assert verdicts(curation.outcomes(thumb("b", 9))) == ["sample"]
    curation.store.close()


@pytest.mark.parametrize("judge", ["bot", None])
def test_a_replay_is_judged_as_the_first_time_also_at_the_edge_of_a_burst(judge: str | None) -> None:
    curation = Curation(burst_per_hour=2)
    events = [chat("a"), *(thumb("a", 2 + at, by(judge), f"a{at}") for at in range(4))]
    first = curation.outcomes(*events)
    assert verdicts(first) == ["sample", "sample", "burst_held", "burst_held"]
    assert curation.outcomes(*events) == first
    assert curation.outcomes(*events[3:]) == first[2:]
    curation.store.close()


def test_ten_thousand_thumbs_of_one_person_move_no_score_by_more_than_one() -> None:
    curation = Curation()
    honest = [thumb("a", 1 + at, by(f"person{at}"), f"honest{at}") for at in range(9)]
    (before,) = curation.outcomes(chat("a"), *honest)[-1:]
    bot = [thumb("a", 20 + at, by("bot", DOWN), f"bot{at}") for at in range(10_000)]
    after = [each for at in range(0, 10_000, 500) for each in curation.outcomes(*bot[at : at + 500])]
    samples = [each for each in after if each.sample is not None]
    assert len(samples) == 100 * len(set(map(hour, bot)))
    assert before.sample is not None and samples[-1].sample is not None
    assert before.sample.score == 1.0
    assert samples[-1].sample.score == pytest.approx(0.9), "one of ten"
    curation.store.close()


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
            actual.merge(batch)
        for outgoing in batch.outgoing:
            outcome = CODEC.decode(outgoing.value, Outcome)
            got.setdefault(outcome.entry, outcome)
        if crash == "no":
            at += size
    assert got == wanted
    expected.store.close()
    actual.store.close()


def said(outcome: Outcome) -> tuple[object, ...]:
    """What an outcome says, whichever event brought it about."""
    sources = sorted(source.event_id for source in outcome.sources)
    return outcome.sample_id, outcome.revision, sources, outcome.sample, outcome.rejection


@pytest.mark.parametrize("granted", [True, False])
def test_an_interaction_two_scores_a_retraction_and_a_consent_in_any_order_end_at_the_same(granted: bool) -> None:
    events = (
        chat("a", 5),
        thumb("a", 1, by("ada"), "first"),
        thumb("a", 2, by("jo", DOWN), "second"),
        redacted("back", 3, interaction_id="a", retraction=Retraction("first")),
        redacted("word", 4, interaction_id="a", consent=Consent(granted)),
    )
    ends = []
    for order in permutations(events):
        curation = Curation()
        outcomes = [outcome for event in order for outcome in curation.outcomes(event)]
        ends.append(said(max(outcomes, key=lambda outcome: outcome.revision)))
        curation.store.close()
    assert len(ends) == 120
    assert all(end == ends[0] for end in ends)
    *_, sample, rejection = ends[0]
    if granted:
        assert isinstance(sample, Sample)
        assert (sample.score, sample.consent) == (0.0, True)
    else:
        assert isinstance(rejection, Rejection)
        assert rejection.reason is Reason.CONSENT_WITHDRAWN


WORDS = [f"word{at}" for at in range(60)]
COPIES: Sequence[RedactedEvent] = tuple(
    event
    for at, skipped in enumerate((None, 3, 40, 55, 20))
    for event in (
        chat(
            f"copy{at}", 10 * at, "Tell me " + " ".join(WORDS[:10]), " ".join(w for w in WORDS if w != f"word{skipped}")
        ),
        thumb(f"copy{at}", 10 * at + 1, by(f"person{at}")),
        thumb(f"copy{at}", 10 * at + 2, by(f"person{at + 1}", DOWN), f"again{at}"),
    )
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_prefix_replayed_and_cut_into_any_batches_gives_the_same_samples_and_clusters(data: st.DataObject) -> None:
    expected, actual = Curation(), Curation()
    wanted = {outcome.entry: outcome for outcome in expected.outcomes(*COPIES)}
    got: dict[Position, Outcome] = {}
    for end in (data.draw(st.integers(0, len(COPIES))), len(COPIES)):
        at = 0
        while at < end:
            size = data.draw(st.integers(1, end - at))
            for outcome in actual.outcomes(*COPIES[at : at + size]):
                assert got.setdefault(outcome.entry, outcome) == outcome, "a replay says what was said before"
            at += size
    assert got == wanted
    assert {outcome.sample.cluster for outcome in got.values() if outcome.sample is not None} == {"t/copy0"}
    expected.store.close()
    actual.store.close()
