"""Up to where a partition may be committed, against a reference model and against each of Faust's errors."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streams.offsets import OffsetLedger


class AnyOrder(RuleBasedStateMachine):
    """Deliveries with gaps, reads from an earlier offset, acknowledgements in any order; the model is two sets."""

    def __init__(self) -> None:
        super().__init__()
        self.delivered: set[int] = set()
        self.acknowledged: set[int] = set()
        self.known: int | None = None
        self.last: int | None = None

    @initialize(committed=st.none() | st.integers(0, 20))
    def assign(self, committed: int | None) -> None:
        self.ledger = OffsetLedger(committed)
        self.known = committed

    @rule(gap=st.integers(0, 4))
    def deliver_the_next_after_a_gap(self, gap: int) -> None:
        offset = (self.known or 0) + gap
        assert self.ledger.deliver(offset)
        self.delivered.add(offset)
        self.known = offset + 1

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.delivered)))
        assert self.ledger.acknowledge(offset) == (offset not in self.acknowledged)
        self.acknowledged.add(offset)

    @rule(offset=st.integers(0, 200))
    def acknowledge_what_was_never_delivered(self, offset: int) -> None:
        if offset not in self.delivered:
            assert not self.ledger.acknowledge(offset)

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def deliver_again_after_a_seek(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.delivered)))
        assert self.ledger.deliver(offset) == (offset not in self.acknowledged)

    @rule(gap=st.integers(-5, 5))
    def pass_over_markers(self, gap: int) -> None:
        position = max(0, (self.known or 0) + gap)
        self.ledger.advance(position)
        self.known = position if self.known is None else max(self.known, position)

    @invariant()
    def the_position_is_the_model_s(self) -> None:
        if not hasattr(self, "ledger"):
            return
        position = self.ledger.position
        assert position == min(self.delivered - self.acknowledged, default=self.known)
        assert self.ledger.open == len(self.delivered - self.acknowledged)
        assert self.last is None or (position is not None and position >= self.last)
        self.last = position


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)


def ledger(committed: int | None, delivered: range | list[int], acknowledged: range | list[int]) -> OffsetLedger:
    made = OffsetLedger(committed)
    for offset in delivered:
        assert made.deliver(offset)
    for offset in acknowledged:
        assert made.acknowledge(offset)
    return made


def test_an_open_offset_right_at_the_committed_one_holds_the_position_upstream_606() -> None:
    """faust-streaming #606 (PR #707): off by one, Faust commits 13."""
    assert ledger(10, range(10, 13), [11, 12]).position == 10


def test_with_nothing_committed_yet_an_earlier_open_offset_holds_the_position_upstream_606() -> None:
    """faust-streaming #606: without a committed offset there is no guard, Faust commits 8."""
    assert ledger(None, range(8), [5, 6, 7]).position == 0


def test_a_committed_offset_of_zero_is_a_committed_offset_upstream_606() -> None:
    """faust-streaming #606: 0 counts as none, Faust commits 8."""
    assert ledger(0, range(8), [5, 6, 7]).position == 0


def test_the_message_after_a_gap_is_not_part_of_it_upstream_606() -> None:
    """faust-streaming #606: `_add_gap` includes it; with 11 and 12 gone and 13 open, Faust commits 15."""
    made = ledger(10, [10, 13, 14], [10, 14])
    assert made.position == 13
    made.acknowledge(13)
    assert made.position == 15


def test_markers_at_the_end_of_a_transaction_do_not_hold_the_position_back() -> None:
    made = ledger(0, range(3), range(3))
    made.advance(4)
    assert made.position == 4


def test_what_kafka_passed_over_does_not_acknowledge_what_is_open_before_it() -> None:
    made = ledger(0, range(3), [0, 2])
    made.advance(4)
    assert made.position == 1
    made.acknowledge(1)
    assert made.position == 4


def test_an_acknowledged_offset_that_is_read_again_is_not_processed_again() -> None:
    made = ledger(0, range(3), [1])
    assert [made.deliver(offset) for offset in range(3)] == [True, False, True]
    assert made.position == 0


def test_an_acknowledgement_counts_once_and_only_for_what_was_delivered() -> None:
    made = ledger(5, [5], [5])
    assert not made.acknowledge(5)
    assert not made.acknowledge(6)
    assert made.position == 6


@given(st.permutations(range(12)), st.integers(0, 12))
def test_whatever_the_order_the_position_is_the_end_of_the_acknowledged_run(order: list[int], count: int) -> None:
    made = ledger(0, range(12), order[:count])
    assert made.position == min(set(range(13)) - set(order[:count]))
