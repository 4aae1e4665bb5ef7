"""One suite for the controls: SQLite in memory, in a file, and a real PostgreSQL give the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from deploy.local.process import wait_until
from tests.servers import Servers
from tests.trigger_parts import target
from trainer_trigger.controls.records import MAX_WAITING, STEPS, Evaluation, Plan, Signal, Stage, TrainingSet
from trainer_trigger.controls.sql import SqlControls
from trainer_trigger.database import Database
from trainer_trigger.errors import DatabaseRefusedError, NotHeardError, NotWaitingError, UnknownDecisionError
from trainer_trigger.ledger import Decision, Lease
from trainer_trigger.ledger.errors import FencedError
from trainer_trigger.ledger.sql import SqlLedger
from trainer_trigger.watch import Versions

LONG_MS = 60_000
PLAN = Plan(target=target(), target_hash="h", versions=Versions(3, 2, 1), earlier=None, fresh=600, total=700)
SET = TrainingSet(place="/d/1", dataset_hash="abc", code="c0de")


@pytest.fixture(params=["memory", "file", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return "sqlite://"
    if request.param == "file":
        return f"sqlite:///{tmp_path}/trigger.sqlite"
    servers: Servers = request.getfixturevalue("servers")
    return servers.fresh_database()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def controls(database: Database) -> SqlControls:
    return SqlControls(database)


@pytest.fixture
def ledger(database: Database, controls: SqlControls) -> SqlLedger:
    return SqlLedger(database)


@pytest.fixture
def lease(ledger: SqlLedger, controls: SqlControls) -> Lease:
    controls.state("chat")
    lease = ledger.acquire("chat", "one", LONG_MS)
    assert lease is not None
    return lease


def decision(decision_id: str = "d1", *, fires: bool = True, words: str = "enough") -> Decision:
    details = msgspec.json.encode(PLAN).decode()
    return Decision(decision_id=decision_id, target="chat", fires=fires, words=words, details=details)


def signal(signal_id: str = "s1", kind: str = "manual") -> Signal:
    return Signal(signal_id=signal_id, target="chat", kind=kind, reason="r", examples=("t/a",), who="ann", at_ms=0)


def fenced(ledger: SqlLedger, lease: Lease) -> None:
    """Another one has the lease."""
    ledger.release(lease)
    assert ledger.acquire("chat", "two", LONG_MS) is not None


def test_a_target_is_first_seen_once(controls: SqlControls) -> None:
    first = controls.state("chat")
    assert controls.state("chat") == first
    assert first.first_seen_ms > 1_700_000_000_000
    assert (first.seen_ms, first.problem, first.holds_since_ms) == (None, "", None)


def test_a_problem_stays_since_it_began_until_the_target_was_looked_at(controls: SqlControls, lease: Lease) -> None:
    controls.looked(lease, "the lake is away")
    began = controls.state("chat").problem_ms
    controls.looked(lease, "the lake is still away")
    state = controls.state("chat")
    assert (state.problem, state.problem_ms, state.seen_ms) == ("the lake is still away", began, None)
    controls.looked(lease)
    state = controls.state("chat")
    assert (state.problem, state.problem_ms) == ("", None)
    assert state.seen_ms is not None


def test_policies_hold_since_the_first_time_without_a_break_under_one_configuration(
    controls: SqlControls, ledger: SqlLedger, lease: Lease
) -> None:
    since = controls.holding(lease, "h1", True)
    assert since is not None
    assert wait_until(lambda: ledger.now_ms() > since, 5)
    assert controls.holding(lease, "h1", True) == since == controls.state("chat").holds_since_ms
    other = controls.holding(lease, "h2", True)
    assert other is not None and other > since
    assert controls.holding(lease, "h2", False) is None
    again = controls.holding(lease, "h2", True)
    assert again is not None and again >= other


def test_the_last_word_on_a_pause_counts(controls: SqlControls) -> None:
    assert controls.paused("chat") is None
    controls.pause("chat", "ann", "we migrate")
    controls.pause("other", "ann", "")
    pause = controls.paused("chat")
    assert pause is not None and (pause.who, pause.why) == ("ann", "we migrate")
    controls.resume("chat", "bea")
    assert controls.paused("chat") is None
    assert controls.paused("other") is not None


def test_a_signal_waits_until_a_decision_answers_it_and_the_same_id_is_the_same(
    controls: SqlControls, lease: Lease
) -> None:
    kept = controls.signal(signal())
    assert msgspec.structs.replace(kept, at_ms=0) == signal()
    assert controls.signal(msgspec.structs.replace(signal(), reason="another")) == kept
    controls.signal(signal("s2"))
    controls.record(lease, decision("s1"), Stage.BUILDING, signals=["s1"])
    assert [each.signal_id for each in controls.signals("chat")] == ["s2"]
    answered = controls.find_signal("s1")
    assert answered is not None and answered.decision_id == "s1"
    with pytest.raises(NotWaitingError):
        controls.withdraw("s1", "ann")
    controls.withdraw("s2", "ann")
    assert controls.signals("chat") == []
    assert controls.find_signal("none") is None


def test_a_decision_is_recorded_with_all_its_signals_or_not_at_all(controls: SqlControls, lease: Lease) -> None:
    controls.signal(signal("s1"))
    controls.signal(signal("s2"))
    controls.withdraw("s2", "ann")
    with pytest.raises(NotWaitingError):
        controls.record(lease, decision("s1"), Stage.BUILDING, signals=["s1", "s2"])
    assert controls.outcomes("chat") == []
    assert [each.signal_id for each in controls.signals("chat")] == ["s1"]
    done = controls.record(lease, decision("s1"), Stage.BUILDING, signals=["s1"])
    assert controls.record(lease, decision("s1"), Stage.BUILDING, signals=["s1"]) == done


def test_only_so_many_signals_of_a_target_wait(controls: SqlControls) -> None:
    for number in range(MAX_WAITING):
        controls.signal(signal(f"s{number}"))
    with pytest.raises(NotHeardError, match="100 signals of chat wait already"):
        controls.signal(signal("more"))
    assert controls.signal(signal("s0")).signal_id == "s0"
    assert controls.find_signal("more") is None
    controls.signal(msgspec.structs.replace(signal("other"), target="other"))
    controls.withdraw("s0", "ann")
    controls.signal(signal("more"))


def test_events_that_were_answered_in_vain_wait_again_once_and_a_fire_does_not(
    controls: SqlControls, lease: Lease
) -> None:
    first = controls.signal(signal("e1", "incident"))
    controls.signal(signal("s1"))
    controls.record(lease, decision(), Stage.BUILDING, signals=["e1", "s1"])
    controls.move(lease, "d1", Stage.LAUNCHED, "", "key")
    controls.told(lease, "d1", in_vain=True)
    controls.told(lease, "d1", in_vain=True)
    (again,) = controls.signals("chat")
    assert again.signal_id not in {"e1", "s1"}
    assert msgspec.structs.replace(again, signal_id="e1") == first
    answered = controls.find_signal("e1")
    assert answered is not None and answered.decision_id == "d1"
    controls.record(lease, decision("d2"), Stage.BUILDING, signals=[again.signal_id])
    controls.move(lease, "d2", Stage.LAUNCHED, "", "key2")
    controls.told(lease, "d2")
    assert controls.signals("chat") == []


def test_the_last_measurement_of_each_metric_counts(controls: SqlControls) -> None:
    for metric, value in (("wins", 0.4), ("harm", 0.1), ("wins", 0.3)):
        controls.measure("chat", metric, value, "ann")
    controls.measure("other", "wins", 0.9, "ann")
    assert {name: each.value for name, each in controls.measurements("chat").items()} == {"wins": 0.3, "harm": 0.1}


def test_a_steady_no_is_counted_and_a_change_is_a_new_row(controls: SqlControls, lease: Lease) -> None:
    for number, words in enumerate(["1 of 500", "2 of 500", "3 of 500"]):
        controls.record(lease, decision(f"n{number}", fires=False, words=words), Stage.NO, "cause 1")
    (only,) = controls.outcomes("chat")
    assert (only.decision.decision_id, only.times, only.note) == ("n0", 3, "3 of 500")
    controls.record(lease, decision("n3", fires=False), Stage.NO, "cause 2")
    controls.record(lease, decision("n4", fires=False), Stage.NO, "cause 1")
    assert [each.times for each in controls.outcomes("chat")] == [1, 1, 3]
    assert controls.outcomes("chat", noes=False) == []


def test_a_decision_and_what_became_of_it_are_one(controls: SqlControls, ledger: SqlLedger, lease: Lease) -> None:
    controls.record(lease, decision(), Stage.WAITING)
    assert controls.record(lease, decision(words="other"), Stage.BUILDING) == controls.outcome("d1")
    (there,) = ledger.decisions("chat")
    opened = controls.open("chat")
    assert opened is not None
    assert opened.decision == there
    assert (there.words, opened.plan, opened.versions) == ("enough", PLAN, PLAN.versions)
    with pytest.raises(UnknownDecisionError):
        controls.outcome("none")


def test_a_target_has_one_open_decision(controls: SqlControls, ledger: SqlLedger, lease: Lease) -> None:
    controls.record(lease, decision(), Stage.WAITING)
    with pytest.raises(DatabaseRefusedError):
        controls.record(lease, decision("d2"), Stage.BUILDING)
    assert [each.decision_id for each in ledger.decisions("chat")] == ["d1"]
    controls.settle("d1", "ann", Stage.REFUSED, "")
    assert controls.open("chat") is None
    controls.record(lease, decision("d2"), Stage.BUILDING)


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("after", list(Stage))
def test_a_decision_goes_the_ways_of_the_table_only(stage: Stage, after: Stage) -> None:
    database = Database("sqlite://")
    controls, ledger = SqlControls(database), SqlLedger(database)
    lease = ledger.acquire("chat", "one", LONG_MS)
    assert lease is not None
    controls.record(lease, decision(), Stage.BUILDING if stage == Stage.LAUNCHED else stage)
    if stage == Stage.LAUNCHED:
        controls.move(lease, "d1", Stage.LAUNCHED, "", "key")
    if after == stage or after in STEPS.get(stage, ()):
        assert controls.move(lease, "d1", after, "why", "key").stage == after
    else:
        with pytest.raises(NotWaitingError):
            controls.move(lease, "d1", after, "why", "key")
        assert controls.outcome("d1").stage == stage
    database.close()


def test_every_step_stays_with_who_and_why_and_a_note_alone_is_none(controls: SqlControls, lease: Lease) -> None:
    controls.record(lease, decision(), Stage.WAITING)
    controls.settle("d1", "ann", Stage.BUILDING, "go on")
    controls.move(lease, "d1", Stage.BUILDING, "tried again: away", training_set=SET)
    done = controls.move(lease, "d1", Stage.LAUNCHED, "its dataset is /d/1", "key")
    assert (done.launch_key, done.training_set, done.told) == ("key", SET, False)
    told = [(turn.who, turn.before, turn.after, turn.note) for turn in controls.history("d1")]
    assert told == [
        ("one", None, Stage.WAITING, ""),
        ("ann", Stage.WAITING, Stage.BUILDING, "approved by ann: go on"),
        ("one", Stage.BUILDING, Stage.LAUNCHED, "its dataset is /d/1"),
    ]


def test_only_what_waits_is_settled_and_once(controls: SqlControls, lease: Lease) -> None:
    controls.record(lease, decision(), Stage.WAITING)

    def word(after: Stage) -> str:
        try:
            return str(controls.settle("d1", "ann", after, "").stage)
        except NotWaitingError:
            return "too late"

    with ThreadPoolExecutor(2) as pool:
        told = sorted(pool.map(word, [Stage.BUILDING, Stage.REFUSED]))
    assert told[-1] == "too late"
    assert told[0] == controls.outcome("d1").stage


def test_versions_are_pinned_once(controls: SqlControls, lease: Lease) -> None:
    controls.record(lease, decision(), Stage.BUILDING)
    assert controls.pin(lease, "d1", Versions(9, 9, 9)).versions == Versions(9, 9, 9)
    assert controls.pin(lease, "d1", Versions(10, 10, 10)).versions == Versions(9, 9, 9)


def test_what_was_told_to_the_watch_is_told_no_more(controls: SqlControls, lease: Lease) -> None:
    controls.record(lease, decision(), Stage.BUILDING)
    assert controls.untold("chat") == []
    controls.move(lease, "d1", Stage.LAUNCHED, "", "key")
    assert [each.decision.decision_id for each in controls.untold("chat")] == ["d1"]
    controls.told(lease, "d1")
    assert controls.untold("chat") == []


def test_who_lost_the_lease_changes_nothing(controls: SqlControls, ledger: SqlLedger, lease: Lease) -> None:
    controls.record(lease, decision(), Stage.BUILDING)
    before = controls.outcome("d1"), controls.state("chat")
    fenced(ledger, lease)
    for write in (
        lambda: controls.record(lease, decision("d2", fires=False), Stage.NO),
        lambda: controls.move(lease, "d1", Stage.REFUSED, ""),
        lambda: controls.pin(lease, "d1", Versions(9, 9, 9)),
        lambda: controls.told(lease, "d1"),
        lambda: controls.looked(lease, "problem"),
        lambda: controls.holding(lease, "h", True),
    ):
        with pytest.raises(FencedError):
            write()
    assert (controls.outcome("d1"), controls.state("chat")) == before
    assert len(controls.outcomes("chat")) == 1


def test_an_evaluation_is_queued_once(controls: SqlControls) -> None:
    wish = Evaluation(evaluation_id="e1", model_id="m", suite="default", who="ann", at_ms=0)
    controls.evaluate(wish)
    controls.evaluate(msgspec.structs.replace(wish, suite="other"))
    controls.evaluate(msgspec.structs.replace(wish, evaluation_id="e2", model_id="n"))
    (queued,) = controls.evaluations("m")
    assert (queued.evaluation_id, queued.suite, queued.state) == ("e1", "default", "queued")
    assert len(controls.evaluations()) == 2
