from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.brokers import EmbeddedBroker, Outgoing
from streams.collector.publisher import KafkaPublisher, publisher_config
from streams.settings import Settings

RECORD = Outgoing("feedback.events", b"acme/i1", b"value")
BROKER = "from streams.brokers import EmbeddedBroker as E; b = E(); print(b.bootstrap, flush=True); input()"


class FakeProducer:
    """A confluent-kafka producer whose `produce` does what a function says."""

    def __init__(self, produce: Callable[..., None]) -> None:
        self._produce = produce
        self.reports: list[Callable[[], None]] = []

    def produce(self, *_record: object, on_delivery: Callable[[KafkaError | None, None], None]) -> None:
        self._produce()
        self.reports.append(lambda: on_delivery(None, None))

    def poll(self, timeout_s: float) -> None:
        while self.reports:
            self.reports.pop(0)()
        time.sleep(timeout_s / 10)

    def purge(self) -> None:
        """Nothing is queued that has not been reported."""

    def flush(self, _timeout_s: float) -> None:
        self.poll(0)


def publisher_on(*producers: FakeProducer) -> KafkaPublisher:
    left = iter(producers)

    def create(_config: Mapping[str, object]) -> Any:
        return next(left)

    return KafkaPublisher(Settings(collector_ack_s=0.5), create)


def nothing() -> None:
    """Take it."""


def queue_full() -> None:
    raise BufferError("Local: Queue full")


def fatal() -> None:
    raise KafkaException(KafkaError(KafkaError._FATAL, fatal=True))


@pytest.fixture
def paused_broker() -> Iterator[tuple[str, Callable[[int], None]]]:
    """A broker in a process of its own, and what sends that process a signal: SIGSTOP is a broker that hangs."""
    process = subprocess.Popen(
        [sys.executable, "-c", BROKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.send_signal
        process.kill()


def test_every_replica_acknowledges_and_nothing_outlives_the_senders_wait() -> None:
    config = publisher_config(Settings(collector_ack_s=2.5))
    assert (config["acks"], config["enable.idempotence"], config["message.timeout.ms"]) == ("all", True, 2500)
    assert publisher_config(Settings(collector_ack_s=0.001))["message.timeout.ms"] == 6


def test_a_full_queue_is_not_acknowledged_at_once() -> None:
    publisher = publisher_on(FakeProducer(queue_full))
    begun_s = time.monotonic()
    assert asyncio.run(publisher.publish([RECORD] * 3)) == [False] * 3
    assert time.monotonic() - begun_s < 0.4
    publisher.close()


def test_what_was_queued_before_the_queue_was_full_is_still_acknowledged() -> None:
    room = iter([None, None])

    def two_fit() -> None:
        if next(room, queue_full) is queue_full:
            queue_full()

    publisher = publisher_on(FakeProducer(two_fit))
    assert asyncio.run(publisher.publish([RECORD] * 4)) == [True, True, False, False]
    publisher.close()


def test_a_producer_that_failed_for_good_is_replaced() -> None:
    publisher = publisher_on(FakeProducer(fatal), FakeProducer(nothing))

    async def until_taken() -> None:
        assert await publisher.publish([RECORD]) == [False]
        while await publisher.publish([RECORD]) != [True]:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(until_taken(), 10))
    publisher.close()


def test_without_an_answer_publish_returns_in_time_and_recovers_when_the_broker_does(
    paused_broker: tuple[str, Callable[[int], None]],
) -> None:
    bootstrap, send_signal = paused_broker
    publisher = KafkaPublisher(Settings(kafka_bootstrap=bootstrap, collector_ack_s=1.0))

    async def outage() -> None:
        while await publisher.publish([RECORD]) != [True]:  # a slow machine may miss the first deadline
            pass
        send_signal(signal.SIGSTOP)
        begun_s = time.monotonic()
        assert await publisher.publish([RECORD] * 10) == [False] * 10
        assert time.monotonic() - begun_s < 1.5
        send_signal(signal.SIGCONT)
        while await publisher.publish([RECORD]) != [True]:
            pass

    asyncio.run(asyncio.wait_for(outage(), 60))
    assert publisher.problem(10) is None
    publisher.close()


def test_a_broker_that_does_not_answer_is_a_problem_and_one_that_does_is_none() -> None:
    broker = EmbeddedBroker()
    there = KafkaPublisher(Settings(kafka_bootstrap=broker.bootstrap))
    away = KafkaPublisher(Settings(kafka_bootstrap="127.0.0.1:1", collector_ack_s=0.1))
    assert there.problem(10) is None
    assert (away.problem(0.2) or "").startswith("Kafka does not answer")
    there.close()
    away.close()
