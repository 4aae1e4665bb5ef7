"""What the collector may rely on, whichever `Publisher` it has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pytest
from confluent_kafka import Consumer, TopicPartition

from streams.brokers import EMBEDDED_PARTITIONS, EmbeddedBroker, Outgoing, client_config
from streams.collector.publisher import KafkaPublisher, Publisher
from streams.settings import Settings
from tests.fakes import FakePublisher


class Port(NamedTuple):
    """A publisher, what it has made durable on a topic (key and value), and one whose broker is away."""

    publisher: Publisher
    stored: Callable[[str], set[tuple[bytes, bytes]]]
    without_broker: Publisher


@pytest.fixture(scope="module")
def broker() -> EmbeddedBroker:
    return EmbeddedBroker()


def stored_in_kafka(settings: Settings, topic: str) -> set[tuple[bytes, bytes]]:
    consumer = Consumer({**client_config(settings), "group.id": "audit", "enable.partition.eof": False})
    try:
        partitions = [TopicPartition(topic, index, 0) for index in range(EMBEDDED_PARTITIONS)]
        ends = [consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in partitions]
        consumer.assign(partitions)
        found: set[tuple[bytes, bytes]] = set()
        for _ in range(sum(ends)):
            message = consumer.poll(10)
            assert message is not None
            assert message.error() is None
            key, value = message.key(), message.value()
            assert isinstance(key, bytes)
            assert isinstance(value, bytes)
            found.add((key, value))
        return found
    finally:
        consumer.close()


@pytest.fixture(params=["fake", "kafka"])
def port(request: pytest.FixtureRequest, broker: EmbeddedBroker) -> Iterator[Port]:
    if request.param == "fake":
        fake = FakePublisher()
        yield Port(
            fake,
            lambda topic: {(record.key, record.value) for record in fake.records if record.topic == topic},
            FakePublisher(takes=lambda _record: False),
        )
        return
    settings = Settings(kafka_bootstrap=broker.bootstrap)
    publisher = KafkaPublisher(settings)
    away = KafkaPublisher(Settings(kafka_bootstrap="127.0.0.1:1", collector_ack_s=0.3))
    yield Port(publisher, lambda topic: stored_in_kafka(settings, topic), away)
    publisher.close()
    away.close()


def records(topic: str, numbers: Sequence[int]) -> list[Outgoing]:
    return [Outgoing(topic, b"key %d" % number, b"value %d" % number) for number in numbers]


def test_what_is_acknowledged_is_durable(port: Port) -> None:
    sent = records("durable", range(500))
    assert asyncio.run(port.publisher.publish(sent)) == [True] * 500
    assert port.stored("durable") == {(record.key, record.value) for record in sent}


def test_there_is_one_flag_a_record_and_none_for_none(port: Port) -> None:
    assert asyncio.run(port.publisher.publish([])) == []
    assert asyncio.run(port.publisher.publish(records("flags", [1]))) == [True]


def test_several_requests_publish_at_the_same_time(port: Port) -> None:
    async def together() -> list[list[bool]]:
        batches = [records("together", range(start, start + 10)) for start in range(0, 200, 10)]
        return await asyncio.gather(*(port.publisher.publish(batch) for batch in batches))

    assert asyncio.run(together()) == [[True] * 10] * 20
    assert len(port.stored("together")) == 200


def test_with_the_broker_away_nothing_is_acknowledged_and_nothing_is_raised(port: Port) -> None:
    assert asyncio.run(port.without_broker.publish(records("away", range(3)))) == [False] * 3
