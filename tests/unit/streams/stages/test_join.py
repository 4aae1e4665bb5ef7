"""join: any order and any replay of the same events ends at the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Consent, RedactedEvent, Retraction, Review, Score
from schemas.reasons import Reason
from streams.stages import Drop, Keep, Wait
from streams.stages.join import InteractionLog, Joined, join
from tests.events import interaction, redacted

UP, DOWN = Score("thumbs", value=1.0), Score("thumbs", value=0.0)
INTERACTION = redacted("interaction", interaction=interaction("Hi", "Hello"))
THUMB = redacted("thumb", at=1, scores=(UP,))


def _log(*events: RedactedEvent) -> InteractionLog:
    log = InteractionLog()
    for event in events:
        log, _ = log.apply(event)
    return log


def _joined(*events: RedactedEvent) -> Joined:
    verdict = join(_log(*events))
    assert isinstance(verdict, Keep)
    return verdict.record


def test_an_interaction_without_feedback_waits() -> None:
    assert join(_log(INTERACTION)) == Wait()


def test_feedback_without_its_interaction_waits() -> None:
    assert join(_log(THUMB)) == Wait()


def test_a_score_before_its_interaction_joins_it() -> None:
    assert _joined(THUMB, INTERACTION).scores == _joined(INTERACTION, THUMB).scores


def test_a_retracted_score_is_gone_whichever_came_first() -> None:
    taken_back = redacted("back", at=2, retraction=Retraction("thumb"))
    for order in ((INTERACTION, THUMB, taken_back), (taken_back, THUMB, INTERACTION)):
        assert join(_log(*order)) == Drop(Reason.FEEDBACK_RETRACTED)


def test_retracting_one_score_keeps_the_other() -> None:
    other = redacted("other", at=2, scores=(DOWN,))
    taken_back = redacted("back", at=3, retraction=Retraction("thumb"))
    assert [held.score for held in _joined(INTERACTION, THUMB, other, taken_back).scores] == [DOWN]


def test_consent_withdrawn_drops_and_given_again_keeps() -> None:
    withdrawn = redacted("no", at=2, consent=Consent(False))
    given_again = redacted("yes", at=3, consent=Consent(True))
    assert join(_log(INTERACTION, THUMB, withdrawn)) == Drop(Reason.CONSENT_WITHDRAWN)
    assert _joined(INTERACTION, THUMB, given_again, withdrawn).consent is True


def test_of_two_words_of_the_same_time_the_withdrawal_counts() -> None:
    for withdrawal, grant in (("a", "b"), ("b", "a")):
        words = (redacted(withdrawal, at=2, consent=Consent(False)), redacted(grant, at=2, consent=Consent(True)))
        assert join(_log(INTERACTION, THUMB, *words)) == Drop(Reason.CONSENT_WITHDRAWN)


def test_the_latest_review_decides() -> None:
    reject = redacted("r1", at=2, review=Review("reject"))
    approve = redacted("r2", at=3, review=Review("approve"))
    assert join(_log(INTERACTION, THUMB, reject)) == Drop(Reason.REVIEW_REJECTED)
    assert _joined(INTERACTION, THUMB, approve, reject).review == Review("approve")


def test_an_edit_is_feedback_enough() -> None:
    assert _joined(INTERACTION, redacted("edit", at=1, review=Review("edit", output="Better"))).review is not None


def test_the_later_of_two_versions_of_an_interaction_counts() -> None:
    later = redacted("later", at=9, interaction=interaction("Hi", "Hello again"))
    assert _joined(later, THUMB, INTERACTION).interaction == later.interaction


def test_findings_add_up_over_all_events() -> None:
    one = redacted("one", scores=(UP,), pii={"PERSON": 1})
    two = redacted("two", interaction=interaction("a", "b"), pii={"PERSON": 2, "URL": 1})
    assert _joined(one, two).pii == {"PERSON": 3, "URL": 1}


EVENTS = (
    INTERACTION,
    redacted("later", at=5, interaction=interaction("Hi", "Hello again")),
    THUMB,
    redacted("down", at=2, scores=(DOWN,)),
    redacted("back", at=3, retraction=Retraction("thumb")),
    redacted("yes", at=4, consent=Consent(True)),
    redacted("tie", at=2, scores=(UP,)),
)


@given(st.permutations(EVENTS), st.lists(st.sampled_from(EVENTS), max_size=10))
def test_every_order_and_every_replay_ends_at_the_same_revision_and_content(
    order: list[RedactedEvent], replays: list[RedactedEvent]
) -> None:
    log = _log(*order, *replays)
    assert len(log.events) == len(EVENTS)
    assert join(log) == join(_log(*EVENTS))


@given(st.permutations(EVENTS), st.integers(0, len(EVENTS) - 1))
def test_a_replayed_event_finds_the_state_as_of_itself(order: list[RedactedEvent], index: int) -> None:
    then, revision = _log(*order[:index]).apply(order[index])
    _, replayed = _log(*order).apply(order[index])
    assert replayed == revision
    assert _log(*order).as_of(replayed) == then
