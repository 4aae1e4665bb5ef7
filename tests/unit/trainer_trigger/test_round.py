"""A round goes on where a process died, fires once, and says what stands in its way."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.local.process import wait_until
from schemas import targets
from schemas.targets import DatasetPlan, Policy, Target
from schemas.training import Training
from streams.errors import LakeUnavailable, SettingError
from tests.trigger_parts import Died, Stand, target
from trainer_trigger.controls.records import Signal, Stage
from trainer_trigger.drift.errors import FeaturiserError
from trainer_trigger.errors import DatabaseUnavailable, DatasetsAway, NoDatasetError, NotHeardError, NotWaitingError
from trainer_trigger.launchers import DataFile, JobState, LaunchRequest
from trainer_trigger.launchers.errors import LaunchRefusedError
from trainer_trigger.ledger import State
from trainer_trigger.service import Trigger
from trainer_trigger.watch import Production, Versions

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def fired(stand: Stand) -> list[str]:
    return [each.decision.decision_id for each in stand.controls.outcomes() if each.decision.fires]


def stages(stand: Stand) -> list[str]:
    return [str(each.stage) for each in reversed(stand.controls.outcomes())]


def test_enough_samples_become_a_model_by_themselves_and_once() -> None:
    stand = Stand()
    stand.ticks(5)
    (model,) = stand.trigger.models()
    assert (model.model_id, model.target, model.base_model, model.code) == ("ft:job-1", "chat", "tiny", "c0de")
    assert model.versions == Versions(1, 1, 1)
    assert stand.provider.jobs == {"job-1": model.key}
    assert stages(stand) == ["launched", "no"]
    assert stand.watch.told == [("chat", Versions(1, 1, 1), model.dataset_hash)]
    job = stand.trigger.job(model.decision_id)
    assert (job.state, job.key, job.dataset_place) == ("succeeded", model.key, model.dataset_place)
    assert stand.trigger.job(model.key) == job


def driven(stand: Stand, trigger: Trigger) -> None:
    """Until the watch was told of the model, by a person who approves what waits."""

    def ticked() -> bool:
        trigger.tick()
        for each in stand.controls.outcomes():
            if each.stage == Stage.WAITING:
                trigger.approve(each.decision.decision_id, "bea")
        return bool(stand.watch.told)

    assert wait_until(ticked, 20)
    trigger.tick()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("by", ["policy", "person", "approval"])
def test_a_process_that_dies_after_any_call_loses_nothing_and_launches_nothing_twice(by: str) -> None:
    """Before a call is after the one before it: nothing happens between two calls that anybody else could see."""
    call = 0
    while True:
        call += 1
        stand = Stand(chat=target(approval="manual" if by == "approval" else "automatic"))
        wish = None
        if by == "person":
            stand.watch.fresh = 0
            wish = stand.trigger.fire("chat", "ann", reason="a new product")
        calls: list[str] = []
        try:
            driven(stand, stand.process("mortal", calls, call))
        except Died:
            pass
        else:
            break
        place = f"died after call {call}, {calls[-1]}"
        stand.leases_run_out()
        driven(stand, stand.trigger)
        assert len(fired(stand)) == 1, place
        assert wish is None or fired(stand) == [wish], place
        (launch,) = stand.ledger.launches()
        assert (launch.state, launch.intent.generation) == (State.SUCCEEDED, 0), place
        assert list(stand.provider.jobs.values()) == [launch.key], place
        assert len({versions for _, versions, _ in stand.datasets.asked}) == 1, place
        assert {told[2] for told in stand.watch.told} == {launch.intent.dataset_hash}, place
        assert stand.controls.signals("chat") == [], place
        assert stand.controls.outcome(fired(stand)[0]).stage == Stage.LAUNCHED, place
        stand.database.close()
    assert call > 50


def test_two_processes_at_once_fire_once() -> None:
    stand = Stand()
    two = stand.process("two")
    for _ in range(4):
        stand.trigger.tick()
        two.tick()
    assert len(fired(stand)) == len(stand.provider.jobs) == 1


def test_a_process_that_slept_beyond_its_lease_records_nothing() -> None:
    stand = Stand()
    catch_up = stand.watch.catch_up

    def sleeps(name: str, configured: targets.Target) -> Versions:
        stand.watch.catch_up = catch_up  # type: ignore[method-assign]
        versions = catch_up(name, configured)
        stand.leases_run_out()
        stand.process("two").tick()
        return versions

    stand.watch.catch_up = sleeps  # type: ignore[method-assign, assignment]
    stand.ticks()
    assert len(fired(stand)) == 1
    assert [turn.who for turn in stand.controls.history(fired(stand)[0])] == ["two", "two"]


def test_a_steady_no_is_one_row_that_counts() -> None:
    stand = Stand()
    for fresh in (10, 11, 12):
        stand.watch.fresh = fresh
        stand.ticks()
    (only,) = stand.trigger.decisions("chat")
    assert (only.times, only.fires) == (3, False)
    assert only.words.startswith("12 of 500 new samples since the last training set, 488 are missing")
    stand.watch.total = 50
    stand.ticks()
    assert [each.times for each in stand.trigger.decisions("chat")] == [1, 3]


def test_what_is_wrong_with_one_target_leaves_the_others_alone() -> None:
    stand = Stand(bad=target(), good=target())
    build = stand.datasets.build

    def broken(name: str, *rest: object) -> object:
        if name == "bad":
            raise RuntimeError("boom")
        return build(name, *rest)  # type: ignore[arg-type]

    stand.datasets.build = broken  # type: ignore[method-assign, assignment]
    stand.ticks(4)
    assert [each.target for each in stand.trigger.models()] == ["good"]
    assert stand.trigger.target("bad").problem == "RuntimeError: boom"
    stand.datasets.build = build  # type: ignore[method-assign]
    stand.watch.fresh = 600
    stand.ticks(4)
    assert {each.target for each in stand.trigger.models()} == {"bad", "good"}
    assert stand.trigger.target("bad").problem == ""


@pytest.mark.parametrize(
    "error",
    [
        FeaturiserError("no such module"),
        LakeUnavailable("the bucket is away"),
        DatasetsAway("the store is away"),
        SettingError("featuriser", "a:b", "is no module"),
        RuntimeError("a user's embedding"),
    ],
)
def test_a_drift_check_that_fails_is_said_and_leaves_the_other_policies_alone(error: Exception) -> None:
    either = Policy(any=(Policy(drift=targets.Drift()), Policy(volume=targets.Volume(samples=500))))
    stand = Stand(chat=target(policy=either))
    stand.watch.drift_error = error
    told = stand.trigger.explain("chat").finding.children[0].words
    assert told == f"drift cannot be told yet: {'RuntimeError: ' * isinstance(error, RuntimeError)}{error}"
    stand.ticks(3)
    assert len(stand.trigger.models()) == 1


def test_a_database_that_is_away_is_no_drift_check_that_fails() -> None:
    stand = Stand(chat=target(policy=Policy(drift=targets.Drift())))
    stand.watch.drift_error = DatabaseUnavailable("gone")
    with pytest.raises(DatabaseUnavailable):
        stand.ticks()
    assert stand.controls.outcomes() == []


def test_a_lake_that_is_away_is_said_and_asked_again() -> None:
    stand = Stand()
    stand.watch.away = True
    stand.ticks()
    assert "the lake does not answer" in stand.trigger.target("chat").problem
    assert "The lake does not answer" in stand.trigger.explain("chat").words
    assert stand.trigger.decisions("chat") == []
    stand.watch.away = False
    stand.ticks(4)
    assert (len(stand.trigger.models()), stand.trigger.target("chat").problem) == (1, "")


def test_a_store_that_is_away_leaves_the_decision_open_and_the_same_versions_are_built_later() -> None:
    stand = Stand()
    stand.datasets.errors = [DatasetsAway("the bucket is away"), DatasetsAway("the bucket is away")]
    stand.ticks()
    (waiting,) = stand.trigger.jobs()
    assert (waiting.state, waiting.note) == ("building", "tried again: the bucket is away")
    stand.ticks(4)
    assert [versions for _, versions, _ in stand.datasets.asked] == [Versions(1, 1, 1)] * 3
    assert len(stand.trigger.models()) == 1


def test_a_refused_decision_rests_until_the_samples_have_changed_and_an_hour_has_passed() -> None:
    stand = Stand()
    stand.datasets.errors = [NoDatasetError("golden sample t/g1 is nearly t/i7")]
    stand.ticks(3)
    assert stages(stand) == ["refused", "no"]
    assert "golden sample t/g1 is nearly t/i7" in stand.trigger.explain("chat").words
    stand.offset_ms = 2 * HOUR_MS
    stand.ticks(2)
    assert len(fired(stand)) == 1
    stand.watch.fresh += 1
    stand.offset_ms = HOUR_MS - 60_000
    stand.ticks(2)
    assert len(fired(stand)) == 1
    stand.offset_ms = HOUR_MS + 60_000
    stand.ticks(4)
    assert (len(fired(stand)), len(stand.trigger.models())) == (2, 1)


def test_a_new_configuration_is_tried_at_once_after_a_refusal() -> None:
    stand = Stand()
    stand.datasets.errors = [NoDatasetError("too few")]
    stand.ticks(2)
    stand.targets = {"chat": target(version="v2", dataset=DatasetPlan(golden="none", harm="none", min_score=0.1))}
    stand.trigger = stand.process("one")
    stand.ticks(4)
    assert [each.config_version for each in stand.trigger.models()] == ["v2"]


def test_what_the_provider_refuses_fails_gives_the_samples_back_and_is_not_tried_every_tick() -> None:
    stand = Stand()
    stand.provider.errors = [LaunchRefusedError("no such model", "model")]
    stand.watch.grows = False
    stand.ticks(5)
    (launch,) = stand.ledger.launches()
    assert (launch.state, launch.note) == (State.FAILED, "model: no such model")
    assert (stand.watch.told, stand.watch.fresh) == ([], 600)
    assert "no such model" in stand.trigger.explain("chat").words
    stand.trigger.fire("chat", "ann", reason="again, please")
    stand.ticks(4)
    (model,) = stand.trigger.models()
    assert (model.decision_id != launch.intent.decision_id, model.dataset_hash) == (True, launch.intent.dataset_hash)
    assert [each.intent.generation for each in stand.ledger.launches()] == [1, 0]
    assert stand.watch.fresh == 0


def test_the_same_samples_with_the_same_configuration_are_not_trained_again_unless_a_person_says_so() -> None:
    stand = Stand(chat=target(policy=Policy(time=targets.Time(every_days=1.0))))
    stand.datasets.same = "a" * 64
    stand.watch.left = 600
    stand.offset_ms = 2 * DAY_MS
    stand.ticks(3)
    assert len(stand.provider.jobs) == 1
    stand.offset_ms = 4 * DAY_MS
    stand.ticks(3)
    last = next(each for each in stand.trigger.decisions("chat") if each.fires)
    assert (len(stand.provider.jobs), last.stage) == (1, "refused")
    assert "has trained the same samples with the same configuration already" in last.note
    stand.trigger.fire("chat", "ann", reason="another seed of luck")
    stand.ticks(3)
    assert len(stand.provider.jobs) == 2


def test_missed_ticks_are_one_run() -> None:
    stand = Stand(chat=target(policy=Policy(time=targets.Time(every_days=1.0))))
    stand.ticks()
    assert fired(stand) == []
    stand.offset_ms = 9 * DAY_MS + 60_000
    stand.ticks(4)
    assert "8 that were missed count as this one" in stand.trigger.decision(fired(stand)[0]).words


def test_a_decision_waits_for_a_person_and_is_built_from_the_lake_of_then() -> None:
    stand = Stand(chat=target(approval="manual"))
    stand.ticks(3)
    (waiting,) = stand.trigger.jobs()
    assert waiting.state == "waiting_for_approval"
    assert stand.datasets.asked == []
    assert "waits for approval" in stand.trigger.explain("chat").words
    stand.trigger.approve(waiting.id, "bea", "go on")
    with pytest.raises(NotWaitingError):
        stand.trigger.approve(waiting.id, "bea")
    stand.ticks(3)
    (model,) = stand.trigger.models()
    assert model.versions == Versions(5, 5, 5)
    told = [(step.who, step.after, step.note) for step in stand.trigger.job(waiting.id).history]
    assert told[:3] == [
        ("one", "waiting_for_approval", ""),
        ("bea", "building", "approved by bea: go on"),
        ("one", "intended", ""),
    ]


def test_what_a_person_refuses_does_not_come_back_with_the_next_sample() -> None:
    stand = Stand(chat=target(approval="manual", cooldown_hours=24.0))
    stand.ticks()
    stand.trigger.refuse(fired(stand)[0], "bea", "not before the holidays")
    stand.watch.fresh += 5
    stand.offset_ms = 23 * HOUR_MS
    stand.ticks(2)
    assert len(fired(stand)) == 1
    assert "not before the holidays" in stand.trigger.explain("chat").words
    stand.offset_ms = 25 * HOUR_MS
    stand.ticks()
    assert len(fired(stand)) == 2


def test_a_spent_budget_stops_a_policy_and_refuses_a_person() -> None:
    stand = Stand(chat=target(budget_cents=100, cost_cents=60))
    stand.ticks(3)
    stand.watch.fresh = 600
    stand.ticks(2)
    assert len(stand.provider.jobs) == 1
    assert "a run costs 60 cents, 40 of 100 are left in" in stand.trigger.explain("chat").words
    wish = stand.trigger.fire("chat", "ann", reason="please")
    stand.ticks()
    job = stand.trigger.job(wish)
    assert (job.state, len(stand.provider.jobs)) == ("refused", 1)
    assert "40 of 100 are left" in job.words


def test_a_pause_stops_everything_but_what_is_launched() -> None:
    stand = Stand()
    stand.datasets.errors = [DatasetsAway("away")]
    stand.ticks()
    stand.trigger.pause("chat", "ann", "we migrate")
    stand.ticks(2)
    assert len(stand.datasets.asked) == 1
    assert stand.trigger.jobs()[0].note == "ann paused the target"
    stand.trigger.resume("chat", "ann")
    stand.ticks(3)
    assert len(stand.trigger.models()) == 1
    stand.watch.left = stand.watch.fresh = 200
    stand.trigger.pause("chat", "ann", "we migrate")
    wish = stand.trigger.fire("chat", "ann", reason="now")
    stand.ticks(2)
    job = stand.trigger.job(wish)
    assert job.state == "queued"
    assert "ann paused it" in job.note and "we migrate" in job.note
    stand.trigger.resume("chat", "ann")
    stand.ticks(3)
    assert stand.trigger.job(wish).state == "succeeded"


def test_a_fire_during_a_run_waits_for_its_end() -> None:
    stand = Stand()
    stand.watch.left = 200
    stand.provider.ends = JobState.RUNNING
    stand.ticks(2)
    wish = stand.trigger.fire("chat", "ann", reason="incident")
    stand.ticks(2)
    job = stand.trigger.job(wish)
    assert (job.state, "is running" in job.note) == ("queued", True)
    stand.provider.ends = JobState.SUCCEEDED
    stand.until(lambda: stand.trigger.job(wish).state == "succeeded")
    assert len(stand.provider.jobs) == 2


def test_an_event_fires_once_and_only_where_a_policy_asks_for_it() -> None:
    either = Policy(any=(Policy(event=targets.Event(kinds=("incident",))), Policy(volume=targets.Volume(samples=900))))
    stand = Stand(chat=target(policy=either))
    stand.ticks(2)
    assert fired(stand) == []
    with pytest.raises(NotHeardError, match="asks for 'holiday': it asks for incident"):
        stand.trigger.fire("chat", "ann", "holiday", "sun")
    wish = stand.trigger.fire("chat", "ann", "incident", "refunds are wrong", ["t/i1"], request_id="r1")
    assert stand.trigger.fire("chat", "ann", "incident", "refunds are wrong", ["t/i1"], request_id="r1") == wish
    stand.ticks(5)
    assert (fired(stand), stand.controls.signals("chat")) == ([wish], [])
    assert stand.trigger.job(wish).words == "ann reported incident: refunds are wrong (1 examples)"


def of_incidents(**changes: Any) -> Target:
    return target(policy=Policy(event=targets.Event(kinds=("incident",))), **changes)


def test_an_event_outlives_a_fire_that_is_refused() -> None:
    stand = Stand(chat=of_incidents())
    stand.watch.fresh = stand.watch.total = 50
    event = stand.trigger.fire("chat", "ann", "incident", "refunds are wrong")
    wish = stand.trigger.fire("chat", "bea", reason="now")
    stand.ticks()
    assert stand.trigger.job(wish).state == "refused"
    assert [each.signal_id for each in stand.controls.signals("chat")] == [event]
    stand.watch.fresh = stand.watch.total = 600
    stand.until(lambda: stand.trigger.job(event).state == "succeeded")
    assert fired(stand) == [event]


def test_an_event_that_a_failed_launch_has_answered_waits_again_and_rests_with_it() -> None:
    stand = Stand(chat=of_incidents())
    stand.provider.errors = [LaunchRefusedError("no such model", "model")]
    stand.watch.grows = False
    wish = stand.trigger.fire("chat", "ann", "incident", "refunds are wrong", ["t/i1"])
    stand.ticks(5)
    assert (fired(stand), stand.trigger.job(wish).state) == ([wish], "failed")
    (again,) = stand.controls.signals("chat")
    assert (again.kind, again.reason, again.examples, again.who) == (
        "incident",
        "refunds are wrong",
        ("t/i1",),
        "ann",
    )
    stand.offset_ms = 2 * HOUR_MS
    stand.ticks(3)
    assert fired(stand) == [wish]
    assert stand.trigger.job(again.signal_id).state == "queued"
    stand.watch.fresh += 1
    stand.until(lambda: stand.trigger.job(again.signal_id).state == "succeeded")
    stand.ticks()
    assert (fired(stand), stand.controls.signals("chat")) == ([again.signal_id, wish], [])


def test_an_event_whose_training_set_could_not_be_made_waits_again_and_one_that_a_person_refused_does_not() -> None:
    stand = Stand(chat=of_incidents())
    stand.datasets.errors = [NoDatasetError("golden sample t/g1 is nearly t/i7"), DatasetsAway("away")]
    wish = stand.trigger.fire("chat", "ann", "incident", "refunds are wrong")
    stand.ticks(4)
    assert (fired(stand), stand.trigger.job(wish).state) == ([wish], "refused")
    (again,) = stand.controls.signals("chat")
    stand.watch.fresh += 1
    stand.offset_ms = 2 * HOUR_MS
    stand.ticks()
    assert fired(stand) == [again.signal_id, wish]
    stand.trigger.refuse(again.signal_id, "ann")
    stand.ticks(2)
    assert stand.controls.signals("chat") == []


def test_an_event_whose_job_was_cancelled_waits_until_it_is_withdrawn_and_a_person_s_fire_is_over() -> None:
    stand = Stand(chat=of_incidents(cooldown_hours=24.0))
    stand.provider.ends = JobState.RUNNING
    event = stand.trigger.fire("chat", "ann", "incident", "refunds are wrong")
    wish = stand.trigger.fire("chat", "bea", reason="now")
    stand.ticks(2)
    (running,) = fired(stand)
    assert stand.trigger.job(event) == stand.trigger.job(wish)
    stand.trigger.cancel(running, "ann")
    stand.until(lambda: stand.trigger.job(running).state == "cancelled")
    stand.ticks(2)
    (again,) = stand.controls.signals("chat")
    assert (again.kind, fired(stand)) == ("incident", [running])
    assert stand.trigger.cancel(again.signal_id, "ann").state == "withdrawn"
    assert stand.controls.signals("chat") == []


def test_a_wish_that_is_withdrawn_while_it_is_decided_upon_launches_nothing() -> None:
    stand = Stand()
    stand.watch.fresh = 0
    wish = stand.trigger.fire("chat", "ann", reason="now")
    signals = stand.controls.signals

    def late(name: str) -> list[Signal]:
        found = signals(name)
        if found:
            stand.trigger.cancel(wish, "ann")
        return found

    stand.controls.signals = late  # type: ignore[method-assign, assignment]
    stand.ticks(3)
    assert (fired(stand), stand.provider.jobs) == ([], {})
    assert stand.trigger.job(wish).state == "withdrawn"
    assert stages(stand) == ["no"]


def test_a_few_new_samples_are_not_said_to_be_enough_where_the_builder_would_refuse_them() -> None:
    stand = Stand(chat=of_incidents())
    stand.trigger.fire("chat", "ann", "incident", "refunds are wrong")
    stand.ticks(4)
    stand.watch.fresh, stand.watch.total = 20, 620
    event = stand.trigger.fire("chat", "ann", "incident", "refunds are wrong again")
    told = stand.trigger.explain("chat").words
    assert "20 new samples make a training set of about 20, at least 100 are needed" in told
    wish = stand.trigger.fire("chat", "bea", reason="now")
    stand.ticks(2)
    assert stand.trigger.job(wish).state == "refused"
    assert "training set of about 20" in stand.trigger.job(wish).words
    assert stand.trigger.job(event).state == "queued"
    assert len(stand.datasets.asked) == 1


def test_what_was_measured_of_the_model_before_fires_no_second_time() -> None:
    stand = Stand(chat=target(policy=Policy(performance=targets.Performance(metric="wins"))))
    stand.watch.left = 600
    stand.trigger.measure("chat", "wins", 0.2, "ann")
    stand.ticks(6)
    assert len(fired(stand)) == 1
    assert "it was measured before the last run" in stand.trigger.explain("chat").words
    stand.trigger.measure("chat", "wins", 0.2, "ann")
    stand.ticks(4)
    assert len(fired(stand)) == 2


def test_scores_of_the_model_before_fire_no_second_time() -> None:
    stand = Stand(chat=target(policy=Policy(performance=targets.Performance())))
    stand.watch.left, stand.watch.scores = 600, Production(300, 0.2)
    stand.ticks(6)
    assert len(fired(stand)) == 1
    assert "0 of 300 scored samples since the last model" in stand.trigger.explain("chat").words
    stand.watch.scores_after = Production(300, 0.2)
    stand.until(lambda: len(fired(stand)) == 2)


def test_a_launch_that_was_made_by_hand_is_shown_among_the_models() -> None:
    stand = Stand()
    stand.watch.fresh = 0
    file = DataFile(place="train.jsonl", sha256="0" * 64, size_bytes=9, examples=1)
    training = Training(base_model="llama")
    request = LaunchRequest(target="chat", table_version=42, dataset_hash="d" * 64, training=training, train_file=file)
    lease = stand.ledger.acquire("chat", "by hand", 60_000)
    assert lease is not None
    launch = stand.ledger.intend(lease, request.intent("decision-7"))
    stand.ledger.release(lease)
    stand.until(lambda: stand.ledger.launch(launch.key).state == State.SUCCEEDED)
    (model,) = stand.trigger.models()
    assert (model.model_id, model.base_model, model.decision_id) == ("ft:job-1", "llama", "decision-7")
    assert (model.versions.samples, model.config_hash) == (42, "")
    assert stand.trigger.model("ft:job-1") == model
    stand.watch.fresh = 600
    stand.until(lambda: len(stand.trigger.models()) == 2)


@pytest.mark.parametrize("wrong", ["the customer Jane said no", "t", "t/a b", ""])
def test_an_example_is_an_id_so_that_no_text_comes_in(wrong: str) -> None:
    with pytest.raises(NotHeardError, match="sample id"):
        Stand().trigger.fire("chat", "ann", reason="r", examples=[wrong])


def test_cancel_withdraws_what_waits_and_stops_what_runs() -> None:
    stand = Stand()
    stand.provider.ends = JobState.RUNNING
    stand.ticks(2)
    wish = stand.trigger.fire("chat", "ann", reason="again")
    assert stand.trigger.cancel(wish, "ann").state == "withdrawn"
    running = fired(stand)[0]
    stand.trigger.cancel(running, "ann")
    stand.until(lambda: stand.trigger.job(running).state == "cancelled")
    stand.ticks()
    with pytest.raises(NotWaitingError):
        stand.trigger.cancel(running, "ann")
    assert stand.watch.told == []
    assert len(fired(stand)) == 1


def test_cancel_of_a_blocked_job_stops_it_at_the_provider_but_not_while_somebody_works_on_it() -> None:
    stand = Stand(chat=target(budget_cents=100, cost_cents=60))
    stand.provider.ends = JobState.RUNNING
    stand.ticks(2)
    (job,) = fired(stand)
    (launch,) = stand.ledger.launches()
    lease = stand.ledger.acquire("chat", "worker", 60_000)
    assert lease is not None
    stand.ledger.move(lease, launch, State.BLOCKED, "beyond its deadline")
    with pytest.raises(NotWaitingError, match="right now"):
        stand.trigger.cancel(job, "ann")
    stand.ledger.release(lease)
    assert stand.trigger.cancel(job, "ann").state == "cancelled"
    assert stand.provider.cancelled == ["job-1"]
    assert stand.ledger.spent_cents("chat") == 60
    assert stand.trigger.job(job).history[-1].who == "ann"
    assert stand.ledger.acquire("chat", "next", 1) is not None, "the lease was given back"


def test_a_target_that_is_changed_to_another_provider_after_a_decision_does_not_launch_there() -> None:
    stand = Stand(chat=target(approval="manual"))
    stand.ticks()
    stand.trigger.approve(fired(stand)[0], "bea")
    stand.provider.identity = "millrace at http://elsewhere/v1"
    stand.ticks(3)
    (job,) = stand.trigger.jobs()
    assert (job.state, stand.provider.jobs) == ("failed", {})
    assert "http://127.0.0.1:9/v1" in job.note and "http://elsewhere/v1" in job.note


def test_a_decision_that_is_being_built_can_be_refused_but_not_behind_the_back_of_who_builds_it() -> None:
    stand = Stand()
    stand.datasets.errors = [DatasetsAway("away")] * 9
    stand.ticks()
    lease = stand.ledger.acquire("chat", "builder", 60_000)
    assert lease is not None
    with pytest.raises(NotWaitingError, match="right now"):
        stand.trigger.refuse(fired(stand)[0], "ann")
    stand.ledger.release(lease)
    assert stand.trigger.refuse(fired(stand)[0], "ann").stage == "refused"
    stand.ticks(2)
    assert len(stand.datasets.asked) == 1


def test_what_a_person_refuses_while_it_is_built_rests_for_the_cooldown_too() -> None:
    stand = Stand(chat=target(cooldown_hours=24.0))
    stand.datasets.errors = [DatasetsAway("away")]
    stand.ticks()
    stand.trigger.refuse(fired(stand)[0], "ann", "not before the holidays")
    stand.watch.fresh += 5
    stand.offset_ms = 23 * HOUR_MS
    stand.ticks(2)
    assert len(fired(stand)) == 1
    stand.offset_ms = 25 * HOUR_MS
    stand.ticks()
    assert len(fired(stand)) == 2


def test_a_launcher_that_cannot_work_stops_before_a_dataset_is_built() -> None:
    stand = Stand()
    stand.launcher_problem = lambda _target: "OPENAI_API_KEY is not set"
    stand.ticks(2)
    assert stand.datasets.asked == []
    assert "but OPENAI_API_KEY is not set" in stand.trigger.explain("chat").words


def test_explain_checks_no_window_of_drift_and_a_round_does() -> None:
    either = Policy(any=(Policy(drift=targets.Drift()), Policy(volume=targets.Volume(samples=1_000))))
    stand = Stand(chat=target(policy=either))
    stand.trigger.explain("chat")
    assert stand.watch.checked == 0
    stand.ticks(1)
    assert stand.watch.checked == 1


def test_explain_looks_at_the_lake_and_records_no_decision() -> None:
    stand = Stand()
    stand.ticks(4)
    before = stand.trigger.decisions()
    stand.watch.fresh = 499
    told = stand.trigger.explain("chat")
    assert stand.trigger.decisions() == before
    assert [guard.name for guard in told.guards][:3] == ["paused", "active run", "minimum"]
    words = "chat does not train now: 499 of 500 new samples since the last training set, 1 are missing."
    assert told.words == words
    stand.watch.away = True
    assert stand.trigger.explain("chat").words.startswith(f"{words} The lake does not answer")
