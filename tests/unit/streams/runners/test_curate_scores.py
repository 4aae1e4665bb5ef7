"""Scores through `curate`: the interval, the raw values, the judge and the edited answer reach the sample."""

from __future__ import annotations

import pytest

from schemas.codec import Codec
from schemas.events import Score
from schemas.outcomes import Outcome, Sample
from streams.redaction.hashing import KeyedHasher
from streams.redaction.sealing import Sealer, new_key_pair
from streams.runners.curate import CurateRunner
from streams.runners.dead_letters import DeadLetters
from streams.settings import Settings
from streams.stages.score import VERSION
from streams.state.sqlite import SqliteState
from tests.events import interaction, record, redacted

CODEC = Codec()
ANSWER = "Ask <PERSON:ab12cd34> at  nine,\nplease."


def _outcome(*scores: Score) -> Outcome:
    """The last outcome for an interaction of `asker` and these scores, an event each."""
    store = SqliteState(":memory:")
    letters = DeadLetters("feedback.deadletter", CODEC, Sealer([new_key_pair().public]), 12)
    runner = CurateRunner(Settings(), CODEC, store, KeyedHasher("k" * 32), letters, {"feedback.redacted": "topic"})
    body = interaction("Whom do I ask, <PERSON:ab12cd34> or <PERSON:ffff0000>?", ANSWER, user="asker")
    events = [redacted("chat", interaction=body)]
    events += [redacted(f"s{at}", at, scores=(score,)) for at, score in enumerate(scores, start=1)]
    batch = runner.process([record(event, at, "feedback.redacted") for at, event in enumerate(events)])
    store.close()
    return CODEC.decode(batch.outgoing[-1].value, Outcome)


def _sample(*scores: Score) -> Sample:
    sample = _outcome(*scores).sample
    assert sample is not None
    return sample


def test_the_interval_and_the_raw_values_are_in_the_sample_and_the_version_in_its_rules() -> None:
    scores = Score("thumbs", 1.0), Score("win_rate", wins=7, losses=3, by="arena", rater="metric")
    outcome = _outcome(*scores)
    assert outcome.sample is not None
    assert outcome.sample.scores == scores
    assert outcome.sample.score == pytest.approx((1 + 8 / 12) / 2)
    assert outcome.sample.score is not None
    assert outcome.sample.score_low is not None
    assert outcome.sample.score_high is not None
    assert 0 < outcome.sample.score_low < outcome.sample.score < outcome.sample.score_high <= 1
    assert VERSION in outcome.rules.split()


def test_what_rates_nothing_leaves_no_interval() -> None:
    sample = _sample(Score("comment", text="hm"))
    assert (sample.score, sample.score_low, sample.score_high, sample.confidence) == (None, None, None, 0.0)


def test_the_asker_named_or_not_is_one_judge() -> None:
    assert _sample(Score("thumbs", 1.0), Score("thumbs", 0.0, by="asker")).score == 0.0
    assert _sample(Score("thumbs", 1.0), Score("thumbs", 0.0, by="other")).score == 0.5


def test_an_edited_answer_is_compared_with_the_model_s_own_and_does_not_replace_it() -> None:
    same = _sample(Score("edited", text="Ask <PERSON:ab12cd34> at nine, please."))
    assert (same.score, same.output, same.rejected_output) == (1.0, "Ask <PERSON_1> at  nine,\nplease.", None)
    assert _sample(Score("edited", text="Ask <PERSON:ffff0000> at nine, please.")).score == pytest.approx(6 / 7)


def test_a_correction_replaces_the_answer_that_an_edit_is_still_compared_with() -> None:
    sample = _sample(
        Score("correction", text="All new."), Score("edited", text="Ask <PERSON:ab12cd34> at nine, please.")
    )
    assert (sample.score, sample.output) == (1.0, "All new.")
