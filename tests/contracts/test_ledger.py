"""One suite for the ledger: SQLite in memory, in a file, and a real PostgreSQL give the same answers."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from deploy.local.process import wait_until
from tests.servers import Servers
from trainer_trigger.errors import TriggerError
from trainer_trigger.ledger import NEXT, TERMINAL, Change, Decision, Event, Intent, Launch, Lease, Ledger, Point, State
from trainer_trigger.ledger.errors import (
    ActiveRunError,
    BudgetSpentError,
    DecisionTakenError,
    FencedError,
    TransitionError,
    UnknownLaunchError,
)
from trainer_trigger.ledger.sql import SqlLedger

LONG_MS = 60_000
ACTIVE = [each for each in State if each not in TERMINAL]

WAYS: dict[State, tuple[State, ...]] = {
    State.INTENDED: (),
    State.LAUNCHING: (State.LAUNCHING,),
    State.UNKNOWN: (State.LAUNCHING, State.UNKNOWN),
    State.BLOCKED: (State.LAUNCHING, State.UNKNOWN, State.BLOCKED),
    State.LAUNCHED: (State.LAUNCHING, State.LAUNCHED),
    State.RUNNING: (State.LAUNCHING, State.LAUNCHED, State.RUNNING),
    State.SUCCEEDED: (State.LAUNCHING, State.LAUNCHED, State.RUNNING, State.SUCCEEDED),
    State.FAILED: (State.FAILED,),
    State.CANCELLED: (State.CANCELLED,),
}
"""A way to each state from intended."""


@pytest.fixture(params=["memory", "file", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return "sqlite://"
    if request.param == "file":
        return f"sqlite:///{tmp_path}/ledger.sqlite"
    servers: Servers = request.getfixturevalue("servers")
    return servers.fresh_database()


@pytest.fixture
def ledger(url: str) -> Iterator[SqlLedger]:
    ledger = SqlLedger(url)
    yield ledger
    ledger.close()


def intent(decision: str = "d1", target: str = "chat", *, generation: int = 0, cost_cents: int = 0) -> Intent:
    return Intent(
        decision_id=decision,
        target=target,
        table_version=3,
        dataset_hash="abc",
        configuration_hash="def",
        generation=generation,
        cost_cents=cost_cents,
        request='{"a":1}',
    )


def held(ledger: Ledger, target: str = "chat", holder: str = "one", ttl_ms: int = LONG_MS) -> Lease:
    lease = ledger.acquire(target, holder, ttl_ms)
    assert lease is not None
    return lease


def taken_over(ledger: Ledger, holder: str, target: str = "chat") -> Lease:
    leases: list[Lease] = []

    def asked() -> bool:
        lease = ledger.acquire(target, holder, LONG_MS)
        if lease is not None:
            leases.append(lease)
        return lease is not None

    assert wait_until(asked, 10)
    return leases[0]


def brought(ledger: Ledger, lease: Lease, state: State, decision: str = "d1") -> Launch:
    launch = ledger.intend(lease, intent(decision))
    for each in WAYS[state]:
        change = Change(job_id=f"job-{decision}") if each == State.LAUNCHED else Change()
        launch = ledger.move(lease, launch, each, "", change)
    assert launch.state == state
    return launch


def test_an_intent_is_kept_as_it_was_given(ledger: SqlLedger) -> None:
    lease = held(ledger)
    launch = ledger.intend(lease, intent(cost_cents=7))
    assert launch.intent == intent(cost_cents=7)
    assert (launch.state, launch.key, launch.attempt, launch.files) == (State.INTENDED, intent().key, 0, ())
    assert ledger.launch(launch.key) == launch
    assert ledger.launches("chat") == ledger.launches() == ledger.due() == [launch]
    with pytest.raises(UnknownLaunchError):
        ledger.launch("none")


def test_the_same_intent_again_is_the_launch_that_is_there(ledger: SqlLedger) -> None:
    lease = held(ledger)
    first = ledger.intend(lease, intent())
    moved = ledger.move(lease, first, State.LAUNCHING)
    assert ledger.intend(lease, intent()) == moved
    assert len(ledger.history(first.key)) == 2


@pytest.mark.parametrize("field", ["target", "table_version", "dataset_hash", "configuration_hash", "generation"])
def test_each_part_of_the_key_makes_another_key(field: str) -> None:
    other = msgspec.structs.replace(intent(), **{field: 9 if field in {"table_version", "generation"} else "other"})
    assert other.key != intent().key


def test_neither_decision_nor_cost_nor_request_is_part_of_the_key() -> None:
    assert msgspec.structs.replace(intent("d2", cost_cents=1), request="{}").key == intent().key


def test_a_decision_launches_once(ledger: SqlLedger) -> None:
    lease = held(ledger)
    launch = ledger.intend(lease, intent())
    ledger.move(lease, launch, State.CANCELLED)
    with pytest.raises(DecisionTakenError):
        ledger.intend(lease, intent(generation=1))


def test_two_runs_of_a_target_are_never_active_together(ledger: SqlLedger) -> None:
    lease = held(ledger)
    first = ledger.intend(lease, intent())
    with pytest.raises(ActiveRunError) as caught:
        ledger.intend(lease, intent("d2", generation=1))
    assert caught.value.key == first.key
    ledger.intend(held(ledger, "code"), intent("d3", "code"))
    ledger.move(lease, first, State.FAILED)
    assert ledger.intend(lease, intent("d2", generation=1)).state == State.INTENDED


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_a_launch_goes_only_where_the_table_of_states_lets_it(before: State, after: State) -> None:
    ledger = SqlLedger("sqlite://")
    lease = held(ledger)
    launch = brought(ledger, lease, before)
    change = Change() if launch.job_id else Change(job_id="job")
    if after in NEXT[before]:
        assert ledger.move(lease, launch, after, "why", change).state == after
        last = ledger.history(launch.key)[-1]
        assert (last.who, last.before, last.after, last.note) == ("one", before, after, "why")
    elif after != before or before in TERMINAL:
        with pytest.raises(TransitionError):
            ledger.move(lease, launch, after, "why", change)
        assert ledger.launch(launch.key) == launch
    ledger.close()


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_a_person_decides_only_what_is_blocked_or_not_created(before: State, after: State) -> None:
    ledger = SqlLedger("sqlite://")
    launch = brought(ledger, held(ledger), before)
    allowed = {
        State.BLOCKED: {State.LAUNCHED, State.INTENDED, State.CANCELLED},
        State.INTENDED: {State.CANCELLED},
        State.LAUNCHING: {State.CANCELLED},
        State.UNKNOWN: {State.CANCELLED},
    }
    job = "job" if after == State.LAUNCHED else None
    if after in allowed.get(before, set()):
        resolved = ledger.resolve(launch.key, "ann", after, "seen", job)
        assert (resolved.state, resolved.job_id) == (after, job)
        assert ledger.history(launch.key)[-1].who == "ann"
    else:
        with pytest.raises(TransitionError):
            ledger.resolve(launch.key, "ann", after, "seen", job)
    ledger.close()


def test_a_person_ends_a_launch_that_is_being_made_only_before_its_files_are_recorded(ledger: SqlLedger) -> None:
    lease = held(ledger)
    launch = brought(ledger, lease, State.LAUNCHING)
    launch = ledger.move(lease, launch, State.LAUNCHING, "", Change(files=("f",)))
    with pytest.raises(TransitionError, match="just be created"):
        ledger.resolve(launch.key, "ann", State.CANCELLED, "")
    launch = ledger.move(lease, launch, State.INTENDED, "", Change(files=()))
    seen = ledger.move(lease, launch, State.LAUNCHING)
    assert ledger.resolve(launch.key, "ann", State.CANCELLED, "").settled_cents == 0
    with pytest.raises(TransitionError):
        ledger.move(lease, seen, State.LAUNCHING, "", Change(files=("f",)))


def test_what_a_person_cancels_by_a_word_costs_what_was_reserved_where_a_job_may_be(ledger: SqlLedger) -> None:
    lease = held(ledger)
    for number, state in enumerate([State.UNKNOWN, State.BLOCKED]):
        launch = ledger.intend(lease, intent(f"d{number}", generation=number, cost_cents=7))
        for each in WAYS[state]:
            launch = ledger.move(lease, launch, each)
        assert ledger.resolve(launch.key, "ann", State.CANCELLED, "").settled_cents == 7
    launch = ledger.intend(lease, intent("d9", generation=9, cost_cents=7))
    assert ledger.resolve(launch.key, "ann", State.CANCELLED, "").settled_cents == 0


def test_a_provider_s_words_are_kept_without_what_no_database_takes(ledger: SqlLedger) -> None:
    lease = held(ledger)
    launch = brought(ledger, lease, State.LAUNCHED)
    ledger.progress(lease, launch.key, [Event("a\0", 1, "in\0fo", "50\0% \ud800")], [Point(1, "lo\0ss", 1.0)])
    done = ledger.move(lease, launch, State.SUCCEEDED, "no\0te", Change(model="ft:\0m"))
    assert ledger.events(launch.key) == [Event("a", 1, "info", "50% ?")]
    assert ledger.curve(launch.key, "loss") == [Point(1, "loss", 1.0)]
    assert (done.note, done.model, ledger.history(launch.key)[-1].note) == ("note", "ft:m", "note")


def test_a_launched_job_has_an_id(ledger: SqlLedger) -> None:
    lease = held(ledger)
    launch = brought(ledger, lease, State.LAUNCHING)
    with pytest.raises(TransitionError):
        ledger.move(lease, launch, State.LAUNCHED)
    assert ledger.launch(launch.key) == launch
    with pytest.raises(TransitionError, match="job's id"):
        ledger.resolve(brought_blocked(ledger, lease, launch).key, "ann", State.LAUNCHED, "")


def brought_blocked(ledger: SqlLedger, lease: Lease, launch: Launch) -> Launch:
    return ledger.move(lease, ledger.move(lease, launch, State.UNKNOWN), State.BLOCKED)


def test_one_job_belongs_to_one_launch(ledger: SqlLedger) -> None:
    ledger.move(lease := held(ledger), brought(ledger, lease, State.LAUNCHING), State.LAUNCHED, "", Change(job_id="j"))
    other = held(ledger, "code")
    launch = ledger.move(other, ledger.intend(other, intent("d2", "code")), State.LAUNCHING)
    with pytest.raises(TransitionError):
        ledger.move(other, launch, State.LAUNCHED, "", Change(job_id="j"))


def test_what_has_moved_since_it_was_seen_is_not_moved_again(ledger: SqlLedger) -> None:
    lease = held(ledger)
    seen = ledger.intend(lease, intent())
    ledger.move(lease, seen, State.LAUNCHING)
    with pytest.raises(TransitionError, match="seen as intended"):
        ledger.move(lease, seen, State.CANCELLED)
    unknown = ledger.move(lease, ledger.launch(seen.key), State.UNKNOWN)
    ledger.move(lease, unknown, State.UNKNOWN, "", Change(looks=1))
    with pytest.raises(TransitionError):
        ledger.move(lease, unknown, State.UNKNOWN, "", Change(looks=1))


def test_a_lease_has_one_holder_until_it_is_given_back(ledger: SqlLedger) -> None:
    first = held(ledger)
    assert ledger.acquire("chat", "two", LONG_MS) is None
    assert ledger.acquire("chat", "one", LONG_MS) is None, "a second process may have the same name"
    assert held(ledger, "code").token == 1, "each target has its own"
    ledger.release(first)
    assert held(ledger, holder="two").token == first.token + 1


def test_a_zombie_with_an_old_token_writes_nothing(ledger: SqlLedger) -> None:
    old = held(ledger, ttl_ms=500)
    launch = ledger.intend(old, intent())
    new = taken_over(ledger, "two")
    assert new.token == old.token + 1
    for write in (
        lambda: ledger.move(old, launch, State.LAUNCHING),
        lambda: ledger.renew(old, LONG_MS),
        lambda: ledger.intend(old, intent("d2", generation=2)),
        lambda: ledger.progress(old, launch.key, [Event("1", 1, "info", "hi")], []),
    ):
        with pytest.raises(FencedError):
            write()
    ledger.release(old)
    assert ledger.acquire("chat", "three", 1) is None, "the zombie has given back what is not its own"
    assert ledger.launch(launch.key) == launch
    assert ledger.events(launch.key) == []
    assert ledger.move(new, launch, State.LAUNCHING).state == State.LAUNCHING


def test_a_lease_that_ran_out_is_refused_even_when_nobody_took_it(ledger: SqlLedger) -> None:
    lease = held(ledger, ttl_ms=300)
    launch = ledger.intend(lease, intent())
    assert wait_until(lambda: ledger.now_ms() > lease.expires_ms, 10)
    with pytest.raises(FencedError, match="ran out"):
        ledger.move(lease, launch, State.LAUNCHING)


def test_a_renewed_lease_lives_on(ledger: SqlLedger) -> None:
    lease = held(ledger, ttl_ms=2_000)
    renewed = ledger.renew(lease, LONG_MS)
    assert renewed.token == lease.token
    assert wait_until(lambda: ledger.now_ms() > lease.expires_ms, 10)
    assert ledger.acquire("chat", "two", LONG_MS) is None
    assert ledger.intend(lease, intent()).state == State.INTENDED


def test_a_lease_writes_its_own_target_only(ledger: SqlLedger) -> None:
    launch = ledger.intend(held(ledger), intent())
    other = held(ledger, "code")
    with pytest.raises(FencedError):
        ledger.move(other, launch, State.LAUNCHING)
    with pytest.raises(FencedError):
        ledger.intend(other, intent("d2"))


def test_of_many_schedulers_at_once_one_gets_the_lease_and_one_the_step(ledger: SqlLedger) -> None:
    together = threading.Barrier(8)

    def ask(number: int) -> Lease | None:
        together.wait()
        return ledger.acquire("chat", str(number), LONG_MS)

    with ThreadPoolExecutor(8) as pool:
        leases = [lease for lease in pool.map(ask, range(8)) if lease is not None]
    assert len(leases) == 1
    launch = ledger.intend(leases[0], intent())

    def step(_number: int) -> bool:
        together.wait()
        try:
            ledger.move(leases[0], launch, State.LAUNCHING)
        except TransitionError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(step, range(8))) == 1
    assert [each.after for each in ledger.history(launch.key)] == [State.INTENDED, State.LAUNCHING]


def test_the_budget_of_a_month_is_reserved_settled_and_given_back(ledger: SqlLedger) -> None:
    lease = held(ledger)
    first = ledger.intend(lease, intent("d1", cost_cents=60), budget_cents=100)
    assert ledger.spent_cents("chat") == 60
    ledger.move(lease, first, State.FAILED)
    assert ledger.spent_cents("chat") == 0, "nothing was created"

    second = ledger.intend(lease, intent("d2", generation=1, cost_cents=100), budget_cents=100)
    launching = ledger.move(lease, second, State.LAUNCHING)
    launched = ledger.move(lease, launching, State.LAUNCHED, "", Change(job_id="j"))
    ledger.move(lease, launched, State.SUCCEEDED, "", Change(cost_cents=30))
    assert ledger.spent_cents("chat") == 30

    with pytest.raises(BudgetSpentError) as caught:
        ledger.intend(lease, intent("d3", generation=2, cost_cents=71), budget_cents=100)
    assert caught.value.left_cents == 70
    third = ledger.intend(lease, intent("d3", generation=2, cost_cents=70), budget_cents=100)
    assert ledger.spent_cents("chat", third.month) == 100
    assert ledger.spent_cents("chat", "1999-01") == ledger.spent_cents("code") == 0


def test_a_job_that_failed_costs_what_was_reserved(ledger: SqlLedger) -> None:
    lease = held(ledger)
    launch = ledger.move(lease, ledger.intend(lease, intent(cost_cents=60)), State.LAUNCHING)
    launched = ledger.move(lease, launch, State.LAUNCHED, "", Change(job_id="j"))
    assert ledger.move(lease, launched, State.FAILED).settled_cents == 60


def test_what_waits_is_not_due_and_what_is_blocked_or_over_never_is(ledger: SqlLedger) -> None:
    lease = held(ledger)
    launch = ledger.intend(lease, intent())
    waiting = ledger.move(lease, launch, State.INTENDED, "later", Change(wait_ms=700))
    assert ledger.due() == []
    assert wait_until(lambda: ledger.due() == [waiting], 10)
    ledger.move(lease, waiting, State.CANCELLED)
    assert ledger.due() == []


def test_the_history_is_only_added_to(ledger: SqlLedger) -> None:
    launch = ledger.intend(held(ledger), intent())
    for statement in ("UPDATE trigger_history SET who = 'x'", "DELETE FROM trigger_history"):
        with pytest.raises(TriggerError, match="only added to"), ledger._database.transaction() as connection:
            connection.exec_driver_sql(statement)
    assert len(ledger.history(launch.key)) == 1


def test_events_and_points_are_kept_once_and_in_order(ledger: SqlLedger) -> None:
    lease = held(ledger)
    launch = ledger.intend(lease, intent())
    events = [Event("b", 2, "warn", "two"), Event("a", 1, "info", "one")]
    points = [Point(2, "train_loss", 0.5), Point(1, "train_loss", 1.5), Point(1, "valid_loss", 3.0)]
    for _ in range(2):
        ledger.progress(lease, launch.key, events, points)
    assert ledger.events(launch.key) == [events[1], events[0]]
    assert ledger.curve(launch.key, "train_loss") == [points[1], points[0]]


def test_decisions_are_kept_also_a_no(ledger: SqlLedger) -> None:
    ledger.decide(Decision(decision_id="1", target="chat", fires=False, words="97 of 100 samples", details='{"n":97}'))
    ledger.decide(Decision(decision_id="1", target="chat", fires=True, words="another"))
    ledger.decide(Decision(decision_id="2", target="code", fires=True, words="drift"))
    (only,) = ledger.decisions("chat")
    assert (only.fires, only.words, only.details) == (False, "97 of 100 samples", '{"n":97}')
    assert abs(only.at_ms - ledger.now_ms()) < 60_000


def test_another_process_finds_everything_again(url: str) -> None:
    if url == "sqlite://":
        pytest.skip("in memory there is one process")
    first, second = SqlLedger(url), SqlLedger(url)
    lease = held(first)
    launch = first.move(lease, first.intend(lease, intent()), State.LAUNCHING, "", Change(attempt=1, files=("f",)))
    assert second.launch(launch.key) == launch
    assert second.history(launch.key) == first.history(launch.key)
    assert second.acquire("chat", "two", LONG_MS) is None
    first.close()
    second.close()
