"""A person's end to a launch that no scheduler can be asked to end: one that waits, is lost, or is blocked.

Under the target's lease, so that no scheduler creates or adopts a job meanwhile:

1. Where no job can be, the launch is cancelled.
2. Where one may be, the attempt's files are deleted, so that a create that is still on its way is refused; then jobs
   are looked for by the launch key.
3. The jobs that are known or found are cancelled at the provider.
4. The launch is cancelled. Its reserved cost counts, unless no job was found.
"""

from __future__ import annotations

from contextlib import suppress

from trainer_trigger.errors import NotWaitingError
from trainer_trigger.launchers.errors import LaunchRefusedError, UnknownJobError
from trainer_trigger.launchers.port import Launcher
from trainer_trigger.launchers.procedure import ENDS, Scheduler, elsewhere
from trainer_trigger.ledger import Change, Launch, Lease, Ledger, State


def cancel(ledger: Ledger, lease: Lease, key: str, scheduler: Scheduler) -> Launch:
    """Raises NotWaitingError with the reason, FencedError, LedgerUnavailable, LauncherError: then it stands as it did.

    `scheduler` knows the launchers.
    """
    launch = ledger.launch(key)
    if launch.uncreated:
        return ledger.move(lease, launch, State.CANCELLED, "cancelled")  # 1
    if launch.state == State.LAUNCHING:
        raise NotWaitingError(f"the job of launch {key} may just be created; try again when that is known")
    if launch.state not in {State.UNKNOWN, State.BLOCKED}:
        raise NotWaitingError(f"launch {key} is {launch.state} by now; try again")
    launcher = scheduler.launcher(launch.intent.target)
    words = elsewhere(launch, launcher)
    if words:
        raise NotWaitingError(f"{words}: cancel its job at the first, then say `resolve --to cancelled`")
    if launch.job_id is not None:
        jobs = [launch.job_id]
    else:
        launcher.revoke(launch.files)  # 2
        jobs = launcher.find(key)
    for job in jobs:
        _stop(launcher, job)  # 3
    note = f"cancelled with {', '.join(jobs)}" if jobs else "cancelled; no job was found"
    change = Change(job_id=jobs[0]) if jobs else Change(cost_cents=0)
    return ledger.move(lease, launch, State.CANCELLED, note, change)  # 4


def _stop(launcher: Launcher, job: str) -> None:
    with suppress(UnknownJobError):  # it is gone
        try:
            launcher.cancel(job)
        except LaunchRefusedError:
            if launcher.progress(job).state not in ENDS:  # what is over needs no end
                raise
