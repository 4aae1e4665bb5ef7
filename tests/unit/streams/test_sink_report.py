"""The sink's report: latencies in buckets that are exact enough, and reports that add up."""

from __future__ import annotations

import math
import random

import msgspec
import pytest

from streams.sink_report import Latencies, SinkReport, bucket_of


@pytest.mark.parametrize("seconds", [0.001, 0.0123, 0.5, 2.0, 61.0, 86_400.0])
def test_a_recorded_time_is_read_back_within_two_percent(seconds: float) -> None:
    latencies = Latencies()
    latencies.record([seconds])
    assert latencies.quantile(0.5) == pytest.approx(seconds, rel=0.02)


def test_quantiles_are_those_of_the_values() -> None:
    values = [random.Random(7).expovariate(0.5) for _ in range(5_000)]
    latencies = Latencies()
    latencies.record(values)
    for fraction in (0.01, 0.5, 0.9, 0.99, 1.0):
        exact = sorted(values)[max(0, math.ceil(fraction * len(values)) - 1)]
        assert latencies.quantile(fraction) == pytest.approx(exact, rel=0.02)


def test_a_clock_that_runs_behind_counts_as_no_time() -> None:
    assert bucket_of(-3.0) == bucket_of(0.0) == bucket_of(0.0005) == 0


def test_without_rows_there_is_no_quantile() -> None:
    assert math.isnan(Latencies().quantile(0.5))
    assert math.isnan(SinkReport().latency_of("samples").quantile(0.99))


def test_reports_survive_json_and_add_up() -> None:
    one = SinkReport({"samples": 2}, {"samples": 1}, {"samples": 1}, {"samples": Latencies({10: 2})})
    two = SinkReport(
        {"samples": 1, "rejected": 4}, {}, {}, {"samples": Latencies({10: 1, 11: 1}), "rejected": Latencies({0: 4})}
    )
    read = msgspec.json.decode(msgspec.json.encode(one), type=SinkReport)
    both = read.merged(two)
    assert both.rows == {"samples": 3, "rejected": 4}
    assert both.replayed == {"samples": 1}
    assert both.latency_of("samples").buckets == {10: 3, 11: 1}
    assert both.latency_of("samples", "rejected").count == 8
