"""What the sink takes from Kafka's client, and what it never takes on trust. On brokers: `integration/test_sink.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

import streams.sink_intake
from streams.errors import BrokerUnavailable
from streams.settings import Settings
from streams.sink_intake import Bounds, Intake, Partition, Record

EARLIEST: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
ONE, TWO = Partition("feedback.redacted", 0), Partition("feedback.redacted", 1)


class FakeMessage:
    def __init__(self, one: Partition, offset: int, error: KafkaError | None = None) -> None:
        self._one, self._offset, self._error = one, offset, error

    def topic(self) -> str:
        return self._one.topic

    def partition(self) -> int:
        return self._one.number

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return b"%d" % self._offset

    def error(self) -> KafkaError | None:
        return self._error


class FakeConsumer:
    """A confluent-kafka consumer: hands out `next`, and remembers what it was told."""

    def __init__(self, config: dict[str, Any], **_: Any) -> None:
        self.config = config
        self.next: list[FakeMessage] = []
        self.during: Callable[[], None] = lambda: None
        self.told: list[tuple[str, list[tuple[str, int, int]]]] = []
        self.failing: set[str] = set()

    def subscribe(self, _topics: list[str], **callbacks: Any) -> None:
        self.callbacks = callbacks

    def consume(self, _count: int, _timeout: float) -> list[FakeMessage]:
        handed_out, self.next = self.next, []
        self.during()
        return handed_out

    def get_watermark_offsets(self, _partition: TopicPartition, cached: bool) -> tuple[int, int]:
        assert cached
        return 0, 12

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        self._tell("commit" if asynchronous else "commit and wait", offsets)

    def seek(self, partition: TopicPartition) -> None:
        self._tell("seek", [partition])

    def pause(self, partitions: list[TopicPartition]) -> None:
        self._tell("pause", partitions)

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._tell("resume", partitions)

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self._tell("assign", partitions)

    def _tell(self, what: str, partitions: list[TopicPartition]) -> None:
        if what in self.failing:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self.told.append((what, [(one.topic, one.partition, one.offset) for one in partitions]))


class FakeAdmin:
    """Answers for offsets: 3 and 12 for every partition, unless it is `away`."""

    away = False

    def __init__(self, _config: dict[str, Any], **_: Any) -> None: ...

    def list_offsets(self, asked: dict[TopicPartition, Any], request_timeout: float) -> dict[TopicPartition, Any]:
        if self.away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        answers: dict[TopicPartition, Any] = {}
        for one, spec in asked.items():
            answers[one] = Future()
            answers[one].set_result(SimpleNamespace(offset=3 if spec._value == EARLIEST._value else 12))
        return answers


class Stand:
    def __init__(self) -> None:
        self.gone: list[list[Partition]] = []
        self.given_up = 0
        self.intake = Intake(Settings(), ["feedback.redacted"], self.give_up, self.forget)
        consumer = self.intake._consumer
        assert isinstance(consumer, FakeConsumer)
        self.consumer = consumer

    def give_up(self) -> None:
        self.given_up += 1

    def forget(self, partitions: Collection[Partition]) -> None:
        self.gone.append(list(partitions))

    def assign(self, *partitions: Partition) -> None:
        self.consumer.callbacks["on_assign"](self.consumer, [TopicPartition(*one) for one in partitions])

    def revoke(self, *partitions: Partition, lost: bool = False) -> None:
        callback = self.consumer.callbacks["on_lost" if lost else "on_revoke"]
        callback(self.consumer, [TopicPartition(*one) for one in partitions])

    def reading(self, one: Partition, offset: int) -> None:
        self.assign(one)
        self.intake.begin(one, offset)

    def poll(self, *messages: FakeMessage) -> list[Record]:
        self.consumer.next = list(messages)
        return self.intake.poll(0)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setattr(streams.sink_intake, "Consumer", FakeConsumer)
    monkeypatch.setattr(streams.sink_intake, "AdminClient", FakeAdmin)
    return Stand()


def test_nothing_is_committed_or_skipped_without_us(stand: Stand) -> None:
    assert stand.consumer.config["enable.auto.commit"] is False
    assert stand.consumer.config["auto.offset.reset"] == "earliest"
    assert stand.consumer.config["group.id"] == "feedback-sink"


def test_an_assigned_partition_is_paused_until_it_is_known_where_to_begin(stand: Stand) -> None:
    stand.assign(ONE)
    assert stand.intake.joining == {ONE}
    assert stand.consumer.told == [("assign", [(*ONE, 12)]), ("pause", [(*ONE, -1001)])]
    assert stand.poll(FakeMessage(ONE, 0)) == []
    stand.intake.begin(ONE, 7)
    assert stand.intake.joining == set()
    assert stand.consumer.told[2:] == [("seek", [(*ONE, 7)]), ("resume", [(*ONE, -1001)])]
    assert stand.poll(FakeMessage(ONE, 7), FakeMessage(ONE, 8)) == [Record(ONE, 7, b"7", 7), Record(ONE, 8, b"8", 8)]


def test_a_broker_that_does_not_tell_offsets_holds_up_no_assignment(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeAdmin, "away", True)
    stand.assign(ONE)
    assert stand.consumer.told[0] == ("assign", [(*ONE, 0)])
    assert stand.intake.joining == {ONE}
    with pytest.raises(BrokerUnavailable, match="offsets"):
        stand.intake.bounds([ONE])


def test_an_admin_client_that_kafka_refused_is_not_asked_again(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may remember the leaders of before a restart, and is refused as long as it does."""
    first = stand.intake._admin
    monkeypatch.setattr(first, "away", True)
    with pytest.raises(BrokerUnavailable):
        stand.intake.bounds([ONE])
    assert stand.intake.bounds([ONE]) == {ONE: Bounds(3, 12)}


def test_bounds_are_what_kafka_holds(stand: Stand) -> None:
    assert stand.intake.bounds([ONE, TWO]) == {ONE: Bounds(3, 12), TWO: Bounds(3, 12)}
    assert stand.intake.bounds([]) == {}


def test_a_partition_that_cannot_be_sought_yet_stays_joining(stand: Stand) -> None:
    stand.assign(ONE)
    stand.consumer.failing = {"seek"}
    with pytest.raises(BrokerUnavailable, match="cannot be read yet"):
        stand.intake.begin(ONE, 7)
    assert stand.intake.joining == {ONE}
    assert stand.poll(FakeMessage(ONE, 7)) == []


def test_records_from_before_the_beginning_are_left_out(stand: Stand) -> None:
    stand.reading(ONE, 7)
    assert [record.offset for record in stand.poll(FakeMessage(ONE, 6), FakeMessage(ONE, 7))] == [7]


def test_records_of_a_partition_that_was_taken_away_while_they_were_fetched_are_left_out(stand: Stand) -> None:
    stand.reading(ONE, 0)
    stand.reading(TWO, 0)
    stand.consumer.during = lambda: stand.revoke(ONE)
    assert stand.poll(FakeMessage(ONE, 0), FakeMessage(TWO, 0)) == [Record(TWO, 0, b"0", 0)]
    assert (stand.given_up, stand.gone) == (1, [[ONE]])


def test_a_lost_partition_is_not_committed_first(stand: Stand) -> None:
    stand.reading(ONE, 0)
    stand.revoke(ONE, lost=True)
    assert (stand.given_up, stand.gone) == (0, [[ONE]])
    assert stand.intake.joining == set()


def test_a_gap_is_read_again_and_taken_for_one_only_if_it_is_still_there(stand: Stand) -> None:
    stand.reading(ONE, 0)
    stand.reading(TWO, 0)
    assert stand.poll(FakeMessage(ONE, 0), FakeMessage(ONE, 5), FakeMessage(ONE, 6), FakeMessage(TWO, 0)) == [
        Record(TWO, 0, b"0", 0)
    ]
    assert stand.gone == [[ONE]]
    assert stand.intake.joining == {ONE}
    stand.intake.begin(ONE, 0)
    again = stand.poll(FakeMessage(ONE, 0), FakeMessage(ONE, 5), FakeMessage(ONE, 6))
    assert [(record.offset, record.follows) for record in again] == [(0, 0), (5, 1), (6, 6)]


def test_errors_that_pass_are_passed_over(stand: Stand) -> None:
    stand.reading(ONE, 0)
    error = FakeMessage(ONE, 0, KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert stand.poll(error, FakeMessage(ONE, 0)) == [Record(ONE, 0, b"0", 0)]


def test_a_fatal_error_of_the_client_is_raised(stand: Stand) -> None:
    stand.reading(ONE, 0)
    with pytest.raises(BrokerUnavailable, match="gave up"):
        stand.poll(FakeMessage(ONE, 0, KafkaError(KafkaError._FATAL, "fenced", fatal=True)))


def test_offsets_are_advisory(stand: Stand) -> None:
    assert stand.intake.commit({ONE: 4}, wait=True)
    assert stand.consumer.told == [("commit and wait", [(*ONE, 4)])]
    stand.consumer.failing = {"commit"}
    assert not stand.intake.commit({ONE: 5}, wait=False)


@pytest.mark.parametrize("whole", [True, False])
def test_an_offset_that_kafka_refused_after_all_is_told_again_until_it_takes_it(stand: Stand, whole: bool) -> None:
    stand.reading(ONE, 0)
    stand.intake.commit({ONE: 4}, wait=False)
    refusal = KafkaError(KafkaError.REBALANCE_IN_PROGRESS)
    answered = stand.consumer.config["on_commit"]
    if whole:
        answered(refusal, [TopicPartition(*ONE, 4)])
    else:
        answered(None, [SimpleNamespace(topic=ONE.topic, partition=ONE.number, error=refusal)])
    stand.intake.commit({ONE: 5}, wait=False)
    stand.consumer.told.clear()
    stand.intake.watch()
    answered(None, [TopicPartition(*ONE, 5)])
    stand.intake.watch()
    assert stand.consumer.told == [("commit", [(*ONE, 5)])]


def test_an_offset_that_kafka_refused_is_left_to_the_next_owner(stand: Stand) -> None:
    stand.reading(ONE, 0)
    stand.intake.commit({ONE: 4}, wait=False)
    stand.consumer.config["on_commit"](KafkaError(KafkaError.ILLEGAL_GENERATION), [TopicPartition(*ONE, 4)])
    stand.revoke(ONE)
    stand.reading(ONE, 6)
    stand.consumer.told.clear()
    stand.intake.watch()
    assert stand.consumer.told == []


def test_kafka_gives_the_partitions_of_a_killed_sink_away_within_seconds(stand: Stand) -> None:
    assert stand.consumer.config["session.timeout.ms"] == 10_000
    assert stand.consumer.config["heartbeat.interval.ms"] * 3 <= 10_000


def test_the_lag_is_what_kafka_has_beyond_the_position(stand: Stand) -> None:
    stand.reading(ONE, 7)
    stand.assign(TWO)
    assert stand.intake.watch() == {ONE: 5}


@pytest.mark.parametrize(
    ("position", "paused", "seconds", "again"),
    [(7, False, 31, True), (7, False, 29, False), (7, True, 31, False), (12, False, 31, False)],
)
def test_a_partition_that_has_records_and_gives_none_is_read_again(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, position: int, paused: bool, seconds: int, again: bool
) -> None:
    stand.reading(ONE, position)
    stand.intake.watch()
    if paused:
        stand.intake.pause()
    later = time.monotonic() + seconds
    monkeypatch.setattr(streams.sink_intake, "time", SimpleNamespace(monotonic=lambda: later))
    stand.intake.watch()
    assert (stand.intake.joining == {ONE}) is again
    assert (stand.gone == [[ONE]]) is again
