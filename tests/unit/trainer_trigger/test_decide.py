"""What stands in the way, on both sides of each threshold, and what a person's fire overrides."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.targets import DatasetPlan, Holdout, Target
from tests.trigger_parts import target
from trainer_trigger.controls.records import Pause, Signal
from trainer_trigger.decide import GUARDS, HOUR_MS, MINUTE_MS, Active, Refusal, Standing, Verdict, decide
from trainer_trigger.policies import Facts, Finding

NOW_MS = 10_000 * HOUR_MS
FACTS = Facts(now_ms=NOW_MS, first_seen_ms=0, fresh=600, total=700)
HOLDS = Finding(policy="volume", holds=True, words="600 are enough")
NOT = Finding(policy="volume", holds=False, words="400 are missing")
STANDING = Standing(holds_since_ms=NOW_MS)
MANUAL = Signal(signal_id="s1", target="chat", kind="manual", reason="now", who="ann", at_ms=NOW_MS)
REFUSAL = Refusal(words="too few", at_ms=NOW_MS, target_hash=target().hash, fresh=600, total=700)


def verdict(
    configured: Target | None = None,
    finding: Finding = HOLDS,
    *,
    by_person: bool = False,
    total: int = 700,
    fresh: int = 600,
    **standing: object,
) -> Verdict:
    facts = msgspec.structs.replace(FACTS, signals=(MANUAL,) if by_person else (), total=total, fresh=fresh)
    return decide(configured or target(), finding, facts, msgspec.structs.replace(STANDING, **standing))


def names(told: Verdict) -> list[str]:
    return [guard.name for guard in told.in_the_way]


def test_it_fires_when_its_policies_hold_and_nothing_stands_in_the_way() -> None:
    told = verdict()
    assert (told.kind, told.words, names(told)) == ("fires", "600 are enough", [])
    assert verdict(finding=NOT).kind == "no"


def test_approval_is_asked_for_where_the_target_says_so() -> None:
    told = verdict(target(approval="manual"))
    assert (told.fires, told.needs_approval) == (True, True)
    assert told.words == "600 are enough; a person has to approve it"
    assert not verdict().needs_approval


@pytest.mark.parametrize("by_person", [False, True])
def test_a_pause_and_an_active_run_are_waited_for(by_person: bool) -> None:
    paused = verdict(by_person=by_person, paused=Pause("bea", NOW_MS - 2 * HOUR_MS, "we migrate"))
    assert (paused.kind, names(paused)) == ("no", ["paused"])
    assert paused.words.endswith("but bea paused it 2 hours ago: we migrate")
    active = verdict(by_person=by_person, active=Active("k", "blocked_for_person", "look there"))
    assert (active.kind, names(active)) == ("no", ["active run"])
    assert active.words.endswith("but launch k is blocked for person (look there)")


@pytest.mark.parametrize(("total", "passes"), [(116, False), (117, True)])
def test_below_a_training_set_of_a_hundred_nothing_is_trained(total: int, passes: bool) -> None:
    told = verdict(total=total)
    assert told.fires == passes
    assert verdict(total=total, by_person=True).kind == ("fires" if passes else "refused")
    words = f"{total} samples make a training set of about {99 if total == 116 else 100}, at least 100 are needed"
    assert told.guards[2].words == words


@pytest.mark.parametrize(
    ("fresh", "total", "plan", "size"),
    [
        (20, 500, {}, 20),  # 20 and 3.5 older, less a tenth held out, less a twentieth for validation
        (20, 21, {}, 17),  # there is one older
        (0, 500, {}, 0),
        (117, 5_000, {}, 117),
        (200, 5_000, {"replay": 0.5, "validation": 0.0, "holdout": Holdout(share=0.0)}, 400),
        (400, 5_000, {"max_samples": 100, "validation": 0.0}, 100),
    ],
)
def test_after_the_first_set_the_new_samples_and_their_replay_must_be_enough(
    fresh: int, total: int, plan: dict[str, Any], size: int
) -> None:
    configured = target(dataset=DatasetPlan(golden="none", harm="none", **plan))
    told = verdict(configured, total=total, fresh=fresh, earlier=True)
    words = f"{fresh} new samples make a training set of about {size}, at least 100 are needed"
    assert told.guards[2].words == words
    assert told.fires == (size >= 100)
    assert verdict(configured, total=total, fresh=fresh, earlier=True, by_person=True).kind == (
        "fires" if size >= 100 else "refused"
    )


def test_a_target_may_ask_for_more() -> None:
    assert names(verdict(target(min_samples=599))) == ["minimum"]
    assert names(verdict(target(min_samples=598))) == []


@pytest.mark.parametrize("plan", [DatasetPlan(), DatasetPlan(golden="none"), DatasetPlan(harm="none")])
def test_without_a_word_on_golden_set_and_harm_suite_it_is_blocked(plan: DatasetPlan) -> None:
    told = verdict(target(dataset=plan))
    assert (told.kind, names(told)) == ("no", ["golden set"])
    assert ("dataset.golden" in told.words) == (plan.golden is None)
    assert verdict(target(dataset=plan), by_person=True).kind == "refused"


@pytest.mark.parametrize(("left", "passes"), [(59, False), (60, True), (None, True)])
def test_the_month_s_budget_must_cover_the_cost(left: int | None, passes: bool) -> None:
    costs = target(cost_cents=60, budget_cents=None if left is None else 1_000)
    assert verdict(costs, budget_left_cents=left).fires == passes
    assert verdict(costs, budget_left_cents=left, by_person=True).kind == ("fires" if passes else "refused")


def test_a_launcher_that_cannot_work_is_said() -> None:
    told = verdict(launcher="OPENAI_API_KEY is not set")
    assert (told.kind, told.words) == ("no", "600 are enough; but OPENAI_API_KEY is not set")


@pytest.mark.parametrize(("passed_ms", "passes"), [(24 * HOUR_MS - 1, False), (24 * HOUR_MS, True)])
def test_the_cooldown_lasts_from_the_last_run_s_beginning_and_a_person_overrides_it(
    passed_ms: int, passes: bool
) -> None:
    cool = target(cooldown_hours=24.0)
    assert verdict(cool, began_ms=NOW_MS - passed_ms).fires == passes
    assert verdict(cool, began_ms=NOW_MS - passed_ms, by_person=True).fires


@pytest.mark.parametrize(("held_ms", "passes"), [(10 * MINUTE_MS - 1, False), (10 * MINUTE_MS, True)])
def test_the_policies_must_hold_for_the_debounce_and_a_person_overrides_it(held_ms: int, passes: bool) -> None:
    slow = target(debounce_minutes=10.0)
    assert verdict(slow, holds_since_ms=NOW_MS - held_ms).fires == passes
    assert verdict(slow, holds_since_ms=NOW_MS - held_ms, by_person=True).fires
    assert not verdict(slow, holds_since_ms=None).fires


def test_a_clock_that_is_a_moment_behind_is_no_debounce() -> None:
    assert verdict(holds_since_ms=NOW_MS + 3).fires


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, False),
        ({"at_ms": NOW_MS - 9 * HOUR_MS}, False),
        ({"at_ms": NOW_MS - HOUR_MS, "fresh": 599}, True),
        ({"at_ms": NOW_MS - HOUR_MS, "total": 699}, True),
        ({"at_ms": NOW_MS - HOUR_MS + 1, "fresh": 599}, False),
        ({"target_hash": "other"}, True),
        ({"at_ms": NOW_MS - HOUR_MS, "fresh": 599, "by_person": True}, False),
        ({"at_ms": NOW_MS - 12 * HOUR_MS, "fresh": 599, "by_person": True}, True),
    ],
)
def test_what_was_refused_rests_until_something_has_changed(changes: dict[str, object], passes: bool) -> None:
    configured = target(cooldown_hours=12.0)
    refusal = msgspec.structs.replace(REFUSAL, **{"target_hash": configured.hash, **changes})
    told = verdict(configured, refusal=refusal)
    assert told.fires == passes
    assert passes or names(told) == ["last attempt"]
    assert verdict(configured, refusal=refusal, by_person=True).fires


def test_a_person_fires_without_policies_and_the_signal_is_answered() -> None:
    told = verdict(finding=NOT, by_person=True)
    assert (told.fires, told.words, told.signals) == (True, "ann fired it: now", ("s1",))
    assert verdict(finding=NOT).signals == ()


def test_a_refused_fire_answers_the_person_and_no_event() -> None:
    heard = msgspec.structs.replace(HOLDS, policy="event", signals=("e1",))
    told = verdict(finding=heard, by_person=True, total=3)
    assert (told.kind, told.signals) == ("refused", ("s1",))
    assert verdict(finding=heard, by_person=True).signals == ("s1", "e1")


def test_of_many_fires_three_are_named() -> None:
    many = tuple(msgspec.structs.replace(MANUAL, signal_id=f"s{number}") for number in range(300))
    told = decide(target(), NOT, msgspec.structs.replace(FACTS, signals=many), STANDING)
    assert told.words == f"{' and '.join(['ann fired it: now'] * 3)} and 297 more"
    assert len(told.signals) == 300


def test_all_that_stands_in_the_way_is_told_in_order() -> None:
    told = verdict(
        target(dataset=DatasetPlan()), total=3, paused=Pause("bea", NOW_MS, ""), active=Active("k", "running")
    )
    assert names(told) == ["paused", "active run", "minimum", "golden set"]
    assert verdict(target(dataset=DatasetPlan()), finding=NOT).words.startswith("400 are missing; besides, the target")


def test_the_cause_is_the_same_as_long_as_the_same_things_decide() -> None:
    one, two = verdict(finding=NOT), verdict(finding=msgspec.structs.replace(NOT, words="399 are missing"))
    assert one.cause == two.cause
    others = [
        verdict(),
        verdict(finding=NOT, total=3),
        verdict(target(version="v2"), finding=NOT),
        verdict(finding=NOT, by_person=True),
    ]
    assert len({one.cause, *(each.cause for each in others)}) == 5


_STANDINGS = st.builds(
    Standing,
    paused=st.sampled_from([None, Pause("bea", NOW_MS, "")]),
    active=st.sampled_from([None, Active("k", "running")]),
    budget_left_cents=st.sampled_from([None, 0, 100]),
    month=st.just("2026-11"),
    began_ms=st.sampled_from([None, NOW_MS, 0]),
    holds_since_ms=st.sampled_from([None, NOW_MS, 0]),
    refusal=st.sampled_from([None, REFUSAL]),
    launcher=st.sampled_from(["", "no key"]),
)


@given(_STANDINGS, st.sampled_from([HOLDS, NOT]), st.booleans(), st.sampled_from([50, 700]))
def test_it_fires_only_if_wanted_and_every_guard_passes_and_never_past_a_hard_one(
    standing: Standing, finding: Finding, by_person: bool, total: int
) -> None:
    configured = target(budget_cents=100, cost_cents=50, cooldown_hours=24.0, debounce_minutes=10.0)
    facts = msgspec.structs.replace(FACTS, signals=(MANUAL,) if by_person else (), total=total)
    told = decide(configured, finding, facts, standing)
    assert told.fires == ((finding.holds or by_person) and not told.in_the_way)
    assert len(told.guards) == len(GUARDS)
    assert (told.kind == "refused") <= by_person
    hard = standing.paused or standing.active or total < 100 or standing.budget_left_cents == 0 or standing.launcher
    assert not (told.fires and hard)
    if by_person and not hard:
        assert told.fires
