from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from deploy.local.process import wait_until
from schemas.training import Training
from tests.fine_tuning_server import Fault, FineTuningServer
from tests.unit.trainer_trigger.launchers.requests import request_in
from trainer_trigger.launchers import JobState, Launcher, LaunchRequest, Progress, Scheduler, Timing
from trainer_trigger.launchers.openai import OpenAILauncher, OpenAISettings
from trainer_trigger.ledger import TERMINAL, Change, Launch, Ledger, Point, State
from trainer_trigger.ledger.sql import SqlLedger

LEASE_S = 2.0
STEPS = ["move", "upload", "create", "find", "revoke", "progress", "check", "acquire", "launch"]


class Died(BaseException):
    pass


class Dies:
    """A port that dies at the `call`-th call of `name`, before or after it is made."""

    def __init__(self, port: object, name: str, call: int, *, after: bool) -> None:
        self.port, self.name, self.left, self.after = port, name, call, after
        self.died = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.port, name)
        if name != self.name:
            return found

        def call(*arguments: object, **named: object) -> object:
            self.left -= 1
            self.died = self.died or self.left == 0
            if self.left == 0 and not self.after:
                raise Died
            answer = found(*arguments, **named)
            if self.left == 0:
                raise Died
            return answer

        return call


class Breaks:
    """A launcher whose `name` goes wrong in a way that nobody foresaw, before or after it was done."""

    def __init__(self, port: object, name: str, *, times: int, after: bool = False) -> None:
        self.port, self.name, self.left, self.after = port, name, times, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.port, name)
        if name != self.name:
            return found

        def call(*arguments: object) -> object:
            self.left -= 1
            answer = found(*arguments) if self.after or self.left < 0 else None
            if self.left >= 0:
                raise PermissionError("not for you")
            return answer

        return call


class World:
    """A ledger, a server, and schedulers over them."""

    def __init__(self, server: FineTuningServer, folder: Path) -> None:
        self.server = server
        self.ledger = SqlLedger("sqlite://")
        self.launchers: list[OpenAILauncher] = []
        self.request = request_in(folder)
        server.ends_as = "succeeded"

    def launcher(self, settles_s: float | None = 0.05) -> OpenAILauncher:
        settings = OpenAISettings(base_url=self.server.base_url, api_key="-", settles_s=settles_s, create_timeout_s=0.3)
        self.launchers.append(OpenAILauncher(settings))
        return self.launchers[-1]

    def intend(self, request: LaunchRequest | None = None) -> Launch:
        lease = self.ledger.acquire("chat", "policy", 60_000)
        assert lease is not None
        launch = self.ledger.intend(lease, (request or self.request).intent("decision 1", cost_cents=5))
        self.ledger.release(lease)
        return launch

    def scheduler(
        self,
        launcher: object = None,
        ledger: object = None,
        who: str = "one",
        *,
        run_s: float = 60,
        launch_s: float = 60,
        lease_s: float = LEASE_S,
    ) -> Scheduler:
        timing = Timing(lease_s=lease_s, retry_s=0.01, poll_s=0.01, wait_s=0.01, run_s=run_s, launch_s=launch_s)
        port = cast(Launcher, launcher or self.launcher())
        return Scheduler(cast(Ledger, ledger or self.ledger), {"chat": port}, who, timing)

    def settled(self, scheduler: Scheduler, key: str, until: Callable[[Launch], bool] | None = None) -> Launch:
        done = until or (lambda launch: launch.state in {*TERMINAL, State.BLOCKED})

        def ticked() -> bool:
            scheduler.tick()
            return done(self.ledger.launch(key))

        assert wait_until(ticked, 20), self.ledger.history(key)
        return self.ledger.launch(key)

    def path(self, key: str) -> list[State]:
        return [each.after for each in self.ledger.history(key)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with FineTuningServer() as server:
        world = World(server, tmp_path)
        yield world
        for each in world.launchers:
            each.close()
        world.ledger.close()


def test_a_launch_goes_through_every_state_to_its_model(world: World) -> None:
    world.server.ends_as = None
    launch = world.intend()
    scheduler = world.scheduler()
    running = world.settled(scheduler, launch.key, lambda each: each.state == State.RUNNING)
    (job,) = world.server.jobs
    assert running.job_id == job
    assert set(running.files) <= world.server.files.keys()
    world.server.ends_as = "succeeded"
    done = world.settled(scheduler, launch.key)
    assert not world.server.files, "no copies are left that an erasure would have to look for"
    assert (done.state, done.model) == (State.SUCCEEDED, f"ft:tiny:{job}")
    assert world.path(launch.key) == [
        State.INTENDED,
        State.LAUNCHING,
        State.LAUNCHED,
        State.RUNNING,
        State.SUCCEEDED,
    ]


@pytest.mark.parametrize("fault", [Fault.ERROR_AFTER, Fault.DROP_AFTER, Fault.SILENT_AFTER, Fault.GARBLED])
def test_a_job_that_was_created_without_an_answer_is_adopted(world: World, fault: Fault) -> None:
    world.server.fail("POST jobs", fault)
    launch = world.settled(world.scheduler(), world.intend().key)
    assert launch.state == State.SUCCEEDED
    assert [launch.job_id] == list(world.server.jobs)
    assert State.UNKNOWN in world.path(launch.key)
    assert world.server.requests.count("POST jobs") == 1


@pytest.mark.parametrize("fault", [Fault.ERROR_BEFORE, Fault.DROP_BEFORE, Fault.SILENT_BEFORE])
def test_a_job_that_provably_was_not_created_is_created_at_the_second_attempt(world: World, fault: Fault) -> None:
    world.server.fail("POST jobs", fault)
    launch = world.settled(world.scheduler(), world.intend().key)
    assert (launch.state, launch.attempt) == (State.SUCCEEDED, 2)
    assert [launch.job_id] == list(world.server.jobs)
    assert world.server.requests.count("GET jobs") == 2, "looked twice before"


def test_a_job_that_is_listed_late_is_adopted_at_the_second_look(world: World) -> None:
    world.server.fail("POST jobs", Fault.DROP_AFTER)
    world.server.list_lag_s = 0.3
    launch = world.settled(world.scheduler(world.launcher(settles_s=1.0)), world.intend().key)
    assert (launch.state, launch.attempt) == (State.SUCCEEDED, 1)
    assert len(world.server.jobs) == 1


def test_where_nothing_is_proved_a_person_decides_and_the_files_stay(world: World) -> None:
    world.server.fail("POST jobs", Fault.DROP_BEFORE)
    scheduler = world.scheduler(world.launcher(settles_s=None))
    launch = world.settled(scheduler, world.intend().key)
    assert launch.state == State.BLOCKED
    assert "does not prove" in launch.note
    assert (world.server.jobs, len(world.server.files)) == ({}, 2)
    scheduler.tick()
    assert world.ledger.launch(launch.key) == launch, "nothing happens until then"

    world.ledger.resolve(launch.key, "ann", State.INTENDED, "looked: there is none")
    again = world.settled(scheduler, launch.key)
    assert (again.state, again.attempt) == (State.SUCCEEDED, 2)
    assert len(world.server.jobs) == 1


def test_several_jobs_of_one_launch_are_named_to_a_person_and_none_is_cancelled(world: World) -> None:
    launch = world.intend()
    launcher = world.launcher()
    files = launcher.upload(world.request, launch.key, 1)
    jobs = [launcher.create(world.request, launch.key, files) for _ in range(2)]
    world.server.fail("POST jobs", Fault.ERROR_BEFORE)
    blocked = world.settled(world.scheduler(launcher), launch.key)
    assert blocked.state == State.BLOCKED
    assert all(job in blocked.note for job in jobs)
    assert {each.status for each in world.server.jobs.values()} == {"queued"}
    world.ledger.resolve(launch.key, "ann", State.LAUNCHED, "the first", jobs[0])
    done = world.settled(world.scheduler(launcher), launch.key)
    assert (done.state, done.job_id) == (State.SUCCEEDED, jobs[0])


def test_a_429_is_asked_again_with_the_same_files_and_no_look(world: World) -> None:
    world.server.fail("POST jobs", Fault.RATE_LIMITED, Fault.RATE_LIMITED)
    launch = world.settled(world.scheduler(), world.intend().key)
    assert (launch.state, launch.attempt) == (State.SUCCEEDED, 1)
    assert world.server.requests.count("POST files") == 2
    assert State.UNKNOWN not in world.path(launch.key)


def test_what_the_provider_does_not_take_fails_before_any_call_and_costs_nothing(world: World, tmp_path: Path) -> None:
    request = request_in(tmp_path, Training(base_model="tiny", lora_rank=8))
    launch = world.settled(world.scheduler(), world.intend(request).key)
    assert (launch.state, launch.settled_cents) == (State.FAILED, 0)
    assert "training.lora_rank" in launch.note
    assert world.server.requests == []


def test_a_job_beyond_its_deadline_is_a_person_s_and_goes_on(world: World) -> None:
    world.server.ends_as = "running"
    launch = world.settled(world.scheduler(run_s=0.3), world.intend().key)
    assert launch.state == State.BLOCKED
    assert "deadline" in launch.note and launch.job_id in world.server.jobs


def test_a_provider_that_went_away_ends_at_the_deadline_too(world: World) -> None:
    world.server.ends_as = "running"
    launch = world.intend()
    scheduler = world.scheduler(run_s=1.0)
    running = world.settled(scheduler, launch.key, lambda each: each.state == State.RUNNING)
    world.server.fail(f"GET {running.job_id}", *[Fault.ERROR_BEFORE] * 1000)
    blocked = world.settled(scheduler, launch.key)
    assert blocked.state == State.BLOCKED and "500" in blocked.note


def test_a_failed_job_says_why(world: World) -> None:
    world.server.ends_as = "failed"
    launch = world.settled(world.scheduler(), world.intend().key)
    assert (launch.state, launch.note, launch.settled_cents) == (State.FAILED, "it broke", 5)


def test_a_launch_ends_also_where_its_files_cannot_be_deleted_and_says_so(world: World) -> None:
    world.server.ends_as = None
    launch = world.intend()
    scheduler = world.scheduler()
    running = world.settled(scheduler, launch.key, lambda each: each.state == State.RUNNING)
    world.server.fail(f"DELETE {running.files[0]}", Fault.ERROR_BEFORE)
    world.server.ends_as = "succeeded"
    done = world.settled(scheduler, launch.key)
    assert done.state == State.SUCCEEDED
    assert "the uploaded files could not be deleted" in done.note
    assert world.server.files


def test_a_job_that_vanished_is_a_person_s(world: World) -> None:
    world.server.ends_as = "running"
    launch = world.intend()
    scheduler = world.scheduler()
    world.settled(scheduler, launch.key, lambda each: each.state == State.RUNNING)
    world.server.jobs.clear()
    assert world.settled(scheduler, launch.key).state == State.BLOCKED


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("fault", [None, Fault.DROP_BEFORE, Fault.DROP_AFTER])
def test_wherever_a_scheduler_dies_the_next_one_launches_once(
    world: World, name: str, call: int, after: bool, fault: Fault | None
) -> None:
    if fault is not None:
        world.server.fail("POST jobs", fault)
    launch = world.intend()
    on_ledger = hasattr(world.ledger, name)
    port: object = world.ledger if on_ledger else world.launcher()
    dying = Dies(port, name, call, after=after)
    mortal = world.scheduler(None if on_ledger else dying, dying if on_ledger else None, lease_s=0.3)
    with suppress(Died):
        world.settled(mortal, launch.key)
    done = world.settled(world.scheduler(who="two"), launch.key)
    assert done.state == State.SUCCEEDED
    assert [done.job_id] == list(world.server.jobs)


def test_a_zombie_that_wakes_before_create_creates_nothing(world: World) -> None:
    launch = world.intend()
    launcher = world.launcher()
    zombie = world.ledger.acquire("chat", "zombie", 500)
    assert zombie is not None
    marked = world.ledger.move(zombie, launch, State.LAUNCHING, "", Change(attempt=1))
    files = launcher.upload(world.request, launch.key, 1)
    world.ledger.move(zombie, marked, State.LAUNCHING, "", Change(files=files))
    # Here it sleeps, and the next scheduler takes the launch over.
    done = world.settled(world.scheduler(who="two"), launch.key)
    assert (done.state, done.attempt) == (State.SUCCEEDED, 2)
    with pytest.raises(Exception, match="no such file"):
        launcher.create(world.request, launch.key, files)
    assert len(world.server.jobs) == 1


def test_a_long_upload_keeps_its_lease(world: World) -> None:
    launch = world.intend()
    launcher = world.launcher()
    rival = world.scheduler(who="rival")

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(launcher, name)

        def upload(self, *given: Any) -> tuple[str, ...]:
            begun = world.ledger.now_ms()
            assert wait_until(lambda: bool(rival.tick()) or world.ledger.now_ms() > begun + 1500, 10)
            return launcher.upload(*given)

    done = world.settled(world.scheduler(Slow(), lease_s=0.6), launch.key)
    assert done.state == State.SUCCEEDED
    assert {each.who for each in world.ledger.history(launch.key)} == {"policy", "one"}


def test_a_target_without_a_launcher_waits_and_holds_up_no_other(world: World) -> None:
    launch = world.intend()
    other = world.ledger.acquire("aaa", "policy", 60_000)
    assert other is not None
    request = msgspec.structs.replace(world.request, target="aaa")
    orphan = world.ledger.intend(other, request.intent("decision 2"))
    world.ledger.release(other)
    assert world.settled(world.scheduler(), launch.key).state == State.SUCCEEDED
    waiting = world.ledger.launch(orphan.key)
    assert (waiting.state, waiting.note) == (State.INTENDED, "no launcher is configured for target aaa")


def test_a_request_that_cannot_be_read_fails_with_the_reason(world: World) -> None:
    lease = world.ledger.acquire("chat", "policy", 60_000)
    assert lease is not None
    intent = msgspec.structs.replace(world.request.intent("decision 1"), request='{"target": 1}')
    launch = world.ledger.intend(lease, intent)
    world.ledger.release(lease)
    failed = world.settled(world.scheduler(), launch.key)
    assert failed.state == State.FAILED and "cannot be read" in failed.note


@pytest.fixture
def elsewhere() -> Iterator[FineTuningServer]:
    """Another provider, to which the targets file was changed."""
    with FineTuningServer() as server:
        server.ends_as = "succeeded"
        yield server


def decided_here(world: World) -> Launch:
    here = world.launcher().identity
    return world.intend(msgspec.structs.replace(world.request, provider_at=here))


def launcher_at(world: World, server: FineTuningServer) -> OpenAILauncher:
    settings = OpenAISettings(base_url=server.base_url, api_key="-", settles_s=0.0)
    world.launchers.append(OpenAILauncher(settings))
    return world.launchers[-1]


@pytest.mark.parametrize("fault", [Fault.DROP_AFTER, Fault.DROP_BEFORE])
def test_a_job_that_may_be_at_one_provider_is_not_created_at_another(
    world: World, elsewhere: FineTuningServer, fault: Fault
) -> None:
    world.server.fail("POST jobs", fault)
    launch = decided_here(world)
    world.server.fail("GET jobs", *[Fault.ERROR_BEFORE] * 1000)  # it is away when it is looked for
    world.settled(world.scheduler(), launch.key, lambda each: each.state == State.UNKNOWN)
    changed = world.scheduler(launcher_at(world, elsewhere))
    blocked = world.settled(changed, launch.key)
    assert blocked.state == State.BLOCKED
    assert world.server.base_url in blocked.note and elsewhere.base_url in blocked.note
    assert elsewhere.requests == []


def test_a_launch_that_died_in_create_is_not_looked_for_at_another_provider(
    world: World, elsewhere: FineTuningServer
) -> None:
    launch = decided_here(world)
    with suppress(Died):
        world.scheduler(Dies(world.launcher(), "create", 1, after=True), lease_s=0.3).tick()
    assert world.ledger.launch(launch.key).state == State.LAUNCHING
    blocked = world.settled(world.scheduler(launcher_at(world, elsewhere)), launch.key)
    assert (blocked.state, elsewhere.requests, len(world.server.jobs)) == (State.BLOCKED, [], 1)

    (job,) = world.server.jobs
    world.ledger.resolve(launch.key, "ann", State.LAUNCHED, "found it", job)
    done = world.settled(world.scheduler(), launch.key)
    assert (done.state, done.job_id) == (State.SUCCEEDED, job)


def test_what_was_decided_for_one_provider_does_not_begin_at_another(world: World, elsewhere: FineTuningServer) -> None:
    launch = decided_here(world)
    failed = world.settled(world.scheduler(launcher_at(world, elsewhere)), launch.key)
    assert (failed.state, failed.settled_cents) == (State.FAILED, 0)
    assert failed.note == (
        f"it was decided for openai at {world.server.base_url}, "
        f"and the targets file now says openai at {elsewhere.base_url}: fire again"
    )
    assert world.server.requests == elsewhere.requests == []


def test_a_job_that_runs_is_not_asked_for_at_another_provider_unless_a_person_says_so(
    world: World, elsewhere: FineTuningServer
) -> None:
    world.server.ends_as = "running"
    launch = decided_here(world)
    world.settled(world.scheduler(), launch.key, lambda each: each.state == State.RUNNING)
    changed = world.scheduler(launcher_at(world, elsewhere))
    blocked = world.settled(changed, launch.key)
    assert (blocked.state, elsewhere.requests) == (State.BLOCKED, [])

    elsewhere.jobs = world.server.jobs  # the provider has moved
    assert blocked.job_id is not None
    world.ledger.resolve(launch.key, "ann", State.LAUNCHED, "it has moved", blocked.job_id)
    assert world.settled(changed, launch.key).state == State.SUCCEEDED


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", ["check", "upload", "create", "progress"])
def test_what_nobody_foresaw_stops_no_other_launch_and_is_noted_and_tried_again(
    world: World, caplog: pytest.LogCaptureFixture, name: str, after: bool
) -> None:
    caplog.set_level(logging.WARNING)
    launch = world.intend()
    scheduler = world.scheduler(Breaks(world.launcher(), name, times=1, after=after))
    scheduler.tick()
    assert "PermissionError: not for you" in world.ledger.launch(launch.key).note
    assert "a step could not be made" in caplog.text
    done = world.settled(scheduler, launch.key)
    assert done.state == State.SUCCEEDED
    assert [done.job_id] == list(world.server.jobs)


def test_a_launcher_that_cannot_be_made_is_the_launch_s_trouble_only(world: World) -> None:
    launch = world.intend()

    def broken(_target: str) -> Launcher:
        raise ValueError("Invalid port: 'PORT'")

    scheduler = Scheduler(world.ledger, broken, "one", Timing(retry_s=0.01))
    scheduler.tick()
    noted = world.ledger.launch(launch.key)
    assert (noted.state, noted.note) == (State.INTENDED, "ValueError: Invalid port: 'PORT'")


def test_what_the_database_refuses_is_noted_and_ends_at_the_deadline(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    launch = world.intend()
    launcher = world.launcher()

    class Refused:
        def __getattr__(self, name: str) -> Any:
            return getattr(launcher, name)

        def progress(self, job_id: str) -> Progress:
            return Progress(state=JobState.RUNNING, points=(Point(1, "train_loss", float("nan")),))

    scheduler = world.scheduler(Refused(), run_s=0.5)
    noted = world.settled(scheduler, launch.key, lambda each: "TransitionError" in each.note)
    assert noted.state == State.LAUNCHED
    assert "a step could not be made" in caplog.text
    assert world.settled(scheduler, launch.key).state == State.BLOCKED


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_or_path_fails_with_the_provider_s_words_and_costs_nothing(world: World, status: int) -> None:
    world.server.act = lambda *_: (status, {"error": {"message": "who are you?"}})  # type: ignore[method-assign]
    launch = world.settled(world.scheduler(), world.intend().key)
    assert (launch.state, launch.settled_cents) == (State.FAILED, 0)
    assert f"HTTP {status}" in launch.note and "who are you?" in launch.note


def test_a_dataset_that_is_gone_fails_with_its_name(world: World) -> None:
    Path(world.request.train_file.place).unlink()
    launch = world.settled(world.scheduler(), world.intend().key)
    assert launch.state == State.FAILED and "train.jsonl" in launch.note


@pytest.mark.parametrize(("call", "fault"), [("POST files", Fault.ERROR_BEFORE), ("POST jobs", Fault.RATE_LIMITED)])
def test_a_launch_that_never_gets_to_a_job_is_given_up_at_its_deadline(world: World, call: str, fault: Fault) -> None:
    world.server.fail(call, *[fault] * 1000)
    launch = world.settled(world.scheduler(launch_s=0.4), world.intend().key)
    assert (launch.state, launch.settled_cents) == (State.FAILED, 0)
    assert launch.note.startswith("given up: ")


def test_a_job_that_cannot_be_looked_for_is_a_person_s_at_the_deadline(world: World) -> None:
    world.server.fail("POST jobs", Fault.DROP_AFTER)
    world.server.fail("GET jobs", *[Fault.ERROR_BEFORE] * 1000)
    launch = world.settled(world.scheduler(launch_s=0.4), world.intend().key)
    assert launch.state == State.BLOCKED
    assert "beyond its deadline" in launch.note and "500" in launch.note
