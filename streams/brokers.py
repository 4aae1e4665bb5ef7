"""Kafka through confluent-kafka: one place for client settings, the gapless producer, topics, the embedded broker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from streams.errors import BrokerUnavailable, DeliveryFailed, SettingError
from streams.metrics import Health
from streams.reentry import Headers
from streams.settings import Settings

EMBEDDED_PARTITIONS: Final = 4
"""librdkafka's mock cluster creates every topic with this many."""

_VISIBLE_S: Final = 30.0
"""How long new topics may take to show; on a busy broker it is seconds."""

_DAY_MS: Final = 86_400_000
RETENTION_MS: Final[Mapping[str, int]] = {
    "events": 3 * _DAY_MS,  # raw and unredacted: as short as an outage of the workers may last
    "reentry": 3 * _DAY_MS,  # raw as well: what was held back
    "redacted": 7 * _DAY_MS,
    "replay": 7 * _DAY_MS,
    "curated": 7 * _DAY_MS,
    "deadletter": 30 * _DAY_MS,
}
"""Topic → how long Kafka keeps it."""

RAW: Final = ("events", "reentry")
"""Topics of unredacted records."""

KEYED_ALIKE: Final = ("redacted", "replay", "curated")
"""Topics whose partition p holds the same interactions: `curate` writes to the partition that it read from."""


LOGGER: Final = logging.getLogger("millrace.kafka")
"""Where librdkafka's own lines go."""


LOGGER.addFilter(lambda record: "enable.gapless.guarantee is experimental" not in record.getMessage())


class Outgoing(NamedTuple):
    """A record to produce; `partition` -1 leaves it to the hash of the key (murmur2, as Java's clients)."""

    topic: str
    key: bytes
    value: bytes
    partition: int = -1
    headers: Headers = ()


def client_config(settings: Settings) -> dict[str, str | int | float | bool]:
    """What every librdkafka client needs to reach the brokers."""
    config: dict[str, str | int | float | bool] = {
        "bootstrap.servers": settings.kafka_bootstrap,
        "security.protocol": settings.kafka_security_protocol,
        "reconnect.backoff.ms": 500,  # by default a broker that is away is tried, and logged, twenty times a second
        "reconnect.backoff.max.ms": 2_000,
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        config["sasl.mechanism"] = settings.kafka_sasl_mechanism
        config["sasl.username"] = settings.kafka_sasl_username
        config["sasl.password"] = settings.kafka_sasl_password
    for option, path in (
        ("ssl.ca.location", settings.kafka_ssl_ca),
        ("ssl.certificate.location", settings.kafka_ssl_certificate),
        ("ssl.key.location", settings.kafka_ssl_key),
    ):
        if path:
            config[option] = path
    return config


def producer_config(settings: Settings) -> dict[str, str | int | float | bool]:
    """A producer that keeps order, never repeats a record, and hashes keys as Java's clients do."""
    return {
        **client_config(settings),
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        "linger.ms": 5,
        "message.max.bytes": largest_record_bytes(settings),
    }


def largest_record_bytes(settings: Settings) -> int:
    """Room for one event and its seal or its sample, which repeats the texts."""
    return max(12_582_912, 3 * settings.max_event_bytes)


class GaplessProducer:
    """Delivers whole batches in order, or ends the process's work with an error; it never leaves a gap.

    librdkafka's gapless guarantee does not cover records that time out, so they never do: while the broker is away
    `deliver` waits. For one thread at a time.
    """

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer(
            {**producer_config(settings), "enable.gapless.guarantee": True, "message.timeout.ms": 0},
            logger=LOGGER,
        )

    def deliver(self, records: Iterable[Outgoing]) -> None:
        """Produce the records and return when every one is acknowledged. Raises `DeliveryFailed`."""
        failures: list[KafkaError] = []
        left = 0

        def report(error: KafkaError | None, _message: Message) -> None:
            nonlocal left
            left -= 1
            if error is not None:
                failures.append(error)

        for record in records:
            left += 1
            self._produce(record, report)
        while left > 0 and not failures:
            self._producer.poll(0.1)
        if failures:
            raise DeliveryFailed(f"Kafka refused a record for good: {failures[0].name()}")

    def _produce(self, record: Outgoing, report: Callable[[KafkaError | None, Message], None]) -> None:
        while True:
            try:
                self._producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    record.partition,
                    on_delivery=report,
                    headers=list(record.headers) or None,
                )
                return
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as exc:
                raise DeliveryFailed(f"Kafka refused a record for good: {exc.args[0].name()}") from exc


class TopicProblem(NamedTuple):
    """What is wrong with a topic and how to mend it."""

    topic: str
    problem: str
    mend: str


def topics(settings: Settings) -> dict[str, str]:
    """Full topic name → which of `RETENTION_MS` it is, with producers' own source topics among them."""
    names = {settings.topic(name): name for name in RETENTION_MS}
    return names | {topic: "events" for topic in settings.tenant_of_source if topic not in names}


def create_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing and return their names. Raises `BrokerUnavailable`."""
    admin = _admin(settings)
    existing = _existing(admin)
    wanted = [
        NewTopic(
            topic,
            num_partitions=settings.topic_partitions,
            replication_factor=settings.topic_replication,
            config={
                "retention.ms": str(RETENTION_MS[name]),
                "max.message.bytes": str(largest_record_bytes(settings)),
                "cleanup.policy": "delete",
                # When the broker took a raw event, whatever its producer's clock says: retention and lineage go by it.
                "message.timestamp.type": "LogAppendTime" if name in RAW else "CreateTime",
            },
        )
        for topic, name in topics(settings).items()
        if topic not in existing
    ]
    if not wanted:
        return []
    for topic, future in admin.create_topics(wanted, operation_timeout=30).items():
        try:
            future.result(timeout=60)
        except KafkaException as exc:
            if exc.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise BrokerUnavailable(f"topic {topic} could not be created: {exc.args[0].str()}") from exc
    names = [topic.topic for topic in wanted]
    _await_visible(admin, names)
    return names


def _await_visible(admin: AdminClient, names: Iterable[str]) -> None:
    """Return once the brokers show new topics: the controller has them some time before."""
    deadline = time.monotonic() + _VISIBLE_S
    while missing := set(names) - set(_existing(admin)):
        if time.monotonic() > deadline:
            raise BrokerUnavailable(f"topics were created and do not show: {', '.join(sorted(missing))}")
        time.sleep(0.05)


def check_topics(settings: Settings) -> list[TopicProblem]:
    """What would lose or mix up events: missing topics, unequal partition counts, too small records."""
    admin = _admin(settings)
    existing = _existing(admin)
    problems = [
        TopicProblem(topic, "is missing", "run `millrace topics create`")
        for topic in topics(settings)
        if topic not in existing
    ]
    keyed = {settings.topic(name): existing.get(settings.topic(name)) for name in KEYED_ALIKE}
    if len({count for count in keyed.values() if count is not None}) > 1:
        counts = ", ".join(f"{topic} {count}" for topic, count in keyed.items())
        problems.append(TopicProblem(settings.topic("curated"), f"unequal partitions: {counts}", "recreate alike"))
    present = [topic for topic in topics(settings) if topic in existing]
    resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in present]
    for resource, future in admin.describe_configs(resources).items() if resources else ():
        config = future.result(timeout=30)
        if topics(settings)[resource.name] in RAW and config["message.timestamp.type"].value != "LogAppendTime":
            problems.append(
                TopicProblem(resource.name, "keeps its producers' clocks", "set message.timestamp.type=LogAppendTime")
            )
        largest = int(config["max.message.bytes"].value)
        if largest < largest_record_bytes(settings):
            problem = f"max.message.bytes {largest} is below {largest_record_bytes(settings)}"
            problems.append(TopicProblem(resource.name, problem, "raise it"))
    return problems


def topic_ids(settings: Settings, wanted: Iterable[str]) -> dict[str, str]:
    """Topic → Kafka's UUID for it, or the id that the embedded run gave it. Raises `BrokerUnavailable`."""
    given = dict(pair.split("=", 1) for pair in settings.embedded_topic_ids)
    ids = {topic: given[topic] for topic in wanted if topic in given}
    asked = [topic for topic in wanted if topic not in given]
    if asked:
        admin = _admin(settings)
        for topic, future in admin.describe_topics(TopicCollection(asked), request_timeout=30).items():
            try:
                ids[topic] = str(future.result(timeout=60).topic_id)
            except KafkaException as exc:
                raise BrokerUnavailable(f"topic {topic}: {exc.args[0].str()}") from exc
    return ids


def await_topics(settings: Settings, health: Health) -> None:
    """Return once Kafka answers and has all topics; says what it waits for. An embedded broker makes them on use."""
    if settings.embedded_topic_ids:
        return
    wait_s = 0.5
    while True:
        try:
            missing = sorted(set(topics(settings)) - set(_existing(_admin(settings))))
            if not missing:
                return
            problem = f"topics are missing, run `millrace topics create`: {', '.join(missing)}"
        except BrokerUnavailable as exc:
            problem = str(exc)
        health.not_ready(problem)
        LOGGER.warning("waiting for Kafka", extra={"fields": {"problem": problem, "wait_s": wait_s}})
        time.sleep(wait_s)
        wait_s = min(10.0, wait_s * 2)


class GroupProgress:
    """How far a consumer group has committed, seen from outside of it."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._consumer = Consumer(
            {**client_config(settings), "group.id": group, "enable.auto.commit": False}, logger=LOGGER
        )

    def behind(self, topic: str, partitions: int) -> int:
        """Records of a topic that the group has not committed yet. Raises `BrokerUnavailable`."""
        try:
            count = 0
            for committed in self._committed(topic, partitions):
                low, high = self._consumer.get_watermark_offsets(committed, timeout=30)
                count += high - max(committed.offset, low)
            return count
        except KafkaException as exc:
            raise BrokerUnavailable(exc.args[0].str()) from exc

    def done(self, topic: str, partitions: int) -> int:
        """Records of a topic that the group has committed. Raises `BrokerUnavailable`."""
        try:
            return sum(max(committed.offset, 0) for committed in self._committed(topic, partitions))
        except KafkaException as exc:
            raise BrokerUnavailable(exc.args[0].str()) from exc

    def _committed(self, topic: str, partitions: int) -> list[TopicPartition]:
        wanted = [TopicPartition(topic, index) for index in range(partitions)]
        return list(self._consumer.committed(wanted, timeout=30))

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()


class EmbeddedBroker:
    """librdkafka's mock cluster, in this process and in memory only; it keeps about 5 MB a partition."""

    def __init__(self, topics: Iterable[str] = ()) -> None:
        self._cluster = Producer({"test.mock.num.brokers": 1}, logger=LOGGER)
        brokers = self._cluster.list_topics(timeout=10).brokers.values()
        self.bootstrap: str = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        for topic in topics:
            self._cluster.list_topics(topic, timeout=10)  # the first question about a topic creates it


def _admin(settings: Settings) -> AdminClient:
    try:
        return AdminClient(client_config(settings), logger=LOGGER)
    except KafkaException as exc:
        raise SettingError("MILLRACE_KAFKA_*", settings.kafka_bootstrap, str(exc.args[0].str())) from exc


def _existing(admin: AdminClient) -> dict[str, int]:
    """Topic → number of its partitions."""
    try:
        return {name: len(topic.partitions) for name, topic in admin.list_topics(timeout=10).topics.items()}
    except KafkaException as exc:
        raise BrokerUnavailable(f"Kafka does not answer: {exc.args[0].str()}") from exc
