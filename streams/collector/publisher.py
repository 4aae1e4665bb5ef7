"""Events to Kafka: which of them were acknowledged, in time."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streams.brokers import LOGGER, Outgoing, producer_config
from streams.settings import Settings

QUEUE_BYTES: Final = 67_108_864
"""What may wait for Kafka in librdkafka's own queue: a few seconds of a fast sender; above that the answer is 503."""

RENEW_S: Final = 1.0
"""Pause between two producers, should they fail for good again and again; and between two log lines of failures."""

_POLL_S: Final = 0.1
_LOG: Final = logging.getLogger("millrace.collector")


class Publisher(Protocol):
    """Takes records and tells which of them are durable."""

    async def publish(self, records: Sequence[Outgoing]) -> list[bool]:
        """One flag a record, in order: True only if it was acknowledged. Never raises for a broker that is away;
        a False one may have arrived all the same, so it is to be sent again under the same event id."""
        ...


class KafkaPublisher:
    """Publishes through one confluent-kafka producer, whose acknowledgements a thread polls.

    1. `publish` (event loop) hands the records to librdkafka's queue, without ever waiting; a full queue is a no.
    2. The thread polls; each acknowledgement or failure settles one record.
    3. When the last is settled, or after `collector_ack_s`, `publish` returns what is known by then.

    librdkafka connects again by itself. A producer that failed for good (a broker that has lost its state can
    bring an idempotent producer there) is replaced.
    """

    def __init__(self, settings: Settings, create: Callable[[Mapping[str, object]], Producer] | None = None) -> None:
        self._ack_s = settings.collector_ack_s
        self._topic = settings.topic("events")
        self._config = publisher_config(settings)
        self._create = create or _producer
        self._producer = self._create(self._config)
        self._logged_s = -RENEW_S
        self._failed = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka-acks", daemon=True)
        self._thread.start()

    async def publish(self, records: Sequence[Outgoing]) -> list[bool]:
        """As in `Publisher`."""
        if not records:
            return []
        delivery = _Delivery(asyncio.get_running_loop(), len(records))
        producer, full = self._producer, False
        for index, record in enumerate(records):
            full = full or not self._produce(producer, record, partial(self._report, delivery, index))
            if full:
                delivery.settle(index, acknowledged=False)
        await asyncio.wait([delivery.done], timeout=self._ack_s)
        return list(delivery.acknowledged)

    def problem(self, timeout_s: float) -> str | None:
        """Why Kafka would not take an event now; None if it would. Waits up to `timeout_s`."""
        try:
            topic = self._producer.list_topics(self._topic, timeout=timeout_s).topics[self._topic]
        except KafkaException as exc:
            return f"Kafka does not answer: {exc.args[0].name()}"
        if topic.error is not None:
            return f"topic {self._topic}: {topic.error.name()}; run `millrace topics create`"
        return None

    def close(self) -> None:
        """Wait for what is in the queue, up to `collector_ack_s`, and end the thread."""
        self._producer.flush(self._ack_s)
        self._stopping.set()
        self._thread.join()

    def _produce(
        self, producer: Producer, record: Outgoing, report: Callable[[KafkaError | None, Message], None]
    ) -> bool:
        try:
            producer.produce(record.topic, record.value, record.key, record.partition, on_delivery=report)
        except BufferError:
            return False
        except KafkaException as exc:
            self._note(exc.args[0])
            return False
        return True

    def _report(self, delivery: _Delivery, index: int, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._note(error)
        delivery.settle(index, acknowledged=error is None)

    def _note(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._failed.set()
        now_s = time.monotonic()
        if now_s - self._logged_s >= RENEW_S:
            self._logged_s = now_s
            _LOG.warning("Kafka does not take events", extra={"fields": {"error": error.name()}})

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(_POLL_S)
            if self._failed.is_set():
                self._renew()

    def _renew(self) -> None:
        failed = self._producer
        failed.purge()
        failed.poll(0)
        self._producer = self._create(self._config)
        self._failed.clear()
        _LOG.error("the Kafka producer failed for good and was replaced")
        self._stopping.wait(RENEW_S)


class _Delivery:
    """The records of one `publish`; `settle` may be called from any thread, once a record."""

    def __init__(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        self.acknowledged = [False] * count
        self.done: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._left = count
        self._lock = threading.Lock()

    def settle(self, index: int, *, acknowledged: bool) -> None:
        self.acknowledged[index] = acknowledged
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


def publisher_config(settings: Settings) -> dict[str, str | int | float | bool]:
    """The producer's settings: all replicas acknowledge, nothing waits for longer than the sender does."""
    shared = producer_config(settings)
    return {
        **shared,
        "acks": "all",
        # Never below the linger, which librdkafka would refuse.
        "message.timeout.ms": max(int(shared["linger.ms"]) + 1, round(settings.collector_ack_s * 1000)),
        "queue.buffering.max.kbytes": max(QUEUE_BYTES, 2 * settings.collector_max_decompressed_bytes) // 1024,
    }


def _producer(config: Mapping[str, object]) -> Producer:
    return Producer(dict(config), logger=LOGGER)
