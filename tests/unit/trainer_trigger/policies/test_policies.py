"""Each policy on both sides of its threshold, and in words."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import targets
from schemas.targets import Policy
from trainer_trigger.controls.records import Measurement, Signal
from trainer_trigger.policies import Facts, Finding, evaluate, leaves
from trainer_trigger.policies.facts import ago
from trainer_trigger.watch import DriftState, Production

DAY_MS = 86_400_000
NOW_MS = 1_000 * DAY_MS
FACTS = Facts(now_ms=NOW_MS, first_seen_ms=NOW_MS)
VOLUME = Policy(volume=targets.Volume(samples=500))
DRIFT = targets.Drift()
TIME = Policy(time=targets.Time(every_days=7.0))
SCORE = targets.Performance(below=0.5, samples=300)
WINS = Policy(performance=targets.Performance(metric="wins", below=0.5, within_days=7.0))


def found(policy: Policy, **facts: object) -> Finding:
    return evaluate(policy, msgspec.structs.replace(FACTS, **facts))


def signal(kind: str, signal_id: str = "s1") -> Signal:
    return Signal(signal_id=signal_id, target="chat", kind=kind, reason="refunds are wrong", who="ann", at_ms=NOW_MS)


@pytest.mark.parametrize(("fresh", "holds", "missing"), [(499, False, "1 are missing"), (500, True, "are enough")])
def test_volume_holds_from_its_samples_on(fresh: int, holds: bool, missing: str) -> None:
    told = found(VOLUME, fresh=fresh, total=9_000)
    assert (told.holds, told.policy) == (holds, "volume")
    assert missing in told.words


def drift_state(kind: Literal["drift", "suspected", "steady", "not enough data", "overlap"]) -> DriftState:
    return DriftState(kind=kind, reason="intent moved", window_rows=10, needed=300, reference_rows=900, place="/r/1")


@pytest.mark.parametrize(
    ("kind", "holds", "words"),
    [
        ("drift", True, "drift: intent moved; see /r/1"),
        ("suspected", False, "drift is only suspected: intent moved; see /r/1"),
        ("steady", False, "no drift: intent moved"),
        ("not enough data", False, "drift cannot be told yet: intent moved"),
        ("overlap", False, "drift cannot be told yet: intent moved"),
    ],
)
def test_only_drift_itself_is_drift(
    kind: Literal["drift", "suspected", "steady", "not enough data", "overlap"], holds: bool, words: str
) -> None:
    told = found(Policy(drift=DRIFT), drift={DRIFT: drift_state(kind)})
    assert (told.holds, told.words) == (holds, words)


def test_each_drift_rule_has_an_answer_of_its_own() -> None:
    other = targets.Drift(rows=600)
    assert not found(Policy(drift=other), drift={DRIFT: drift_state("drift")}).holds


@pytest.mark.parametrize(
    ("passed_ms", "holds", "words"),
    [
        (7 * DAY_MS - 1, False, "a run is due in 0 seconds"),
        (7 * DAY_MS, True, "the last run began 7 days ago, and one is due every 7 days"),
        (14 * DAY_MS - 1, True, "one is due every 7 days"),
        (21 * DAY_MS, True, "2 that were missed count as this one"),
    ],
)
def test_time_holds_from_its_days_on_and_missed_ticks_are_one(passed_ms: int, holds: bool, words: str) -> None:
    told = found(TIME, first_seen_ms=0, last_run_ms=NOW_MS - passed_ms)
    assert (told.holds, told.words.endswith(words) or words in told.words) == (holds, True), told.words


def test_without_a_run_time_counts_since_the_target_was_first_seen() -> None:
    assert not found(TIME, first_seen_ms=NOW_MS - 6 * DAY_MS).holds
    told = found(TIME, first_seen_ms=NOW_MS - 8 * DAY_MS)
    assert told.holds
    assert told.words.startswith("the target was first seen 8 days ago")


@pytest.mark.parametrize(
    ("clusters", "mean", "holds"),
    [(300, 0.499, True), (300, 0.5, False), (299, 0.1, False), (0, None, False), (301, 0.0, True)],
)
def test_production_must_be_strictly_below_with_enough_scores(clusters: int, mean: float | None, holds: bool) -> None:
    told = found(Policy(performance=SCORE), production={SCORE: Production(clusters, mean)})
    assert told.holds == holds
    assert clusters != 299 or told.words == "299 of 300 scored samples, 1 are missing"


@pytest.mark.parametrize(
    ("value", "age_ms", "holds"),
    [(0.49, 0, True), (0.5, 0, False), (0.0, 7 * DAY_MS, True), (0.0, 7 * DAY_MS + 1, False)],
)
def test_a_measurement_must_be_below_and_young(value: float, age_ms: int, holds: bool) -> None:
    measured = {"wins": Measurement("wins", value, "ann", NOW_MS - age_ms)}
    assert found(WINS, measurements=measured).holds == holds
    assert not found(WINS, measurements={"other": measured["wins"]}).holds


@pytest.mark.parametrize(("at_ms", "holds"), [(NOW_MS - 1_000, False), (NOW_MS - 999, True)])
def test_a_measurement_of_the_model_before_does_not_count(at_ms: int, holds: bool) -> None:
    measured = {"wins": Measurement("wins", 0.1, "ann", at_ms)}
    told = found(WINS, measurements=measured, last_model_ms=NOW_MS - 1_000)
    assert told.holds == holds
    assert ("it was measured before the last run" in told.words) == (not holds)


def test_after_a_run_the_scores_that_are_missing_are_those_since_then() -> None:
    told = found(Policy(performance=SCORE), production={SCORE: Production(299, 0.1)}, last_model_ms=NOW_MS - 1_000)
    assert told.words == "299 of 300 scored samples since the last model, 1 are missing"


def test_of_many_events_three_are_named() -> None:
    reported = "ann reported incident: refunds are wrong"
    for number, words in (
        (1, reported),
        (3, " and ".join([reported] * 3)),
        (4, f"{' and '.join([reported] * 3)} and 1 more"),
    ):
        heard = tuple(signal("incident", f"s{each}") for each in range(number))
        told = found(Policy(event=targets.Event()), signals=heard)
        assert (told.words, len(told.signals)) == (words, number)


@pytest.mark.parametrize(
    ("kinds", "kind", "holds"),
    [
        (("incident",), "incident", True),
        (("incident",), "release", False),
        ((), "release", True),
        ((), "manual", False),
    ],
)
def test_an_event_policy_hears_its_kinds_and_no_person_s_fire(kinds: tuple[str, ...], kind: str, holds: bool) -> None:
    told = found(Policy(event=targets.Event(kinds=kinds)), signals=(signal(kind),))
    assert told.holds == holds
    assert told.signals == (("s1",) if holds else ())


def test_any_tells_what_holds_or_all_that_is_missing() -> None:
    both = Policy(any=(VOLUME, TIME))
    neither = found(both, fresh=3)
    assert not neither.holds
    assert "497 are missing" in neither.words and "a run is due" in neither.words
    one = found(both, fresh=500)
    assert one.holds
    assert one.words == "500 new samples since the last training set, 500 are enough"
    assert [child.holds for child in one.children] == [True, False]


def test_all_tells_only_what_is_missing() -> None:
    both = Policy(all=(VOLUME, TIME))
    told = found(both, fresh=500)
    assert (told.holds, told.words.startswith("the target was first seen")) == (False, True)
    assert found(both, fresh=500, first_seen_ms=0).holds


def test_the_leaves_of_a_tree_are_its_policies() -> None:
    assert list(leaves(Policy(any=(VOLUME, Policy(all=(TIME, WINS)))))) == [VOLUME, TIME, WINS]


_LEAF = st.sampled_from([VOLUME, TIME, WINS, Policy(event=targets.Event())])
_TREES = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda several: Policy(any=tuple(several))),
        st.lists(inner, min_size=1, max_size=3).map(lambda several: Policy(all=tuple(several))),
    ),
    max_leaves=6,
)


@given(_TREES, st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_a_tree_holds_as_its_leaves_do_and_says_something(
    policy: Policy, volume: bool, time: bool, wins: bool, event: bool
) -> None:
    facts = {
        "fresh": 500 * volume,
        "first_seen_ms": 0 if time else NOW_MS,
        "measurements": {"wins": Measurement("wins", 0.1, "ann", NOW_MS)} if wins else {},
        "signals": (signal("incident"),) if event else (),
    }

    def expected(each: Policy) -> bool:
        if each.any is not None:
            return any(map(expected, each.any))
        if each.all is not None:
            return all(map(expected, each.all))
        return {VOLUME: volume, TIME: time, WINS: wins}.get(each, event)

    told = found(policy, **facts)
    assert told.holds == expected(policy)
    assert told.words
    assert set(told.signals) <= {"s1"}


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (-5, "0 seconds"),
        (1_000, "1 second"),
        (59_499, "59 seconds"),
        (60_000, "1 minute"),
        (90 * 60_000, "1.5 hours"),
        (DAY_MS, "1 day"),
        (2_000 * DAY_MS, "2,000 days"),
    ],
)
def test_a_stretch_of_time_is_told_in_its_largest_unit(milliseconds: int, words: str) -> None:
    assert ago(milliseconds) == words
