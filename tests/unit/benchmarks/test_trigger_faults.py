from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import trigger_faults
from benchmarks.trigger_faults import Run, audit
from tests.fine_tuning_server import Job
from trainer_trigger.launchers.openai import LAUNCH_KEY
from trainer_trigger.ledger import State


def test_forty_faults_neither_lose_nor_double_a_launch(capsys: pytest.CaptureFixture[str]) -> None:
    assert trigger_faults.main(["--faults", "40", "--seed", "5"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["duplicates"], found["lost"], found["wrong_job"]) == (0, 0, 0)
    assert found["faults"] >= 40 and found["crashes"] and found["zombies"] and found["server_faults"]


def run_with(state: State, job_id: str | None, jobs: int) -> dict[str, object]:
    made = {f"j{each}": Job(f"j{each}", {"metadata": {LAUNCH_KEY: "k"}}, 0) for each in range(jobs)}
    launch: Any = SimpleNamespace(key="k", state=state, job_id=job_id, attempt=1)
    run = SimpleNamespace(
        server=SimpleNamespace(jobs=made),
        ledger=SimpleNamespace(launches=lambda limit: [launch]),
        decisions={"d": "k"},
        counted=Counter[str](),
        _seed=1,
    )
    return audit(cast(Run, run), 1.0)


@pytest.mark.parametrize(
    ("state", "job_id", "jobs", "told"),
    [
        (State.SUCCEEDED, "j0", 1, (0, 0, 0)),
        (State.SUCCEEDED, "j0", 2, (1, 0, 1)),
        (State.SUCCEEDED, "other", 1, (0, 0, 1)),
        (State.FAILED, None, 0, (0, 1, 1)),
        (State.BLOCKED, None, 0, (0, 0, 0)),
        (State.BLOCKED, None, 2, (1, 0, 0)),
    ],
)
def test_the_audit_sees_what_is_double_lost_or_wrong(
    state: State, job_id: str | None, jobs: int, told: tuple[int, int, int]
) -> None:
    found = run_with(state, job_id, jobs)
    assert (found["duplicates"], found["lost"], found["wrong_job"]) == told
