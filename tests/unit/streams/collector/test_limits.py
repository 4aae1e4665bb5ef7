from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.collector.errors import Refused
from streams.collector.limits import Bucket, Room, take

RATE, BURST = 10.0, 20.0
MOMENTS = st.lists(st.tuples(st.floats(0, 5), st.integers(0, 30)), max_size=50)


@given(MOMENTS)
def test_a_bucket_never_grants_more_than_its_burst_and_what_it_gained(steps: list[tuple[float, int]]) -> None:
    bucket, now_s, granted = Bucket(BURST, 0.0), 0.0, 0
    for elapsed_s, events in steps:
        now_s += elapsed_s
        bucket, wait_s = take(bucket, now_s, events, RATE, BURST)
        granted += events if wait_s == 0 else 0
        assert granted <= BURST + RATE * now_s + 1e-6
        assert 0 <= bucket.tokens <= BURST


@given(st.floats(0, BURST), st.integers(1, int(BURST)))
def test_after_the_wait_that_it_names_the_bucket_grants(tokens: float, events: int) -> None:
    bucket, wait_s = take(Bucket(tokens, 0.0), 0.0, events, RATE, BURST)
    if wait_s > 0:
        assert bucket.tokens == tokens
        assert take(bucket, wait_s + 1e-6, events, RATE, BURST)[1] == 0


def test_a_clock_that_goes_back_gives_and_takes_nothing() -> None:
    bucket, wait_s = take(Bucket(5.0, 100.0), 50.0, 5, RATE, BURST)
    assert (bucket.tokens, wait_s) == (0.0, 0.0)


def test_more_than_the_burst_is_never_granted() -> None:
    assert take(Bucket(BURST, 0.0), 1e9, 21, RATE, BURST)[1] > 0


def test_room_is_given_back_when_a_request_ends_however_it_ends() -> None:
    room = Room(100)
    with pytest.raises(Refused) as refused, room.lease() as hold:
        hold(60)
        with room.lease() as other:
            other(40)
            assert room.held_bytes == 100
        hold(41)
    assert (refused.value.status, refused.value.why) == (503, "busy")
    assert room.held_bytes == 0
