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
from streams.waiting import await_answer, holds_within

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
    "deadletter": 30 * _DAY_MS,  # unless `deadletter_days` says otherwise
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
        "message.max.bytes": largest_letter_bytes(settings),
    }


def largest_record_bytes(settings: Settings) -> int:
    """Room for one event and its seal or its sample, which repeats the texts."""
    return max(12_582_912, 3 * settings.max_event_bytes)


def largest_letter_bytes(settings: Settings) -> int:
    """Room for whatever Kafka took, sealed: a full record that does not compress any more, its index and its keys.

    Twice as much as that needs, for a record that came in a batch which its producer had compressed better than we do.
    """
    return 2 * largest_record_bytes(settings)


class GaplessProducer:
    """Delivers whole batches in order, or ends the process's work with an error; it never leaves a gap.

    librdkafka's gapless guarantee does not cover records that time out, so they never do: while the broker is away
    `deliver` waits. For one thread at a time.
    """

    def __init__(self, settings: Settings, waiting: Callable[[float], None] = lambda _: None) -> None:
        """`waiting` is called while a delivery waits for Kafka, with the seconds since Kafka last took a record."""
        self._waiting = waiting
        self._producer = Producer(
            {**producer_config(settings), "enable.gapless.guarantee": True, "message.timeout.ms": 0},
            logger=LOGGER,
        )

    def deliver(self, records: Iterable[Outgoing], located: Callable[[int, int, int], None] | None = None) -> None:
        """Produce the records and return when every one is acknowledged. Raises `DeliveryFailed`.

        `located` is called for each: the how manieth it is, from 0, and the partition and offset that it got.
        """
        failures: list[KafkaError] = []
        left = 0
        self._taken_at = time.monotonic()

        def report(error: KafkaError | None, _message: Message) -> None:
            nonlocal left
            left -= 1
            self._taken_at = time.monotonic()
            if error is not None:
                failures.append(error)

        def reporting(
            index: int, tell: Callable[[int, int, int], None]
        ) -> Callable[[KafkaError | None, Message], None]:
            def report_place(error: KafkaError | None, message: Message) -> None:
                report(error, message)
                if error is None:
                    tell(index, message.partition() or 0, message.offset() or 0)

            return report_place

        for index, record in enumerate(records):
            left += 1
            self._produce(record, report if located is None else reporting(index, located))
        while left > 0 and not failures:
            self._poll()
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
                self._poll()
            except KafkaException as exc:
                raise DeliveryFailed(f"Kafka refused a record for good: {exc.args[0].name()}") from exc

    def _poll(self) -> None:
        self._producer.poll(0.1)
        self._waiting(time.monotonic() - self._taken_at)


class TopicProblem(NamedTuple):
    """What is wrong with a topic and how to mend it."""

    topic: str
    problem: str
    mend: str


def topics(settings: Settings) -> dict[str, str]:
    """Full topic name → which of `RETENTION_MS` it is, with producers' own source topics among them."""
    names = {settings.topic(name): name for name in RETENTION_MS}
    return names | {topic: "events" for topic in settings.tenant_of_source if topic not in names}


def read_by(settings: Settings, agent: str) -> list[str]:
    """The topics that an agent reads. An embedded run has no overflow: there `redact` reads what comes in again."""
    sources, reentry = [*settings.tenant_of_source], settings.topic("reentry")
    if agent == "redact":
        return [*sources, reentry] if settings.embedded_topic_ids else sources
    return [reentry] if agent == "overflow" else [settings.topic("redacted"), settings.topic("replay")]


def retention_ms(settings: Settings, name: str) -> int:
    """How long Kafka keeps one of `RETENTION_MS`."""
    return settings.deadletter_days * _DAY_MS if name == "deadletter" else RETENTION_MS[name]


def _largest_bytes(settings: Settings, name: str) -> int:
    return largest_letter_bytes(settings) if name == "deadletter" else largest_record_bytes(settings)


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
                "retention.ms": str(retention_ms(settings, name)),
                "max.message.bytes": str(_largest_bytes(settings, name)),
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
    if not holds_within(lambda: set(names) <= _existing(admin).keys(), _VISIBLE_S):
        raise BrokerUnavailable(f"topics were created and do not show: {', '.join(sorted(names))}")


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
        name = topics(settings)[resource.name]
        largest, needed = int(config["max.message.bytes"].value), _largest_bytes(settings, name)
        if largest < needed:
            problems.append(
                TopicProblem(resource.name, f"max.message.bytes {largest} is below {needed}", f"raise it to {needed}")
            )
        if name in RAW and largest > largest_letter_bytes(settings):
            problem = f"max.message.bytes {largest} is more than a dead letter can hold"
            problems.append(TopicProblem(resource.name, problem, f"lower it to {needed}, or raise MAX_EVENT_BYTES"))
        kept_ms, wanted_ms = int(config["retention.ms"].value), retention_ms(settings, name)
        if name == "deadletter" and kept_ms != wanted_ms:
            problem = f"retention.ms {kept_ms} is not MILLRACE_DEADLETTER_DAYS"
            problems.append(TopicProblem(resource.name, problem, f"set retention.ms={wanted_ms}"))
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

    def look() -> None:
        missing = sorted(topics(settings).keys() - _existing(_admin(settings)).keys())
        if missing:
            raise BrokerUnavailable(f"topics are missing, run `millrace topics create`: {', '.join(missing)}")

    await_answer(look, "Kafka", health, LOGGER)


class GroupProgress:
    """How far a consumer group has committed, seen from outside of it."""

    def __init__(self, settings: Settings, group: str, timeout_s: float = 30.0) -> None:
        """`timeout_s`: how long each answer of Kafka may take."""
        self._timeout_s = timeout_s
        self._consumer = Consumer(
            {**client_config(settings), "group.id": group, "enable.auto.commit": False}, logger=LOGGER
        )

    def behind(self, topic: str, partitions: int | None = None) -> int:
        """Records of a topic that the group has not committed yet. Raises `BrokerUnavailable`.

        `partitions` is how many the topic has, if known.
        """
        count = self._partitions_of(topic) if partitions is None else partitions
        left = self.left([(topic, index) for index in range(count)])
        return sum(high - next_offset for next_offset, high in left.values())

    def left(self, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, int]]:
        """(topic, partition) → the offset that the group reads next, and the one that Kafka will give next.

        What an open transaction holds back is not there yet. Raises `BrokerUnavailable`.
        """
        found = {}
        wanted = [TopicPartition(*each) for each in partitions]
        try:
            if not wanted:
                self._consumer.list_topics(timeout=self._timeout_s)  # it shall raise all the same
            for committed in self._consumer.committed(wanted, timeout=self._timeout_s) if wanted else ():
                low, high = self._consumer.get_watermark_offsets(committed, timeout=self._timeout_s)
                found[(committed.topic, committed.partition)] = (max(committed.offset, low), high)
        except KafkaException as exc:
            raise BrokerUnavailable(exc.args[0].str()) from exc
        return found

    def done(self, topic: str, partitions: int) -> int:
        """Records of a topic that the group has committed. Raises `BrokerUnavailable`."""
        try:
            return sum(max(committed.offset, 0) for committed in self._committed(topic, partitions))
        except KafkaException as exc:
            raise BrokerUnavailable(exc.args[0].str()) from exc

    def _partitions_of(self, topic: str) -> int:
        try:
            return len(self._consumer.list_topics(topic, timeout=self._timeout_s).topics[topic].partitions)
        except KafkaException as exc:
            raise BrokerUnavailable(exc.args[0].str()) from exc

    def _committed(self, topic: str, partitions: int) -> list[TopicPartition]:
        wanted = [TopicPartition(topic, index) for index in range(partitions)]
        return list(self._consumer.committed(wanted, timeout=self._timeout_s))

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
