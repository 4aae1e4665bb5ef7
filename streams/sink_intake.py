"""The sink's side towards Kafka: assignments, positions, offsets.

Partitions are assigned cooperatively: when a sink comes or goes, those that stay are read on, while an eager
assignment would make every sink commit, read the tables' keys and seek at every rebalance. An assigned partition is
`joining`, paused, until the sink knows from the tables where to begin, so that no callback waits for the lake.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.brokers import LOGGER as KAFKA_LOGGER
from streams.brokers import client_config
from streams.errors import BrokerUnavailable
from streams.settings import Settings

CONSUME_RECORDS: Final = 100
"""Taken from Kafka's client at once: at most so many lie beside the buffer, and a rebalance waits for no more."""

STUCK_S: Final = 30.0
"""A fetch is answered within seconds, or not at all."""

SESSION_S: Final = 10.0
"""How long Kafka waits for a sink that was killed before another takes its partitions; librdkafka's own is 45 s."""

LOGGER: Final = logging.getLogger("millrace.sink")


class Partition(NamedTuple):
    """A Kafka partition."""

    topic: str
    number: int


class Record(NamedTuple):
    """A record as it was read; `follows` is the offset after the record before it, its own but for real gaps."""

    partition: Partition
    offset: int
    value: bytes | None
    follows: int


class Bounds(NamedTuple):
    """The first offset that Kafka holds of a partition, and the next one that it will give."""

    low: int
    high: int


class Intake:
    """One consumer of the group. For one thread."""

    def __init__(
        self,
        settings: Settings,
        topics: Collection[str],
        giving_up: Callable[[], None],
        gone: Callable[[Collection[Partition]], None],
        overrides: Mapping[str, str | int | float | bool] | None = None,
    ) -> None:
        """`giving_up` is called while partitions are still ours, `gone` with those that are not to be read on.

        `overrides` go to librdkafka, for tests.
        """
        self.joining: set[Partition] = set()
        self.assigned = False
        self._giving_up = giving_up
        self._gone = gone
        self._position: dict[Partition, int] = {}
        self._moved_at: dict[Partition, float] = {}
        self._accepted_gap: dict[Partition, int] = {}
        self._told: dict[Partition, int] = {}
        self._refused: set[Partition] = set()
        self._paused = False
        self._settings = settings
        self._admin = self._new_admin()
        config = {**consumer_config(settings), "on_commit": self._on_commit, **(overrides or {})}
        self._consumer: Any = Consumer(config, logger=KAFKA_LOGGER)
        self._consumer.subscribe(
            list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def poll(self, timeout_s: float) -> list[Record]:
        """The next records of partitions that are read, each partition's without a gap. Callbacks run in here."""
        records: list[Record] = []
        for message in self._consumer.consume(CONSUME_RECORDS, timeout_s):
            one = Partition(message.topic(), message.partition())
            error = message.error()
            if error is not None:
                self._report(error)
                continue
            offset = message.offset()
            position = self._position.get(one)
            if position is None or offset < position:
                continue  # a callback took the partition away after the record was handed out
            if offset > position and self._accepted_gap.get(one) != offset:
                self._gap(one, position, offset)
                records = [record for record in records if record.partition != one]
                continue
            self._position[one] = offset + 1
            self._moved_at[one] = time.monotonic()
            records.append(Record(one, offset, message.value(), position))
        return records

    def bounds(self, partitions: Collection[Partition]) -> dict[Partition, Bounds]:
        """What Kafka holds of partitions. Raises `BrokerUnavailable`."""
        if not partitions:
            return {}
        asked = [TopicPartition(*one) for one in partitions]
        found: list[dict[Partition, int]] = []
        try:
            for latest in (False, True):
                spec = OffsetSpec.latest() if latest else OffsetSpec.earliest()  # type: ignore[no-untyped-call]
                # The admin's own connection: on the consumer's the question would wait for the fetch before it.
                answers = self._admin.list_offsets(dict.fromkeys(asked, spec), request_timeout=20)
                found.append(
                    {Partition(one.topic, one.partition): answer.result(30).offset for one, answer in answers.items()}
                )
        except KafkaException as exc:
            # One that knew the leaders of before a restart may go on asking for them (FENCED_LEADER_EPOCH) for ever.
            self._admin = self._new_admin()
            raise BrokerUnavailable(f"Kafka does not tell its offsets: {exc.args[0].name()}") from exc
        return {one: Bounds(found[0][one], found[1][one]) for one in partitions}

    def begin(self, partition: Partition, offset: int) -> None:
        """Read a joining partition from an offset on. Raises `BrokerUnavailable` if that is not possible yet."""
        try:
            self._consumer.seek(TopicPartition(*partition, offset))
            self._consumer.resume([TopicPartition(*partition)])
        except KafkaException as exc:
            raise BrokerUnavailable(f"{partition} cannot be read yet: {exc.args[0].name()}") from exc
        self.joining.discard(partition)
        self._position[partition] = offset
        self._moved_at[partition] = time.monotonic()

    def rejoin(self, partitions: Iterable[Partition]) -> None:
        """Stop reading partitions until `begin`."""
        mine = [one for one in partitions if self._position.pop(one, None) is not None]
        self.joining.update(mine)
        self._pause(mine)

    def pause(self) -> None:
        """Fetch nothing; polling goes on and keeps us in the group."""
        self._paused = True
        self._pause(self._position)

    def resume(self) -> None:
        """Fetch again what is read."""
        self._paused = False
        self._tell(self._consumer.resume, self._position)

    def commit(self, offsets: Mapping[Partition, int], wait: bool) -> bool:
        """Tell Kafka offsets; whether it took them, or without waiting may take them.

        Those of a commit that was not waited for and is refused later, in a rebalance say, are told again by `watch`.
        """
        self._told.update(offsets)
        try:
            self._consumer.commit(
                offsets=[TopicPartition(*one, offset) for one, offset in offsets.items()], asynchronous=not wait
            )
        except KafkaException as exc:
            LOGGER.warning("offsets were not committed", extra={"fields": {"error": exc.args[0].name()}})
            return False
        return True

    def watch(self) -> dict[Partition, int]:
        """Records that were not read yet, as far as is known without asking.

        A partition that has some and gives none for `STUCK_S` is read again from the tables' watermarks. Offsets that
        Kafka refused are told again: of a partition that is seldom written no later ones may ever come.
        """
        if again := {one: self._told[one] for one in self._refused & self._told.keys() & self._position.keys()}:
            self._refused.clear()
            self.commit(again, wait=False)
        now = time.monotonic()
        lags = {}
        for one, position in self._position.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*one), cached=True)
            if high >= 0:
                lags[one] = max(0, high - position)
            if self._paused or not lags.get(one):
                self._moved_at[one] = now
        for one in [one for one in lags if now - self._moved_at[one] > STUCK_S]:
            fields = {"topic": one.topic, "partition": one.number, "position": self._position[one], "lag": lags[one]}
            LOGGER.error("records are there and do not come", extra={"fields": fields})
            self._reread(one)
        return lags

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _new_admin(self) -> AdminClient:
        return AdminClient(client_config(self._settings), logger=KAFKA_LOGGER)

    def _report(self, error: KafkaError) -> None:
        if error.fatal():
            raise BrokerUnavailable(f"Kafka's client gave up: {error.name()}")
        LOGGER.warning("Kafka reports an error", extra={"fields": {"error": error.name()}})

    def _gap(self, one: Partition, position: int, offset: int) -> None:
        """Nobody writes gaps into our topics: read again from the watermarks. If it is still there, it is one."""
        fields = {"topic": one.topic, "partition": one.number, "expected": position, "offset": offset}
        LOGGER.error("a gap between records", extra={"fields": fields})
        self._accepted_gap[one] = offset
        self._reread(one)

    def _reread(self, one: Partition) -> None:
        self.rejoin([one])
        self._gone([one])

    def _on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Take the partitions, to stand at their ends, paused, until the watermarks are known.

        At numbers, not at OFFSET_END: librdkafka (2.16) asks Kafka for that, and a seek before the answer has come is
        forgotten over it: the partition then stays at its end, with everything before it unread.
        """
        mine = [Partition(one.topic, one.partition) for one in partitions]
        try:
            ends = {one: bounds.high for one, bounds in self.bounds(mine).items()}
        except BrokerUnavailable:
            ends = dict.fromkeys(mine, 0)
        consumer.incremental_assign([TopicPartition(*one, offset) for one, offset in ends.items()])
        self.joining.update(mine)
        self._pause(mine)
        self.assigned = True

    def _on_revoke(self, _consumer: Any, partitions: list[TopicPartition]) -> None:
        self._giving_up()
        self._drop(partitions, "partitions given up")

    def _on_lost(self, _consumer: Any, partitions: list[TopicPartition]) -> None:
        self._drop(partitions, "partitions lost to other sinks")

    def _drop(self, partitions: list[TopicPartition], why: str) -> None:
        mine = [Partition(one.topic, one.partition) for one in partitions]
        self.joining.difference_update(mine)
        self._refused.difference_update(mine)
        for one in mine:
            self._position.pop(one, None)
            self._told.pop(one, None)
        self._gone(mine)
        LOGGER.info(why, extra={"fields": {"partitions": [f"{one.topic}/{one.number}" for one in sorted(mine)]}})

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """The answer to a commit; called while polling."""
        self._refused.update(Partition(one.topic, one.partition) for one in partitions if error or one.error)

    def _pause(self, partitions: Iterable[Partition]) -> None:
        self._tell(self._consumer.pause, partitions)

    def _tell(self, call: Callable[[list[TopicPartition]], None], partitions: Iterable[Partition]) -> None:
        try:
            call([TopicPartition(*one) for one in partitions])
        except KafkaException as exc:
            # Taken away in the meantime; the callback that says so comes with the next poll.
            LOGGER.info("a partition is not ours any more", extra={"fields": {"error": exc.args[0].name()}})


def consumer_config(settings: Settings) -> dict[str, str | int | float | bool]:
    """The consumer that the sink needs."""
    return {
        **client_config(settings),
        "group.id": f"{settings.topic_prefix}-sink",
        "enable.auto.commit": False,
        "session.timeout.ms": round(SESSION_S * 1_000),
        "heartbeat.interval.ms": round(SESSION_S * 1_000 / 5),
        "partition.assignment.strategy": "cooperative-sticky",
        "auto.offset.reset": "earliest",  # what Kafka deleted under us shows as a gap, and the alarm is raised
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": 32_768,
    }
