"""Feeding: paced by what came through, the same positions every time."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import Codec
from schemas.events import FeedbackEvent, Score
from streams.brokers import GaplessProducer, Outgoing
from streams.feed import Fed, Source, feed
from streams.importers import BadLine


class Taking(GaplessProducer):
    """A producer whose records are landed as soon as they are delivered."""

    def __init__(self) -> None:
        self.batches: list[list[Outgoing]] = []

    def deliver(self, records: Iterable[Outgoing], located: object = None) -> None:
        self.batches.append(list(records))

    def landed(self) -> int:
        return sum(len(batch) for batch in self.batches)


def _event(number: int, size: int = 10) -> FeedbackEvent:
    score = Score("comment", text="x" * size)
    return FeedbackEvent(event_id=f"e{number}", interaction_id=f"i{number % 7}", tenant="t", scores=(score,))


def _feed(producer: Taking, events: list[FeedbackEvent | BadLine], window_bytes: int = 2_000_000) -> Fed:
    return feed(Source("file", "raw", "id", events), producer, Codec(), 4, producer.landed, window_bytes)


def test_events_larger_than_the_window_are_sent_one_after_the_other() -> None:
    producer = Taking()
    fed = _feed(producer, [_event(number, 900_000) for number in range(6)], window_bytes=500_000)
    assert len(fed.ledger) == 6
    assert all(len(batch) == 1 for batch in producer.batches)


@given(st.lists(st.integers(0, 2_000), max_size=60), st.integers(1_000, 10_000))
def test_positions_follow_from_the_source_alone_and_are_those_that_kafka_gives(sizes: list[int], window: int) -> None:
    producer = Taking()
    fed = _feed(producer, [_event(number, size + 1) for number, size in enumerate(sizes)], window)
    given_out: dict[int, int] = {}
    kafka = []
    for outgoing in (outgoing for batch in producer.batches for outgoing in batch):
        kafka.append((outgoing.partition, given_out.get(outgoing.partition, 0)))
        given_out[outgoing.partition] = given_out.get(outgoing.partition, 0) + 1
    assert list(zip(fed.ledger["partition"].to_pylist(), fed.ledger["offset"].to_pylist(), strict=True)) == kafka


def test_a_bad_line_is_set_aside_with_the_name_of_its_source() -> None:
    bad = BadLine(2, "no event")
    fed = _feed(Taking(), [_event(1), bad, _event(2)])
    assert (fed.unreadable, len(fed.ledger)) == ([("file", bad)], 2)


def test_an_interaction_s_events_all_go_to_one_partition() -> None:
    fed = _feed(Taking(), [_event(number) for number in range(70)])
    rows = fed.ledger.select(["interaction_id", "partition"]).to_pylist()
    assert len({(row["interaction_id"], row["partition"]) for row in rows}) == 7
