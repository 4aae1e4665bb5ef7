"""Who is hot: never anybody below the share, always who is well above it, and only in a backlog that others share."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.hot import HALF_LIFE_S, LATE_S, By, DecayedCounts, HotSpots, Traffic

BATCH = 10
NAMES = st.sampled_from([f"n{number}" for number in range(30)])
EVENTS = st.lists(st.tuples(NAMES, st.integers(1, 100), st.floats(0, 30)), min_size=1, max_size=200)


def _exact(events: list[tuple[str, int, float]]) -> tuple[dict[str, float], float]:
    """Each name's decayed weight as of the last event, and when that is."""
    now = sum(gap for _, _, gap in events)
    weights: dict[str, float] = defaultdict(float)
    at = 0.0
    for name, weight, gap in events:
        at += gap
        weights[name] += weight * 2 ** ((at - now) / HALF_LIFE_S)
    return weights, now


@given(EVENTS, st.integers(1, 40))
def test_a_share_is_never_overstated_and_understated_by_less_than_one_in_its_capacity(
    events: list[tuple[str, int, float]], capacity: int
) -> None:
    counts, at = DecayedCounts(capacity), 0.0
    for name, size, gap in events:
        at += gap
        counts.add(name, size, at)
        assert len(counts) <= capacity
    weights, now = _exact(events)
    total = sum(weights.values())
    for name, weight in weights.items():
        true = weight / total
        assert counts.share(name) <= true + 1e-9
        assert counts.share(name) >= true - 1 / capacity - 1e-9
        assert counts.others(name, now) <= total - weight + 1e-6


def test_counts_fade_and_do_not_overflow_in_years() -> None:
    counts = DecayedCounts()
    counts.add("old", 1_000, 0.0)
    counts.add("new", 1_000, HALF_LIFE_S)
    assert counts.share("new") == pytest.approx(2 / 3)
    counts.add("new", 1, 1e9)
    assert counts.share("new") == pytest.approx(1.0)
    assert counts.others("new", 1e9) == pytest.approx(0.0)


def _batch(hot: int, tenant: str = "hot", interaction: str = "") -> list[Traffic]:
    """A batch with so many events of one tenant, or one interaction of it, and the rest of others."""
    others = [Traffic("other", f"other/{number}", 300) for number in range(BATCH - hot)]
    return [Traffic(tenant, interaction or f"{tenant}/{number}", 300) for number in range(hot)] + others


def _looks(
    spots: HotSpots, batch: list[Traffic], times: int, *, waiting: int = BATCH, waited_s: float = 2.0
) -> list[By | None]:
    found: list[By | None] = []
    for second in range(times):
        found = spots.look(batch, 100.0 + second, waiting, waited_s)
    return found


def test_a_tenant_with_most_of_a_backlog_is_hot_and_the_others_are_not() -> None:
    assert _looks(HotSpots(0.5, BATCH), _batch(9), 3) == ["tenant"] * 9 + [None]


def test_an_interaction_with_most_of_a_backlog_is_hot_by_itself() -> None:
    batch = [*_batch(8, "hot", "hot/1"), Traffic("hot", "hot/2", 300)]
    assert _looks(HotSpots(0.7, BATCH), batch, 3) == ["interaction"] * 8 + [None] * 2 + ["tenant"]


def test_at_the_share_nothing_is_hot_and_above_it_something_is() -> None:
    assert set(_looks(HotSpots(0.5, BATCH), _batch(5), 5)) == {None}
    assert "tenant" in _looks(HotSpots(0.5, BATCH), _batch(6), 5)


@pytest.mark.parametrize("state", [{"waiting": BATCH - 1}, {"waited_s": LATE_S / 2}])
def test_without_a_backlog_nothing_is_hot(state: dict[str, float]) -> None:
    assert set(_looks(HotSpots(0.5, BATCH), _batch(9), 5, **state)) == {None}  # type: ignore[arg-type]


def test_a_backlog_goes_on_until_it_is_gone_and_is_forgotten_then() -> None:
    spots = HotSpots(0.5, BATCH)
    _looks(spots, _batch(9), 3)
    assert "tenant" in _looks(spots, _batch(9), 1, waited_s=0.1)
    assert set(_looks(spots, _batch(9), 1, waiting=0)) == {None}
    assert set(_looks(spots, _batch(9), 1)) == {None}, "the first batch of a new one says little"


def test_who_is_alone_is_not_hot_even_if_there_were_others_long_ago() -> None:
    assert set(_looks(HotSpots(0.5, BATCH), _batch(BATCH), 5)) == {None}
    spots = HotSpots(0.5, BATCH)
    _looks(spots, _batch(9), 3)
    assert "tenant" in _looks(spots, _batch(BATCH), 5)
    later = [spots.look(_batch(BATCH), 100.0 + 20 * HALF_LIFE_S + second, BATCH, 2.0) for second in range(5)]
    assert {by for found in later for by in found} == {None}


def test_with_a_share_of_one_nothing_is_ever_hot() -> None:
    assert set(_looks(HotSpots(1.0, BATCH), _batch(9), 5)) == {None}


def test_events_without_an_interaction_are_never_hot_as_one() -> None:
    batch = [Traffic(f"t{number}", "", 300) for number in range(9)] + [Traffic("other", "other/1", 300)]
    assert set(_looks(HotSpots(0.5, BATCH), batch, 5)) == {None}
