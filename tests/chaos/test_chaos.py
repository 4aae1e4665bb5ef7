"""A short run of chaos, with every family of faults in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.faults import FAMILIES, FAULTS, plan
from tests.chaos.run import run
from tests.servers import Servers

SEED = 8926
COUNT = 11


def test_the_short_run_holds_every_family_of_faults() -> None:
    assert {FAULTS[one.kind].family for one in plan(SEED, COUNT)} == FAMILIES


@pytest.mark.timeout(900)
def test_whatever_fails_no_acknowledged_event_is_lost_or_doubled_and_every_state_is_right(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("kafka", "redis", "s3"):
        servers.need(name)
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ALLOW_HTTP"):
        monkeypatch.setenv(name, "")  # set by the run, and put back after the test
    told: list[str] = []
    result = run(tmp_path, SEED, COUNT, overlapping=3, per_s=8.0, tell=told.append)
    assert result.passed, "\n".join([*told, *result.problems])
    assert len(result.happened) == COUNT
    assert result.acknowledged > 300
    assert result.dead_letters >= 1
