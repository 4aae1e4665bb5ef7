"""Real scheduler processes on a real PostgreSQL, killed and frozen in the middle of launches."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import msgspec

from deploy.local.process import wait_until
from tests.fine_tuning_server import Fault, FineTuningServer
from tests.servers import Servers
from tests.unit.trainer_trigger.launchers.requests import request_in
from trainer_trigger.launchers.openai import LAUNCH_KEY
from trainer_trigger.ledger import State
from trainer_trigger.ledger.sql import SqlLedger

REPOSITORY = Path(__file__).parents[2]
LAUNCHES = 12
KILLS = 6


def test_each_decision_has_one_job_when_schedulers_are_killed_and_frozen(servers: Servers, tmp_path: Path) -> None:
    database = servers.fresh_database()
    ledger = SqlLedger(database)
    numbers = itertools.count(1)
    alive: list[subprocess.Popen[bytes]] = []

    with FineTuningServer() as server:
        server.ends_as = "succeeded"

        def start() -> subprocess.Popen[bytes]:
            script = [str(REPOSITORY / "tests/integration/scheduler_process.py")]
            process = subprocess.Popen(
                [sys.executable, *script, database, server.base_url, f"scheduler {next(numbers)}"],
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                stdout=subprocess.PIPE,
            )
            alive.append(process)
            return process

        def intend(number: int) -> str:
            request = msgspec.structs.replace(request_in(tmp_path), target=f"target {number}")
            lease = ledger.acquire(request.target, "policy", 10_000)
            assert lease is not None
            launch = ledger.intend(lease, request.intent(f"decision {number}"))
            ledger.release(lease)
            return launch.key

        def asked_more_than(requests: int) -> bool:
            return len(server.requests) > requests or len(over()) == len(keys)

        keys = [intend(number) for number in range(LAUNCHES)]
        server.fail("POST jobs", Fault.DROP_AFTER, Fault.SILENT_AFTER, Fault.DROP_BEFORE)

        def over() -> list[str]:
            return [key for key in keys if ledger.launch(key).state == State.SUCCEEDED]

        try:
            start()
            frozen = start()
            for kill in range(KILLS):
                victim = alive[-1] if kill == 0 else start()
                # In mid-launch: the server has just been called, or all is over.
                assert wait_until(partial(asked_more_than, len(server.requests) + 3), 30)
                victim.send_signal(signal.SIGSTOP if victim is frozen else signal.SIGKILL)
            assert wait_until(lambda: len(over()) == LAUNCHES, 60), [ledger.launch(key) for key in keys]
            for process in alive:
                if process is not frozen:
                    process.kill()
            keys.append(intend(LAUNCHES))
            frozen.send_signal(signal.SIGCONT)  # it ends what it was in the middle of, with an old token, and goes on
            assert wait_until(lambda: len(over()) == len(keys), 30)
        finally:
            for process in alive:
                process.kill()
                process.communicate()
        jobs = Counter(job.body["metadata"][LAUNCH_KEY] for job in server.jobs.values())
        assert jobs == Counter(keys)
        assert {ledger.launch(key).job_id for key in keys} == set(server.jobs)
    ledger.close()
