"""The simulation of drift, small: what it draws is what the service would prepare, and each rule does what is said."""

from __future__ import annotations

import random

import numpy as np
import pytest

from benchmarks.drift import (
    CHECKS,
    COPIES,
    Population,
    by_row,
    draw,
    made_up,
    moving,
    powers,
    quiet_streams,
    wilson,
)
from trainer_trigger.drift import HashedNgrams, Row, check, prepare
from trainer_trigger.drift.text import features


@pytest.fixture(scope="module")
def people() -> Population:
    texts, topics = made_up(600, random.Random(1))
    words = np.array([len(text.split()) for text in texts], np.float64)
    return Population("made-up", texts, np.concatenate(list(features(texts, HashedNgrams()))), words, topics)


def test_a_side_that_is_drawn_is_the_one_that_would_be_prepared(people: Population) -> None:
    picks = np.arange(40, 60)
    drawn = draw(people, picks, np.random.default_rng(1), copies=3)
    rows = [
        Row(
            sample_id=f"{at:03}",
            cluster=f"{at // 3:03}",
            text=people.texts[picks[at // 3]],
            words=people.words[picks[at // 3]],
            intent=drawn.labels["intent"][at],
            language=drawn.labels["language"][at],
            task_type=drawn.labels["task_type"][at],
            score=float(drawn.numbers["score"][at]),
        )
        for at in range(60)
    ]
    prepared = prepare(rows)
    assert np.allclose(drawn.text, prepared.text, atol=1e-5)
    assert drawn.labels == prepared.labels
    assert all(np.array_equal(drawn.numbers[name], prepared.numbers[name]) for name in prepared.numbers)
    assert np.array_equal(drawn.units, prepared.units)
    assert np.array_equal(drawn.firsts, prepared.firsts)
    assert (drawn.row_count, drawn.cluster_count) == (prepared.row_count, prepared.cluster_count) == (60, 20)


def test_a_moving_topic_has_the_shares_that_are_said(people: Population) -> None:
    topic = next(iter(people.topics))
    sides = moving(people, topic, 4_000, 4_000, np.random.default_rng(1))
    assert [np.isin(picks, people.topics[topic]).mean() for picks in sides] == pytest.approx(
        [0.14, 0.45, 0.45], abs=0.03
    )


def test_streams_without_drift_are_quiet_and_rows_of_copies_are_not(people: Population) -> None:
    quiet = quiet_streams(people, 2, 400, 300)
    assert (quiet.tried, quiet.fired) == (2, 0)
    assert quiet.moved < 0.1 * 2 * CHECKS
    assert by_row(people, 4, 80 * COPIES, 60 * COPIES) == 4


def test_a_topic_that_grows_is_found(people: Population) -> None:
    found = powers(people, 1, 1_000, 300)
    assert sum(power.found for power in found.values()) >= len(found) - 1


def test_windows_of_one_stream_share_nothing(people: Population) -> None:
    rng = np.random.default_rng(1)
    one, other = (draw(people, np.arange(300), rng) for _ in range(2))
    assert check(one, other).members != check(other, one).members


def test_intervals_are_wilson_s() -> None:
    assert wilson(0, 500) == (0.0, 0.0076)
    assert wilson(50, 100) == (0.4038, 0.5962)
