"""p-values that mean what they say, and Holm."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer_trigger.drift import permutations
from trainer_trigger.drift.categorical import Columns, jensen_shannon
from trainer_trigger.drift.permutations import Distance, distances, holm, reaches

p_values = st.lists(st.floats(1e-4, 1), min_size=1, max_size=8)


def drawn(
    seed: int, *, shift: float = 0, alpha: float = 1, count: int = 199, sizes: tuple[int, int] = (40, 80)
) -> Mapping[str, Distance]:
    """Normal text features and a label of three values; both move by `shift`."""
    rng = np.random.default_rng(seed)
    window, reference = (rng.standard_normal((size, 8)).astype(np.float32) for size in sizes)
    window[:, 0] += np.float32(shift)
    labels = np.eye(3)[np.digitize(rng.random(sum(sizes)), (0.5, 0.8))]
    more = rng.random(sizes[0]) < shift / 2
    labels[: sizes[0]][more] = (0, 0, 1)
    label = Columns(("a", "b", "c"), labels)
    return distances(window, reference, {"label": label}, seed=seed, permutations=count, alpha=alpha)


def test_p_values_are_uniform_where_nothing_moves() -> None:
    found = [drawn(seed) for seed in range(300)]
    for name in ("text", "label"):
        values = np.sort([each[name].p for each in found])
        assert np.abs(values - np.arange(1, 301) / 300).max() < 1.63 / np.sqrt(300)  # Kolmogorov-Smirnov at 1 %
        assert (values <= 0.05).mean() < 0.08


def test_p_values_are_small_where_something_moves() -> None:
    found = [drawn(seed, shift=1) for seed in range(20)]
    assert np.median([each["text"].p for each in found]) < 0.01
    assert np.median([each["label"].p for each in found]) < 0.01


def test_no_p_value_is_zero() -> None:
    found = drawn(1, shift=50)
    assert found["text"].p == 1 / 200


def test_ending_early_changes_no_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    def decisions() -> list[list[bool]]:
        found = [drawn(seed, shift=0.6, alpha=0.01, count=2_999) for seed in range(40)]
        counts.append(sum(each["text"].permutations + each["label"].permutations for each in found))
        return [[reaches(p, 0.01) for p in holm([one.p for one in each.values()])] for each in found]

    counts: list[int] = []
    early = decisions()
    monkeypatch.setattr(permutations, "_STEPS", (0,))
    assert early == decisions()
    assert 5 < sum(map(any, early)) < 35
    assert counts[0] < 0.8 * counts[1] == 0.8 * 2 * 40 * 2_999


def test_a_p_value_that_decides_is_counted_out_of_all_divisions() -> None:
    found = [each for seed in range(120) for each in drawn(seed, shift=0.6, alpha=0.01, count=2_999).values()]
    decisive = [each for each in found if reaches(each.p, 0.01)]
    assert len(decisive) > 20
    assert {each.permutations for each in decisive} == {2_999}


def test_distances_are_those_between_the_means() -> None:
    rng = np.random.default_rng(1)
    window, reference = (rng.standard_normal((size, 6)).astype(np.float32) for size in (20, 70))
    shares = np.eye(3)[rng.integers(3, size=90)]
    shares[:20] = (0.7, 0.2, 0.1)
    found = distances(window, reference, {"a": Columns(("x", "y", "z"), shares)}, seed=1, permutations=99, alpha=1)
    assert found["text"].distance == pytest.approx(
        np.linalg.norm(window.mean(axis=0) - reference.mean(axis=0)), rel=1e-4
    )
    divergence = jensen_shannon(shares[:20].mean(axis=0), shares[20:].mean(axis=0))
    assert found["a"].distance == pytest.approx(float(np.sqrt(divergence)), rel=1e-4)
    assert 0 < found["a"].by_chance < found["a"].distance


def test_what_is_the_same_on_both_sides_is_beyond_no_division() -> None:
    text = np.random.default_rng(1).standard_normal((50, 8)).astype(np.float32)
    label = Columns(("a", "b"), np.tile(np.repeat(np.eye(2), 25, axis=0), (2, 1)))
    found = distances(text, text, {"label": label}, seed=1, permutations=199, alpha=1)
    assert [each.p for each in found.values()] == [1, 1]
    assert found["text"].distance < 1e-3
    assert found["label"].distance == 0


@pytest.mark.parametrize("sizes", [(1, 1), (1, 30), (30, 1)])
def test_one_cluster_a_side_is_enough_to_answer_and_too_little_to_move(sizes: tuple[int, int]) -> None:
    found = drawn(1, sizes=sizes, count=2_999)
    assert all(0.01 < each.p <= 1 for each in found.values())


def test_five_of_three_thousand_reach_a_sixth_of_a_hundredth() -> None:
    assert 5 / 3_000 * 6 <= 0.01 * (1 + 1e-9)
    assert reaches(holm([5 / 3_000, 1, 1, 1, 1, 1])[0], 0.01)
    assert not reaches(holm([6 / 3_000, 1, 1, 1, 1, 1])[0], 0.01)


def test_holm_is_that_of_the_books() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@settings(deadline=None)
@given(p_values)
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(values: list[float]) -> None:
    adjusted = holm(values)
    for p, after in zip(values, adjusted, strict=True):
        assert p <= after <= min(1, p * len(values)) + 1e-12
    assert [p for _, p in sorted(zip(values, adjusted, strict=True))] == sorted(adjusted)
