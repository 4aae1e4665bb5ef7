"""How the pipeline benchmark reads what became of the events."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from benchmarks.ways import cpu_s, landings, row_counts, steady


def _append(table: Path, names: list[str], tenant: str, at: float) -> None:
    rows = pa.table({"tenant": [tenant] * len(names), "interaction_id": names, "day": ["a b"] * len(names)})
    write_deltalake(str(table), rows, mode="append", partition_by=["day"])
    newest = max((table / "_delta_log").glob("*.json"))
    os.utime(newest, (at, at))


def test_an_interaction_landed_when_the_log_entry_of_its_first_row_came(tmp_path: Path) -> None:
    _append(tmp_path / "samples", ["one", "two"], "bench", at=100.0)
    _append(tmp_path / "samples", ["one", "three"], "bench", at=105.0)
    _append(tmp_path / "samples", ["four"], "warm", at=107.0)
    _append(tmp_path / "rejected", ["five"], "bench", at=103.0)
    found = landings([tmp_path / "samples", tmp_path / "rejected", tmp_path / "none"], "bench")
    assert found == {"one": 100.0, "two": 100.0, "three": 105.0, "five": 103.0}
    assert list(row_counts(tmp_path / "samples")) == [(100.0, 2), (105.0, 2), (107.0, 1)]


def test_the_steady_speed_is_that_between_commits_whatever_came_before_and_after() -> None:
    landed_at = [0.0] * 10 + [10.0] * 30 + [11.0] * 30 + [12.0] * 30 + [13.0] * 30 + [60.0] * 10
    assert steady(landed_at) == 30.0


def test_few_commits_have_no_steady_speed() -> None:
    assert steady([0.0] * 50 + [1.0] * 50 + [2.0] * 50) is None


def test_cpu_time_is_summed_by_role() -> None:
    before = cpu_s({"mine": [os.getpid()]})["mine"]
    while cpu_s({"mine": [os.getpid()]})["mine"] < before + 0.05:
        pass
    twice = cpu_s({"mine": [os.getpid(), os.getpid()]})["mine"]
    assert twice == pytest.approx(2 * cpu_s({"mine": [os.getpid()]})["mine"], abs=0.1)
