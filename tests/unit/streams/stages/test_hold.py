"""hold: whose scores come in bursts, and which of them are let in."""

from __future__ import annotations

from typing import get_args

import pytest

from schemas.events import Rater, Score
from streams.stages.hold import HOUR_US, anonymous, hour, is_over, judges
from streams.stages.join import InteractionLog
from tests.events import NOW_US, interaction, redacted

UP = Score("thumbs", value=1.0)


def test_a_judge_is_who_the_score_says_else_the_interaction_s_user() -> None:
    event = redacted("e", scores=(UP, Score("thumbs", value=0.0, by="other")))
    assert judges(event, "own") == {"own", "other"}
    assert judges(event, None) == {"other"}


@pytest.mark.parametrize("rater", [rater for rater in get_args(Rater) if rater != "user"])
def test_experts_models_and_metrics_are_never_a_burst(rater: Rater) -> None:
    assert judges(redacted("e", scores=(Score("thumbs", value=1.0, by="judge", rater=rater),)), "own") == frozenset()


def test_the_last_of_so_many_is_let_in_and_the_next_is_over() -> None:
    assert not is_over("new", {"a"}, 2)
    assert is_over("new", {"a", "b"}, 2)
    assert not is_over("a", {"a", "b"}, 2), "a replay finds its own place"


def test_anonymous_scores_count_by_interaction_and_hour_of_the_event() -> None:
    at_the_hour = (hour(redacted("e")) + 1) * HOUR_US - NOW_US
    log = InteractionLog(
        (
            redacted("chat", interaction=interaction("q", "a")),
            redacted("before", scores=(UP,), occurred_at=NOW_US + at_the_hour - 1),
            redacted("after", scores=(UP,), occurred_at=NOW_US + at_the_hour),
            redacted("expert", scores=(Score("thumbs", value=1.0, rater="expert"),), occurred_at=NOW_US + at_the_hour),
        )
    )
    assert anonymous(log, redacted("new", scores=(UP,), occurred_at=NOW_US + at_the_hour + HOUR_US - 1)) == {"after"}
    assert anonymous(log, redacted("new", scores=(UP,), occurred_at=NOW_US)) == {"before"}
