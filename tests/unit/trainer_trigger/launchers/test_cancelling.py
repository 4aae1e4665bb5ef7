"""A person ends a launch: what may be at the provider is cancelled there first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from tests.fine_tuning_server import Fault, FineTuningServer
from tests.unit.trainer_trigger.launchers.requests import request_in
from trainer_trigger.errors import NotWaitingError
from trainer_trigger.launchers import Launcher, Scheduler
from trainer_trigger.launchers.cancelling import cancel
from trainer_trigger.launchers.errors import LauncherUnavailable, LaunchRefusedError
from trainer_trigger.launchers.openai import OpenAILauncher, OpenAISettings
from trainer_trigger.ledger import Change, Launch, Lease, State
from trainer_trigger.ledger.sql import SqlLedger

COST = 5


class Desk:
    """A launch whose files are at a server, by a scheduler that has died; `cancel` is a person's."""

    def __init__(self, server: FineTuningServer, folder: Path) -> None:
        self.server = server
        self.ledger = SqlLedger("sqlite://")
        self.launcher = OpenAILauncher(OpenAISettings(base_url=server.base_url, api_key="-", settles_s=None))
        self.request = msgspec.structs.replace(request_in(folder), provider_at=self.launcher.identity)
        lease = self.ledger.acquire("chat", "ann", 60_000)
        assert lease is not None
        self.lease: Lease = lease
        self.launch = self.ledger.intend(lease, self.request.intent("decision 1", cost_cents=COST))
        self.key = self.launch.key

    def move(self, after: State, change: Change = Change()) -> Launch:
        self.launch = self.ledger.move(self.lease, self.launch, after, "", change)
        return self.launch

    def uploaded(self) -> None:
        self.move(State.LAUNCHING, Change(attempt=1))
        self.move(State.LAUNCHING, Change(files=self.launcher.upload(self.request, self.key, 1)))

    def create(self) -> str:
        return self.launcher.create(self.request, self.key, self.launch.files)

    def cancel(self, launcher: object = None) -> Launch:
        port = cast(Launcher, launcher or self.launcher)
        return cancel(self.ledger, self.lease, self.key, Scheduler(self.ledger, {"chat": port}, "one"))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with FineTuningServer() as server:
        desk = Desk(server, tmp_path)
        yield desk
        desk.launcher.close()
        desk.ledger.close()


def test_what_was_never_created_is_cancelled_without_a_call_and_whoever_was_about_to_create_it_cannot(
    desk: Desk,
) -> None:
    seen = desk.move(State.LAUNCHING, Change(attempt=1))
    done = desk.cancel()
    assert (done.state, done.settled_cents) == (State.CANCELLED, 0)
    assert desk.server.requests == []
    with pytest.raises(Exception, match="is cancelled"):
        desk.ledger.move(desk.lease, seen, State.LAUNCHING, "", Change(files=("f",)))


def test_what_may_just_be_created_is_not_cancelled_before_that_is_known(desk: Desk) -> None:
    desk.uploaded()
    with pytest.raises(NotWaitingError, match="just be created"):
        desk.cancel()
    assert desk.ledger.launch(desk.key).state == State.LAUNCHING


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("jobs", [1, 2])
def test_jobs_of_a_lost_launch_are_found_and_cancelled_and_the_cost_counts(
    desk: Desk, jobs: int, blocked: bool
) -> None:
    desk.uploaded()
    made = [desk.create() for _ in range(jobs)]
    desk.move(State.UNKNOWN)
    if blocked:
        desk.move(State.BLOCKED)
    done = desk.cancel()
    assert (done.state, done.settled_cents) == (State.CANCELLED, COST)
    assert {each.status for each in desk.server.jobs.values()} == {"cancelled"}
    assert done.job_id in made and all(job in done.note for job in made)


def test_a_lost_launch_without_a_job_costs_nothing_and_none_can_be_created_any_more(desk: Desk) -> None:
    desk.uploaded()
    desk.move(State.UNKNOWN)
    done = desk.cancel()
    assert (done.state, done.settled_cents, done.note) == (State.CANCELLED, 0, "cancelled; no job was found")
    with pytest.raises(LaunchRefusedError, match="no such file"):
        desk.create()


@pytest.mark.parametrize("gone", [False, True])
def test_the_known_job_of_a_blocked_launch_is_cancelled_at_the_provider(desk: Desk, gone: bool) -> None:
    desk.uploaded()
    job = desk.create()
    desk.move(State.LAUNCHED, Change(job_id=job))
    desk.move(State.BLOCKED)
    if gone:
        desk.server.jobs.clear()
    done = desk.cancel()
    assert (done.state, done.job_id, done.settled_cents) == (State.CANCELLED, job, COST)
    assert [each.status for each in desk.server.jobs.values()] == [] if gone else ["cancelled"]


@pytest.mark.parametrize("over", [False, True])
def test_a_provider_that_does_not_cancel_a_job_is_believed_when_the_job_is_over(desk: Desk, over: bool) -> None:
    desk.uploaded()
    desk.create()
    desk.move(State.UNKNOWN)
    desk.server.ends_as = "failed" if over else "running"

    class Refuses:
        def __getattr__(self, name: str) -> Any:
            return getattr(desk.launcher, name)

        def cancel(self, job_id: str) -> None:
            raise LaunchRefusedError("it cannot be cancelled")

    if over:
        assert desk.cancel(Refuses()).state == State.CANCELLED
    else:
        with pytest.raises(LaunchRefusedError):
            desk.cancel(Refuses())
        assert desk.ledger.launch(desk.key).state == State.UNKNOWN


def test_a_provider_that_is_away_leaves_the_launch_as_it_stood(desk: Desk) -> None:
    desk.uploaded()
    desk.create()
    desk.move(State.UNKNOWN)
    desk.server.fail("GET jobs", Fault.ERROR_BEFORE)
    with pytest.raises(LauncherUnavailable):
        desk.cancel()
    assert desk.ledger.launch(desk.key).state == State.UNKNOWN


def test_a_job_is_not_looked_for_at_another_provider(desk: Desk) -> None:
    desk.uploaded()
    desk.create()
    desk.move(State.UNKNOWN)
    with FineTuningServer() as elsewhere:
        other = OpenAILauncher(OpenAISettings(base_url=elsewhere.base_url, api_key="-", settles_s=0.0))
        with pytest.raises(NotWaitingError, match=f"{desk.server.base_url}.*{elsewhere.base_url}"):
            desk.cancel(other)
        assert elsewhere.requests == []
        other.close()
    assert desk.ledger.launch(desk.key).state == State.UNKNOWN


def test_what_the_provider_is_asked_about_anyway_is_not_ended_behind_its_back(desk: Desk) -> None:
    desk.uploaded()
    desk.move(State.LAUNCHED, Change(job_id=desk.create()))
    with pytest.raises(NotWaitingError, match="is launched by now"):
        desk.cancel()
