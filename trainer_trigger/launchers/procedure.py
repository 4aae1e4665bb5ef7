"""The launch, step by step, over the ledger and a launcher.

1. The intent is in the ledger before anything is called (`Ledger.intend`).
2. Mark it launching, with the lease's token.
3. Upload the files of this attempt; those that are there already are taken as they are.
4. Record their ids, with the token: whoever lost the lease stops here, and create is called after this only.
5. Create the job once, with the launch key in its metadata.
6. Record its id.

So a launch that is found launching without files was never created. One with files may have been: it is unknown. Then

7. look for jobs with the key: one is adopted, several stop for a person;
8. none: delete the attempt's files, so that a create that is still on its way is refused, wait, and look again;
9. still none: begin another attempt, if the launcher's `settles_s` proves that this is enough; else stop for a person.

When it is over

10. delete the uploaded files, so that an erasure of the training set has no copies to look for.

Where the launcher is not the one that the launch was decided for, its jobs are not to be found there. So before step 4
it fails, afterwards it stops for a person.

Nothing is kept in memory between two steps: any scheduler goes on where another one died.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from typing import Final

import msgspec
from msgspec import Struct

from trainer_trigger.errors import DatabaseUnavailable
from trainer_trigger.launchers.errors import (
    LauncherError,
    LauncherUnavailable,
    LaunchRefusedError,
    LaunchStateUnknownError,
    UnknownJobError,
)
from trainer_trigger.launchers.port import JobState, Launcher, LaunchRequest
from trainer_trigger.ledger import TERMINAL, Change, Launch, Lease, Ledger, State
from trainer_trigger.ledger.errors import FencedError, LedgerUnavailable, TransitionError
from trainer_trigger.ledger.keeping import kept

LOGGER: Final = logging.getLogger(__name__)

ENDS: Final = {
    JobState.SUCCEEDED: State.SUCCEEDED,
    JobState.FAILED: State.FAILED,
    JobState.CANCELLED: State.CANCELLED,
}
"""The explicit set of terminal states; every other word means that the job goes on."""

AT_REST: Final = TERMINAL | {State.BLOCKED}


class Timing(Struct, frozen=True, kw_only=True):
    """Seconds. `wait_s` lies between two looks where a launcher proves nothing. `launch_s` is the deadline from the
    first try to a job's id, `run_s` the job's.

    `keep` renews the lease while a step runs; a lease must outlast any single pause of the process.
    """

    lease_s: float = 120.0
    retry_s: float = 30.0
    poll_s: float = 20.0
    wait_s: float = 120.0
    launch_s: float = 24 * 3600.0
    run_s: float = 3 * 24 * 3600.0
    keep: bool = True


class Scheduler:
    """Moves launches forward. Any number may share a ledger; `launcher_of` finds the launcher of a target."""

    def __init__(
        self,
        ledger: Ledger,
        launcher_of: Callable[[str], Launcher] | Mapping[str, Launcher],
        who: str,
        timing: Timing = Timing(),
    ) -> None:
        self._ledger = ledger
        self._launcher_of = launcher_of.__getitem__ if isinstance(launcher_of, Mapping) else launcher_of
        self._who = who
        self._timing = timing

    def tick(self) -> int:
        """Work on every launch that has something to do and whose target nobody holds; the number of steps made.

        A launch whose lease is lost on the way is left to its new holder. What goes wrong with one launch is logged and
        stands in its note, and the others go on. Raises LedgerUnavailable, DatabaseUnavailable.
        """
        steps = 0
        for seen in self._ledger.due():
            target = seen.intent.target
            lease = self._ledger.acquire(target, self._who, _ms(self._timing.lease_s))
            if lease is None:
                continue
            try:
                steps += self._work(lease, seen.key)
            except FencedError:
                continue
            except (LedgerUnavailable, DatabaseUnavailable):
                raise
            except Exception as exc:  # one launch must not stop the others, whatever it is
                fields = {"target": target, "launch": seen.key}
                LOGGER.warning("a step could not be made", exc_info=exc, extra={"fields": fields})
                self._put_off(lease, seen.key, f"{type(exc).__name__}: {exc}")
            self._ledger.release(lease)  # after a crash nobody does: then it runs out
        return steps

    def _work(self, lease: Lease, key: str) -> int:
        launch, steps = self._ledger.launch(key), 0
        while launch.state not in AT_REST and launch.not_before_ms <= self._ledger.now_ms():
            with kept(self._ledger, lease, _ms(self._timing.lease_s)) if self._timing.keep else nullcontext():
                launch = self.step(lease, launch)
            steps += 1
        return steps

    def step(self, lease: Lease, launch: Launch) -> Launch:
        """One step of the launch as it was just read; the launch afterwards.

        Raises FencedError and TransitionError when somebody else has it now, LedgerUnavailable, and what the launcher
        raises beside its own errors.
        """
        try:
            launcher = self.launcher(launch.intent.target)
            words = elsewhere(launch, launcher)
            if words and launch.uncreated:
                return self._ledger.move(lease, launch, State.FAILED, f"{words}: fire again")
            if words and launch.state != State.LAUNCHING and not self._by_person(launch):
                return self._ledger.move(lease, launch, State.BLOCKED, f"{words}: look at the first, then decide")
            match launch.state:
                case State.INTENDED:
                    return self._begin(lease, launch, launcher)
                case State.LAUNCHING:
                    return self._launch(lease, launch, launcher)
                case State.UNKNOWN:
                    return self._look(lease, launch, launcher)
                case _:
                    return self._poll(lease, launch, launcher)
        except LauncherUnavailable as exc:
            # Only calls that may be repeated end here: the same step is made again later.
            return self._later(lease, launch, str(exc), exc.retry_after_s)

    def _later(self, lease: Lease, launch: Launch, words: str, wait_s: float | None = None) -> Launch:
        if self._overdue(launch) and launch.uncreated:
            return self._ledger.move(lease, launch, State.FAILED, f"given up: {words}")
        if self._overdue(launch) and launch.state != State.LAUNCHING:
            what = "the launch" if launch.job_id is None else f"job {launch.job_id}"
            return self._ledger.move(lease, launch, State.BLOCKED, f"{what} is beyond its deadline; {words}")
        change = Change(wait_ms=_ms(self._timing.retry_s if wait_s is None else wait_s))
        return self._ledger.move(lease, launch, launch.state, words, change)

    def _put_off(self, lease: Lease, key: str, words: str) -> None:
        with suppress(FencedError, TransitionError):
            launch = self._ledger.launch(key)  # the step may have got so far
            if launch.state not in AT_REST:
                self._later(lease, launch, words)

    def _by_person(self, launch: Launch) -> bool:
        """A person has named the job after a stop, wherever it is: if it is not known there, it stops again."""
        if launch.state == State.UNKNOWN:
            return False
        steps = self._ledger.history(launch.key)
        return any((each.before, each.after) == (State.BLOCKED, State.LAUNCHED) for each in steps)

    def launcher(self, target: str) -> Launcher:
        """Raises LauncherUnavailable, also for a target that is not configured."""
        try:
            return self._launcher_of(target)
        except KeyError as exc:  # one target that is not configured any more must not hold up the others
            raise LauncherUnavailable(f"no launcher is configured for target {target}") from exc

    def _begin(self, lease: Lease, launch: Launch, launcher: Launcher) -> Launch:
        try:
            launcher.check(_request(launch))
        except LaunchRefusedError as exc:
            return self._ledger.move(lease, launch, State.FAILED, str(exc))
        if launch.files:  # of an attempt that was given up
            launcher.revoke(launch.files)
        attempt = launch.attempt + 1 if launch.files or launch.attempt == 0 else launch.attempt
        change = Change(attempt=attempt, files=())
        if launch.deadline_ms is None:
            change = msgspec.structs.replace(change, deadline_in_ms=_ms(self._timing.launch_s))
        return self._ledger.move(lease, launch, State.LAUNCHING, "", change)  # 2

    def _launch(self, lease: Lease, launch: Launch, launcher: Launcher) -> Launch:
        if launch.files:
            return self._ledger.move(lease, launch, State.UNKNOWN, "nobody reported what became of create")
        try:
            request = _request(launch)
            files = launcher.upload(request, launch.key, launch.attempt)  # 3
        except LaunchRefusedError as exc:
            return self._ledger.move(lease, launch, State.FAILED, str(exc))
        launch = self._ledger.move(lease, launch, State.LAUNCHING, "", Change(files=files))  # 4
        try:
            job_id = launcher.create(request, launch.key, files)  # 5
        except LaunchRefusedError as exc:
            return self._ledger.move(lease, launch, State.FAILED, _cleared(launch, launcher, str(exc)))  # 10
        except LaunchStateUnknownError as exc:
            return self._ledger.move(lease, launch, State.UNKNOWN, str(exc))
        except LauncherUnavailable as exc:
            # Nothing was created, and nobody else can create with these files: they serve the next try as well.
            if self._overdue(launch):
                return self._ledger.move(lease, launch, State.FAILED, f"given up: {exc}")
            wait_s = self._timing.retry_s if exc.retry_after_s is None else exc.retry_after_s
            return self._ledger.move(lease, launch, State.INTENDED, str(exc), Change(files=(), wait_ms=_ms(wait_s)))
        return self._ledger.move(lease, launch, State.LAUNCHED, "", self._launched(job_id))  # 6

    def _launched(self, job_id: str) -> Change:
        return Change(job_id=job_id, looks=0, deadline_in_ms=_ms(self._timing.run_s))

    def _look(self, lease: Lease, launch: Launch, launcher: Launcher) -> Launch:
        jobs = launcher.find(launch.key)  # 7
        if len(jobs) == 1:
            return self._ledger.move(lease, launch, State.LAUNCHED, "adopted", self._launched(jobs[0]))
        if jobs:
            note = f"several jobs have this launch key: {', '.join(jobs)}; cancel all but one and name it"
            return self._ledger.move(lease, launch, State.BLOCKED, note)
        if launch.looks == 0:
            if launcher.settles_s is not None:  # else no second create follows, and the job may need its files
                launcher.revoke(launch.files)  # 8
            wait_s = self._timing.wait_s if launcher.settles_s is None else launcher.settles_s
            return self._ledger.move(lease, launch, State.UNKNOWN, launch.note, Change(looks=1, wait_ms=_ms(wait_s)))
        if launcher.settles_s is None:  # 9
            note = "no job was found, and the provider does not prove that there is none: look there, then decide"
            return self._ledger.move(lease, launch, State.BLOCKED, note)
        return self._ledger.move(lease, launch, State.INTENDED, "no job was created", Change(looks=0))

    def _poll(self, lease: Lease, launch: Launch, launcher: Launcher) -> Launch:
        assert launch.job_id is not None, "the table's check sees to it"
        try:
            told = launcher.progress(launch.job_id)
        except UnknownJobError as exc:
            return self._ledger.move(lease, launch, State.BLOCKED, str(exc))
        self._ledger.progress(lease, launch.key, told.events, told.points)
        end = ENDS.get(told.state)
        if end is not None:
            cost = msgspec.UNSET if told.cost_cents is None else told.cost_cents
            note = _cleared(launch, launcher, told.message)  # 10
            return self._ledger.move(lease, launch, end, note, Change(model=told.model, cost_cents=cost))
        wait_ms = _ms(self._timing.poll_s)
        if self._overdue(launch):
            note = f"job {launch.job_id} is {told.state} beyond its deadline"
            return self._ledger.move(lease, launch, State.BLOCKED, note)
        return self._ledger.move(lease, launch, State.RUNNING, told.message, Change(wait_ms=wait_ms))

    def _overdue(self, launch: Launch) -> bool:
        return launch.deadline_ms is not None and self._ledger.now_ms() > launch.deadline_ms


def _cleared(launch: Launch, launcher: Launcher, note: str) -> str:
    """Delete what was uploaded; the note, which says where that was not possible. A launch ends all the same."""
    try:
        launcher.revoke(launch.files)
    except LauncherError as exc:
        LOGGER.warning("uploaded files stay", extra={"fields": {"launch": launch.key, "files": launch.files}})
        return f"{f'{note}; ' if note else ''}the uploaded files could not be deleted: {exc}"
    return note


def elsewhere(launch: Launch, launcher: Launcher) -> str:
    """Both places in words, where the launcher is not the one that the launch was decided for; else nothing."""
    try:
        decided = _request(launch).provider_at
    except LaunchRefusedError:
        return ""  # which is said where it begins
    if decided in {"", launcher.identity}:
        return ""
    return f"it was decided for {decided}, and the targets file now says {launcher.identity}"


def _request(launch: Launch) -> LaunchRequest:
    try:
        return msgspec.json.decode(launch.intent.request, type=LaunchRequest)
    except msgspec.MsgspecError as exc:
        raise LaunchRefusedError(f"the recorded request cannot be read: {exc}") from exc


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
