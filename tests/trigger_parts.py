"""Stands for the trigger's neighbours: a lake's watch, datasets, a provider; and a process that dies at a call."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
from sqlalchemy import update

from deploy.local.process import wait_until
from schemas import targets
from schemas.targets import DatasetPlan, LauncherChoice, OpenAI, Policy, Target, Volume
from schemas.training import Training
from streams.errors import LakeUnavailable
from trainer_trigger.controls.records import TrainingSet
from trainer_trigger.controls.sql import SqlControls
from trainer_trigger.database import Database
from trainer_trigger.launchers import DataFile, JobState, Launcher, LaunchRequest, Progress, Timing
from trainer_trigger.ledger import tables
from trainer_trigger.ledger.sql import SqlLedger
from trainer_trigger.ports import Built
from trainer_trigger.service import Trigger
from trainer_trigger.watch import Count, DriftState, Production, Versions

SOON = Timing(lease_s=60.0, retry_s=0.02, poll_s=0.02, wait_s=0.0, keep=False)


class Died(BaseException):
    """The process ends here: no handler of the code under test may see it."""


class Dying:
    """A port of a process that dies after its `call`-th call, counted over all ports that share `calls`."""

    def __init__(self, port: object, calls: list[str], call: int) -> None:
        self._port = port
        self._calls = calls
        self._at = call
        self._owner = threading.current_thread()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def faulty(*arguments: Any, **named: Any) -> object:
            if threading.current_thread() is not self._owner:  # the thread that renews the lease
                return found(*arguments, **named)
            self._calls.append(f"{type(self._port).__name__}.{name}")
            call = len(self._calls)
            answer = found(*arguments, **named)
            if call == self._at:
                raise Died
            return answer

        return faulty


class FakeWatch:
    """A lake that, while it `grows`, has another version each time. `fresh` is taken back to `left` by `trained`."""

    def __init__(self, fresh: int = 600, total: int = 600) -> None:
        self.fresh, self.total = fresh, total
        self.left = 0
        self.version, self.grows = 0, True
        self.away = False
        self.drift_error: Exception | None = None
        self.checked = 0
        self.told: list[tuple[str, Versions, str]] = []
        self.drifted = DriftState(kind="steady", reason="nothing moved", window_rows=0, needed=300, reference_rows=900)
        self.scores = Production(300, 0.9)
        self.scores_after = Production(0, None)

    def catch_up(self, name: str, target: Target) -> Versions:
        if self.away:
            raise LakeUnavailable("the bucket is away")
        self.version += self.grows
        return Versions(self.version, self.version, self.version)

    def count(self, name: str, target: Target) -> Count:
        return Count(self.fresh, self.total)

    def production(self, name: str, target: Target, clusters: int, after_ms: int | None = None) -> Production:
        return self.scores if after_ms is None else self.scores_after

    def drift(self, name: str, target: Target, rule: targets.Drift, *, checks: bool = True) -> DriftState:
        self.checked += checks
        if self.drift_error is not None:
            raise self.drift_error
        return self.drifted

    def trained(self, name: str, versions: Versions, dataset_hash: str) -> None:
        self.told.append((name, versions, dataset_hash))
        self.fresh = self.left


class FakeDatasets:
    """Its hash is that of the arguments. `errors` are raised first, one a call."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Versions, str | None]] = []
        self.errors: list[Exception] = []
        self.same: str | None = None

    def build(self, name: str, target: Target, versions: Versions, earlier: str | None) -> Built:
        self.asked.append((name, versions, earlier))
        if self.errors:
            raise self.errors.pop(0)
        made_of = msgspec.json.encode([name, target.hash, versions, earlier])
        digest = self.same or hashlib.sha256(made_of).hexdigest()
        file = DataFile(place=f"/datasets/{name}/train.jsonl", sha256=digest, size_bytes=9_000, examples=540)
        training_set = TrainingSet(place=f"/datasets/{name}/{digest[:16]}", dataset_hash=digest, code="c0de")
        return Built(training_set=training_set, train=file)


class FakeProvider:
    """A launcher that trains at once, or ends as `ends`."""

    settles_s: float | None = 0.0
    identity = "millrace at http://127.0.0.1:9/v1"

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self.ends = JobState.SUCCEEDED
        self.cancelled: list[str] = []
        self.errors: list[Exception] = []
        self._numbers = itertools.count(1)

    def check(self, request: LaunchRequest) -> None:
        if self.errors:
            raise self.errors.pop(0)

    def upload(self, request: LaunchRequest, key: str, attempt: int) -> tuple[str, ...]:
        return (f"{key}-{attempt}",)

    def create(self, request: LaunchRequest, key: str, files: Sequence[str]) -> str:
        job = f"job-{next(self._numbers)}"
        self.jobs[job] = key
        return job

    def find(self, key: str) -> list[str]:
        return [job for job, of in self.jobs.items() if of == key]

    def revoke(self, files: Sequence[str]) -> None:
        """Nothing is on its way."""

    def progress(self, job_id: str) -> Progress:
        state = JobState.CANCELLED if job_id in self.cancelled else self.ends
        return Progress(state=state, model=f"ft:{job_id}" if state is JobState.SUCCEEDED else None, message="it broke")

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)


def target(**changes: Any) -> Target:
    """One whose sets are said and that fires at 500 samples."""
    plain = Target(
        policy=Policy(volume=Volume(samples=500)),
        dataset=DatasetPlan(golden="none", harm="none"),
        training=Training(base_model="tiny"),
        launcher=LauncherChoice(openai=OpenAI(base_url="http://127.0.0.1:9/v1", provider="millrace")),
        cooldown_hours=0.0,
    )
    return msgspec.structs.replace(plain, **changes)


class Stand:
    """A database and the fakes around it. `offset_ms` moves the trigger's clock."""

    def __init__(self, url: str = "sqlite://", **named: Target) -> None:
        self.database = Database(url)
        self.ledger = SqlLedger(self.database)
        self.controls = SqlControls(self.database)
        self.watch = FakeWatch()
        self.datasets = FakeDatasets()
        self.provider = FakeProvider()
        self.targets = named or {"chat": target()}
        self.offset_ms = 0
        self.launcher_problem: Callable[[Target], str] = lambda _target: ""
        self._ids = itertools.count(1)
        self.trigger = self.process("one")

    def process(self, who: str, calls: list[str] | None = None, call: int = 0) -> Trigger:
        """A process of the trigger; with `calls` it is one that dies."""

        def port(real: Any) -> Any:
            return real if calls is None else Dying(real, calls, call)

        provider = cast(Launcher, port(self.provider))
        return Trigger(
            self.targets,
            port(self.ledger),
            port(self.controls),
            port(self.watch),
            port(self.datasets),
            lambda _name: provider,
            who,
            launcher_problem=lambda configured: self.launcher_problem(configured),
            timing=SOON,
            clock=lambda: self.ledger.now_ms() + self.offset_ms,
            new_id=lambda: f"d{next(self._ids)}",
        )

    def ticks(self, times: int = 1) -> None:
        for _ in range(times):
            self.trigger.tick()

    def until(self, holds: Callable[[], bool]) -> None:
        """Tick until it holds."""

        def ticked() -> bool:
            self.trigger.tick()
            return holds()

        assert wait_until(ticked, 20)

    def leases_run_out(self) -> None:
        """As if the dead process's time had passed."""
        with self.database.transaction() as connection:
            connection.execute(update(tables.leases).values(expires_ms=0))
