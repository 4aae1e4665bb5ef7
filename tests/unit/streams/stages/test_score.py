"""score: a thumb, five stars and a win rate mean one thing, and no one judge more than the rules say."""

from __future__ import annotations

import itertools
import random
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.curation import Scoring, Weights
from schemas.events import Message, Rater, Score, ScoreMethod
from schemas.scores import METHODS, check_score
from streams.stages.join import Scored
from streams.stages.score import VERSION, combine, explain, unit_value, wilson
from tests.events import interaction

UP, DOWN = Score("thumbs", value=1.0), Score("thumbs", value=0.0)
ANSWER = interaction("What opens at nine?", "The shop opens at nine.", user="asker")


@pytest.mark.parametrize(
    ("score", "value"),
    [
        (UP, 1.0),
        (DOWN, 0.0),
        (Score("success", value=1.0), 1.0),
        (Score("stars", value=1.0), 0.0),
        (Score("stars", value=5.0), 1.0),
        (Score("stars", value=4.0, maximum=7.0), 0.5),
        (Score("numeric", value=-5.0, minimum=-10.0, maximum=10.0), 0.25),
        (Score("win_rate", wins=1, losses=0), 2 / 3),
        (Score("win_rate", wins=0, losses=0, ties=2), 0.5),
        (Score("win_rate", wins=98, losses=0), 0.99),
        (Score("pairwise", over="other"), None),
        (Score("correction", text="better"), None),
        (Score("demonstration", text="best"), None),
        (Score("comment", text="nice"), None),
        (Score("copied"), 1.0),
        (Score("regenerated"), 0.0),
        (Score("abandoned"), 0.0),
        (Score("edited", value=0.75), 0.75),
        (Score("edited", value=0.75, text="all new"), 0.75),
        (Score("edited", text="The shop opens at nine."), 1.0),
        (Score("edited", text="The shop opens at ten."), 5 / 6),
        (Score("edited", text=""), 0.0),
        (Score("tests_passed", wins=3, losses=1), 0.75),
        (Score("tests_passed", value=1.0), 1.0),
        (Score("tests_passed", value=0.0), 0.0),
    ],
)
def test_each_method_has_its_place_on_the_unit_interval(score: Score, value: float | None) -> None:
    check_score(score)
    assert unit_value(score, "The shop opens at nine.") == (None if value is None else pytest.approx(value))


def test_an_edited_text_without_an_answer_rates_nothing() -> None:
    assert unit_value(Score("edited", text="new")) is None
    unanswered = msgspec.structs.replace(ANSWER, messages=ANSWER.messages[:1])
    assert combine(_scored(Score("edited", text="new")), Scoring(), unanswered).score is None


def test_an_edited_text_is_compared_with_the_model_s_own_answer_placeholders_included() -> None:
    given_answer = Message("assistant", "Ask <PERSON:ab12.cd34> at  nine\r\n")
    asked = msgspec.structs.replace(ANSWER, messages=(ANSWER.messages[0], given_answer))
    unchanged = combine(_scored(Score("edited", text="Ask <PERSON:ab12.cd34> at nine")), Scoring(), asked)
    another = combine(_scored(Score("edited", text="Ask <PERSON:ffff> at nine")), Scoring(), asked)
    assert (unchanged.score, another.score) == (1.0, 0.75)


def _scored(*scores: Score) -> list[Scored]:
    return [Scored(score, index, str(index)) for index, score in enumerate(scores)]


def _by(score: Score, judge: str | None, rater: Rater = "user") -> Score:
    return msgspec.structs.replace(score, by=judge, rater=rater)


def test_an_expert_outweighs_three_users() -> None:
    users = [_by(UP, judge) for judge in "abc"]
    combined = combine(_scored(*users, _by(DOWN, "d", "expert")))
    assert combined.score == pytest.approx(3 / 7)


def test_weights_are_configured_by_rater_and_those_not_named_stay() -> None:
    rules = msgspec.convert({"weights": {"expert": 1}}, Scoring)
    assert combine(_scored(_by(UP, "a"), _by(DOWN, "b", "expert")), rules).score == 0.5
    assert combine(_scored(_by(UP, "a"), _by(DOWN, "b", "model")), rules).score == pytest.approx(2 / 3)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"weights": {"crowd": 1}}, Scoring)


def test_a_rater_without_weight_counts_for_nothing() -> None:
    rules = Scoring(weights=Weights(model=0.0))
    assert combine(_scored(_by(UP, "m", "model")), rules).score is None
    assert combine(_scored(_by(UP, "m", "model"), DOWN), rules).score == 0.0


def test_confidence_grows_with_the_number_of_judges() -> None:
    assert combine(_scored(UP)).confidence == 0.5
    assert combine(_scored(*(_by(UP, str(judge)) for judge in range(9)))).confidence == pytest.approx(0.9)


def test_the_last_word_of_one_judge_by_one_method_counts() -> None:
    assert combine(_scored(UP, DOWN)).score == 0.0
    assert combine(_scored(DOWN, UP)).score == 1.0
    assert combine([Scored(UP, 5, "a"), Scored(DOWN, 5, "b")]).score == 0.0
    assert combine([Scored(DOWN, 5, "b"), Scored(UP, 5, "a")]).score == 0.0
    assert combine(_scored(_by(UP, "a"), _by(DOWN, "b"))).score == 0.5


def test_who_is_not_named_is_the_interaction_s_own_user() -> None:
    assert combine(_scored(UP, _by(DOWN, "asker")), Scoring(), ANSWER).score == 0.0
    assert combine(_scored(UP, _by(DOWN, "another")), Scoring(), ANSWER).score == 0.5


def test_one_person_as_two_raters_is_two_judges() -> None:
    assert combine(_scored(_by(UP, "a"), _by(DOWN, "a", "metric"))).score == 0.5


@pytest.mark.parametrize("events", [2, 10_000])
def test_one_person_s_many_thumbs_weigh_as_one(events: int) -> None:
    others = [_by(DOWN, judge) for judge in "abcdefghi"]
    combined = combine(_scored(*others, *[_by(UP, "bot")] * events))
    assert [combined.score, combined.confidence] == pytest.approx([0.1, 10 / 11])


def test_one_person_s_many_methods_weigh_as_one_judgement() -> None:
    loud = [
        UP,
        Score("stars", value=5.0),
        Score("success", value=1.0),
        Score("copied"),
        Score("win_rate", wins=9, losses=0),
    ]
    combined = combine(_scored(*(_by(score, "loud") for score in loud), _by(DOWN, "quiet")))
    weights = [each.weight for each in combined.judgements]
    assert sum(weights[:-1]) == pytest.approx(weights[-1]) == 1.0
    assert combined.confidence == pytest.approx(2 / 3)


def test_a_signal_weighs_its_share_and_a_judge_s_signals_are_not_raised_to_a_whole_judgement() -> None:
    combined = combine(_scored(_by(Score("copied"), "a"), _by(DOWN, "b")))
    assert combined.score == pytest.approx(0.25 / 1.25)
    assert combine(_scored(Score("copied"))).confidence == pytest.approx(0.2)
    assert combine(_scored(Score("copied")), Scoring(implicit=1.0)).confidence == pytest.approx(0.5)


def test_what_only_ranks_or_says_has_no_score_and_no_interval() -> None:
    combined = combine(_scored(Score("pairwise", over="b"), Score("pairwise", over="a"), Score("comment", text="x")))
    assert (combined.score, combined.low, combined.high) == (None, None, None)
    assert (combined.confidence, combined.preferred_over) == (0.0, ("a", "b"))


def test_a_tie_is_no_preference_and_takes_an_earlier_one_of_the_same_judge_back() -> None:
    won, tied = Score("pairwise", over="x"), Score("pairwise", over="x", value=0.5)
    assert combine(_scored(tied)).preferred_over == ()
    assert combine(_scored(won, tied)).preferred_over == ()
    assert combine(_scored(tied, won)).preferred_over == ("x",)
    assert combine(_scored(_by(won, "a"), _by(tied, "b"))).preferred_over == ("x",)
    assert combine(_scored(won, Score("pairwise", over="y", value=0.5))).preferred_over == ("x",)


def test_a_win_rate_brings_an_interval_from_its_counts() -> None:
    few, many = (
        combine(_scored(Score("win_rate", wins=7, losses=3))),
        combine(_scored(Score("win_rate", wins=700, losses=300))),
    )
    assert few.score == pytest.approx(8 / 12)
    assert [few.low, few.high] == pytest.approx([0.397, 0.892], abs=1e-3)
    assert [many.low, many.high] == pytest.approx([0.671, 0.728], abs=1e-3)


@pytest.mark.parametrize(
    ("successes", "observations", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_wilson_s(successes: int, observations: int, low: float, high: float) -> None:
    """The examples of Newcombe (1998), table I, method 3; and mirrored, for failures."""
    assert list(wilson(successes / observations, observations)) == pytest.approx([low, high], abs=1e-4)
    assert list(wilson(1 - successes / observations, observations)) == pytest.approx([1 - high, 1 - low], abs=1e-4)


def test_the_version_names_every_method_that_once_meant_something_else() -> None:
    assert {name for name, method in METHODS.items() if method.version > 1} == {"pairwise"}
    assert VERSION == "score-2+pairwise.2"


# Invariants, over scores of every method.

RATERS: tuple[Rater, ...] = ("user", "expert", "model", "metric")
COUNTS = st.integers(0, 50)


def _made(method: Any, fields: dict[str, Any], by: str | None, rater: Rater) -> Score:
    return Score(method, **fields, by=by, rater=rater)


FIELDS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "thumbs": st.fixed_dictionaries({"value": st.sampled_from([0.0, 1.0])}),
    "success": st.fixed_dictionaries({"value": st.sampled_from([0.0, 1.0])}),
    "stars": st.fixed_dictionaries({"value": st.integers(1, 5).map(float)}),
    "numeric": st.floats(-1e300, 1e300)
    .map(lambda value: {"value": value, "minimum": -1e300, "maximum": 7e300})
    .filter(lambda fields: fields["minimum"] < fields["maximum"]),
    "win_rate": st.fixed_dictionaries({"wins": st.integers(0, 2**53), "losses": COUNTS, "ties": st.integers(1, 50)}),
    "pairwise": st.fixed_dictionaries({"over": st.sampled_from("xy"), "value": st.sampled_from([None, 0.5, 1.0])}),
    **dict.fromkeys(("correction", "demonstration", "comment"), st.fixed_dictionaries({"text": st.sampled_from("pq")})),
    **dict.fromkeys(("copied", "regenerated", "abandoned"), st.just({})),
    "edited": st.one_of(
        st.fixed_dictionaries({"text": st.text(max_size=30)}), st.fixed_dictionaries({"value": st.floats(0, 1)})
    ),
    "tests_passed": st.fixed_dictionaries({"wins": st.integers(1, 9), "losses": COUNTS}),
}


def _score_of(method: str) -> st.SearchStrategy[Score]:
    judges = st.sampled_from([None, "asker", "a", "b"])
    return st.builds(_made, st.just(method), FIELDS[method], judges, st.sampled_from(RATERS))


SCORES = st.sampled_from(sorted(METHODS)).flatmap(_score_of)
EVENTS = st.lists(st.tuples(st.integers(0, 3), st.lists(SCORES, min_size=1, max_size=2)), max_size=8)


def test_every_method_is_drawn() -> None:
    assert set(FIELDS) == set(METHODS) == set(get_args(ScoreMethod))


@given(EVENTS, st.randoms(use_true_random=False))
def test_order_and_repetition_of_events_never_change_the_result(
    events: list[tuple[int, list[Score]]], rng: random.Random
) -> None:
    groups = [[Scored(score, at, f"e{index}") for score in said] for index, (at, said) in enumerate(events)]
    first = combine(list(itertools.chain(*groups)), Scoring(), ANSWER)
    again = [*groups, *rng.choices(groups, k=3)] if groups else []
    rng.shuffle(again)
    other = combine(list(itertools.chain(*again)), Scoring(), ANSWER)
    assert msgspec.structs.replace(first, judgements=()) == msgspec.structs.replace(other, judgements=())


@given(SCORES)
def test_unit_values_lie_in_the_unit_interval(score: Score) -> None:
    check_score(score)
    value = unit_value(score, "The shop opens at nine.")
    assert value is None or 0 <= value <= 1


@given(EVENTS)
def test_the_interval_holds_the_score_and_the_score_lies_between_what_was_judged(
    events: list[tuple[int, list[Score]]],
) -> None:
    scores = [Scored(score, at, f"e{index}") for index, (at, said) in enumerate(events) for score in said]
    combined = combine(scores, Scoring(), ANSWER)
    values = [each.value for each in combined.judgements if each.value is not None]
    if combined.score is None:
        assert (values, combined.low, combined.high, combined.confidence) == ([], None, None, 0.0)
        return
    assert combined.low is not None
    assert combined.high is not None
    assert 0 <= combined.low <= combined.score <= combined.high <= 1
    assert combined.high - combined.low > 0
    assert min(values) - 1e-9 <= combined.score <= max(values) + 1e-9
    assert 0 < combined.confidence < 1


@given(EVENTS)
def test_no_judge_weighs_more_than_the_rater_does(events: list[tuple[int, list[Score]]]) -> None:
    scores = [Scored(score, at, f"e{index}") for index, (at, said) in enumerate(events) for score in said]
    said: dict[tuple[str | None, Rater], float] = {}
    for each in combine(scores, Scoring(), ANSWER).judgements:
        key = each.judge, each.held.score.rater
        said[key] = said.get(key, 0.0) + each.weight
    assert all(weight <= getattr(Weights(), rater) + 1e-9 for (_, rater), weight in said.items())


BETTER: dict[str, Any] = {
    "thumbs": (DOWN, UP),
    "success": (Score("success", 0.0), Score("success", 1.0)),
    "stars": (Score("stars", 2.0), Score("stars", 3.0)),
    "numeric": (Score("numeric", 0.2, 0.0, 1.0), Score("numeric", 0.3, 0.0, 1.0)),
    "win_rate": (Score("win_rate", wins=2, losses=2, ties=1), Score("win_rate", wins=3, losses=2)),
    "edited": (Score("edited", text="A shop opens at ten."), Score("edited", text="The shop opens at ten.")),
    "tests_passed": (Score("tests_passed", wins=2, losses=3), Score("tests_passed", wins=3, losses=2)),
}


@given(EVENTS, st.sampled_from(sorted(BETTER)), st.sampled_from(RATERS))
def test_a_better_raw_value_raises_the_score(events: list[tuple[int, list[Score]]], method: str, rater: Rater) -> None:
    others = [Scored(score, at, f"e{index}") for index, (at, said) in enumerate(events) for score in said]
    worse, better = (Scored(_by(score, "one more", rater), 2, "last") for score in BETTER[method])
    low, high = (combine([*others, each], Scoring(), ANSWER).score for each in (worse, better))
    assert low is not None
    assert high is not None
    assert low < high


@given(st.lists(st.integers(1, 2**53), min_size=1, max_size=4), st.integers(0, 2**53))
def test_a_win_rate_s_posterior_mean_lies_in_its_interval_by_itself(wins: list[int], losses: int) -> None:
    count = wins[0] + losses
    low, high = wilson(wins[0] / count, count)
    assert low - 1e-12 <= (wins[0] + 1) / (count + 2) <= high + 1e-12


def test_the_explanation_tells_each_judgement_its_value_and_weight() -> None:
    scores = [
        UP,
        _by(Score("stars", value=4.0), "a"),
        DOWN,
        Score("copied"),
        Score("comment", text="so so"),
        Score("pairwise", over="x"),
        Score("pairwise", over="y", value=0.5),
        Score("edited", text="new"),
    ]
    told = explain(combine(_scored(*scores)))
    assert told == [
        "score 0.47, 95 % between 0.09 and 0.90, confidence 0.67: 3 judgements by 2 judges, weighing 2 in all",
        "thumbs, value 1 (user unknown, event 0): superseded by event 2",
        "stars, value 4 (user a, event 1): worth 0.75, weighs 1",
        "thumbs, value 0 (user unknown, event 2): worth 0.00, weighs 0.8",
        "copied (user unknown, event 3): worth 1.00, weighs 0.2",
        "comment (user unknown, event 4): rates nothing",
        "pairwise (user unknown, event 5): preferred over interaction x, rates nothing",
        "pairwise, value 0.5 (user unknown, event 6): as good as interaction y, rates nothing",
        "edited (user unknown, event 7): rates nothing, for there is no answer to compare it with",
    ]
    assert explain(combine(_scored(Score("comment", text="x"))))[0] == "no score: nothing rates the answer"
    twice = combine([Scored(UP, 0, "e"), Scored(DOWN, 0, "e")])
    assert explain(twice)[1] == "thumbs, value 1 (user unknown, event e): said again later in the event"
