"""Launch once: schedulers that die, hang, wake up too late and race, on one ledger, against a server that misbehaves.

    python benchmarks/trigger_faults.py [--faults N] [--seed N] [--schedulers N] [--database URL] [--results FILE]

Several schedulers work on the same launches all the time. Each is a fresh one that, at a call drawn at random of its
ledger or launcher, dies just before or after it (its lease stays until it runs out), or sleeps beyond its lease there
and then goes on with its old token. The server, a real HTTP one on loopback that trains nothing, fails requests drawn
at random: it answers nothing, 500, 429 or no JSON, closes the connection, each with and without having acted, or acts
only after the client has given up; and it lists a new job late. One target in five has a provider that proves nothing,
so that a job that cannot be found is left to a person.

In the end, when nobody is left who could still call, the jobs at the server are counted by decision. `duplicates`: jobs
beyond the first one of a decision. `lost`: decisions without a job that are not blocked for a person. `wrong_job`: the
ledger names another job than the server has. The last line is one JSON object; the status is 1 where one of them is
not 0.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).parent.parent))

from rich.console import Console
from rich.table import Table

from schemas.training import Training
from tests.fine_tuning_server import Fault, FineTuningServer
from trainer_trigger.launchers import DataFile, Launcher, LaunchRequest, Scheduler, Timing
from trainer_trigger.launchers.openai import LAUNCH_KEY, OpenAILauncher, OpenAISettings
from trainer_trigger.ledger import TERMINAL, Ledger, State
from trainer_trigger.ledger.errors import FencedError, LedgerError
from trainer_trigger.ledger.sql import SqlLedger

DEADLINE_S = 290.0
ACTIVE = 16
"""So many launches are under way at a time."""

LEASE_S = 0.4
CREATE_TIMEOUT_S = 0.25
SETTLES_S = 0.4
LIST_LAG_S = 0.15
LATE_S = 0.6  # beyond the client's time-out and both looks
SLEEP_S = (0.5, 1.5)  # beyond the lease
LAST_CALL = 24
"""A launch that goes well takes about so many calls."""

FAULTY_SHARE = 0.12
"""Of the server's requests."""

JOB = re.compile(r"ftjob-\d+|file-\d+")
UNPROVEN = 5
"""Each so many-th target's provider proves nothing about its list."""


class Died(BaseException):
    """The process ends here: no handler of the code under test may see it."""


class Plan:
    """What happens to one scheduler: at its `call`-th call, `kind` out of dies or sleeps, before or after it."""

    def __init__(self, chance: random.Random, count: Callable[[str], None]) -> None:
        self._kind = chance.choice(["dies before", "dies after", "sleeps before", "sleeps after", "lives"])
        self._call = chance.randint(1, LAST_CALL)
        self._sleep_s = chance.uniform(*SLEEP_S)
        self._count = count
        self._owner = threading.current_thread()

    def around(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        """`call`, with what this plan does to it."""

        def faulty(*arguments: Any, **named: Any) -> object:
            if threading.current_thread() is not self._owner:  # the thread that renews the lease
                return call(*arguments, **named)
            self._call -= 1
            if self._call == 0:
                self._at(name, "before")
            answer = call(*arguments, **named)
            if self._call == 0:
                self._at(name, "after")
            return answer

        return faulty

    def _at(self, name: str, when: str) -> None:
        verb, _, planned = self._kind.partition(" ")
        if planned != when:
            return
        self._count(f"{verb} {when} {name}")
        if verb == "dies":
            raise Died
        time.sleep(self._sleep_s)


class Through:
    """A port whose every call goes through a plan."""

    def __init__(self, port: object, plan: Plan) -> None:
        self._port = port
        self._plan = plan

    def __getattr__(self, name: str) -> object:
        found = getattr(self._port, name)
        return self._plan.around(name, found) if callable(found) and name != "due" else found


class Misbehaving(FineTuningServer):
    """A server whose faults are drawn at random."""

    def __init__(self, chance: random.Random, count: Callable[[str], None]) -> None:
        super().__init__()
        self._chance = chance
        self._count = count
        self.well = False
        self.late_s, self.list_lag_s, self.ends_as = LATE_S, LIST_LAG_S, "succeeded"

    def fault(self, request: str) -> Fault | None:
        """One in so many requests; create is hit more often."""
        share = FAULTY_SHARE * (3 if request == "POST jobs" else 1)
        with self.lock:
            if self.well or self._chance.random() > share:
                return None
            fault = self._chance.choice(list(Fault))
        self._count(f"{JOB.sub('job', request)}: {fault}")
        return fault


class Run:
    """Everything that is shared by the threads of a run."""

    def __init__(self, url: str, folder: Path, options: argparse.Namespace) -> None:
        self.counted: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._seed = options.seed
        self._wanted = options.faults
        self.decisions: dict[str, str] = {}
        self.ledger = SqlLedger(url)
        self.server = Misbehaving(random.Random(f"{options.seed} server"), self.count)
        self.errors: list[BaseException] = []
        train = folder / "train.jsonl"
        train.write_text('{"messages": []}\n' * 10)
        self._file = DataFile(
            place=str(train),
            sha256=hashlib.sha256(train.read_bytes()).hexdigest(),
            size_bytes=train.stat().st_size,
            examples=10,
        )
        self.proven, self.unproven = (
            OpenAILauncher(
                OpenAISettings(
                    base_url=self.server.base_url,
                    api_key="-",
                    settles_s=settles_s,
                    create_timeout_s=CREATE_TIMEOUT_S,
                    timeout_s=CREATE_TIMEOUT_S,
                    upload_timeout_s=CREATE_TIMEOUT_S,
                )
            )
            for settles_s in (SETTLES_S, None)
        )
        self._end_by = time.monotonic() + DEADLINE_S

    def count(self, what: str) -> None:
        with self._lock:
            self.counted[what] += 1

    @property
    def faults(self) -> int:
        with self._lock:
            return sum(self.counted.values())

    def schedule(self, number: int) -> None:
        """A scheduler after the other, each with a plan of its own, until all is over."""
        chance = random.Random(f"{self._seed} {number}")
        generation = 0
        while not self._over():
            if time.monotonic() > self._end_by:
                raise TimeoutError(f"not over after {DEADLINE_S:.0f} s")
            generation += 1
            plan = Plan(chance, self.count)
            ledger = cast(Ledger, Through(self.ledger, plan))
            launchers = {False: Through(self.proven, plan), True: Through(self.unproven, plan)}
            timing = Timing(lease_s=LEASE_S, retry_s=0.02, poll_s=0.01, wait_s=0.2, keep=chance.random() < 0.5)
            who = f"scheduler {number}.{generation}"

            def launcher_of(target: str, launchers: dict[bool, Through] = launchers) -> Launcher:
                return cast(Launcher, launchers[target.startswith("unproven")])

            try:
                if not self.finishing and len(self._active()) < ACTIVE:
                    self._decide(ledger, who)
                if Scheduler(ledger, launcher_of, who, timing).tick() == 0:
                    time.sleep(0.01)
            except Died:
                continue
            except LedgerError:
                time.sleep(0.01)

    def _decide(self, ledger: Ledger, who: str) -> None:
        with self._lock:
            number = len(self.decisions)
            target = f"{'unproven' if number % UNPROVEN == 0 else 'target'} {number}"
            decision = f"decision {number}"
            request = LaunchRequest(
                target=target,
                table_version=number,
                dataset_hash=self._file.sha256,
                training=Training(base_model="tiny"),
                train_file=self._file,
            )
            intent = request.intent(decision, cost_cents=100)
            self.decisions[decision] = intent.key
        # What decides goes on until its intent is recorded: a decision that died before it is made again.
        while True:
            try:
                lease = ledger.acquire(target, who, 1000)
                if lease is not None:
                    ledger.intend(lease, intent, budget_cents=100)
                    ledger.release(lease)
                    return
                time.sleep(0.02)
            except (Died, FencedError):
                continue

    @property
    def finishing(self) -> bool:
        return bool(self.faults >= self._wanted)

    def _active(self) -> list[str]:
        over = {*TERMINAL, State.BLOCKED}
        return [each.key for each in self.ledger.launches(limit=3 * ACTIVE) if each.state not in over]

    def _over(self) -> bool:
        if not self.finishing or self._active():
            return False
        return all(each.state in {*TERMINAL, State.BLOCKED} for each in self.ledger.launches(limit=1_000_000))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table and a JSON line; 0 when nothing was launched twice or lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=1_200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--schedulers", type=int, default=6)
    parser.add_argument("--database", help="an SQLAlchemy URL; default a new SQLite file")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        run = Run(options.database or f"sqlite:///{name}/ledger.sqlite", Path(name), options)
        with run.server:
            _race(run, options.schedulers)
            time.sleep(LATE_S)  # what the server has still to do
            found = audit(run, time.monotonic() - begun)
        run.ledger.close()
        run.proven.close()
        run.unproven.close()
    table = Table("fault", "times")
    for what, times in sorted(run.counted.items()):
        table.add_row(what, str(times))
    Console(stderr=True).print(table)
    line = json.dumps(found)
    if options.results is not None:
        options.results.write_text(line + "\n")
    print(line)
    return int(any(found[each] for each in ("duplicates", "lost", "wrong_job")))


def _race(run: Run, schedulers: int) -> None:
    def guarded(number: int) -> None:
        try:
            run.schedule(number)
        except BaseException as exc:
            run.errors.append(exc)
            raise

    threads = [threading.Thread(target=guarded, args=(each,)) for each in range(schedulers)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if run.errors:
        raise run.errors[0]


def audit(run: Run, seconds: float) -> dict[str, object]:
    """Count the jobs at the server by decision, and compare each with its launch."""
    jobs: dict[str, list[str]] = {}
    for job in run.server.jobs.values():
        jobs.setdefault(job.body["metadata"][LAUNCH_KEY], []).append(job.id)
    launches = {each.key: each for each in run.ledger.launches(limit=1_000_000)}
    lost = wrong = 0
    for key in run.decisions.values():
        launch = launches.get(key)
        blocked = launch is not None and launch.state == State.BLOCKED
        lost += not blocked and key not in jobs
        wrong += not blocked and launch is not None and [launch.job_id] != jobs.get(key)
    kinds = Counter(what.partition(" ")[0] if what[0].islower() else "server" for what in run.counted.elements())
    return {
        "faults": sum(run.counted.values()),
        "crashes": kinds["dies"],
        "zombies": kinds["sleeps"],
        "server_faults": kinds["server"],
        "decisions": len(run.decisions),
        "jobs": len(run.server.jobs),
        "duplicates": sum(len(each) - 1 for each in jobs.values()),
        "lost": lost,
        "wrong_job": wrong,
        "blocked_for_person": sum(each.state == State.BLOCKED for each in launches.values()),
        "second_attempts": sum(each.attempt > 1 for each in launches.values()),
        "seed": run._seed,
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
