"""Topics on a real broker: created alike, and checked for what would lose or mix up events."""

from __future__ import annotations

import secrets

import msgspec
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from streams.brokers import (
    check_topics,
    client_config,
    create_topics,
    largest_letter_bytes,
    largest_record_bytes,
    topic_ids,
    topics,
)
from streams.settings import Settings
from tests.servers import Servers


@pytest.fixture
def settings(servers: Servers) -> Settings:
    prefix = f"t{secrets.token_hex(4)}"
    return Settings(
        kafka_bootstrap=servers.kafka.bootstrap,
        topic_prefix=prefix,
        topic_partitions=3,
        sources=(f"{prefix}.events", f"{prefix}.acme=acme"),
    )


def test_created_topics_are_right_and_creating_again_changes_nothing(settings: Settings) -> None:
    assert len(check_topics(settings)) == 7
    assert sorted(create_topics(settings)) == sorted(topics(settings))
    assert check_topics(settings) == []
    assert create_topics(settings) == []


def test_unequal_partitions_of_keyed_topics_are_found(settings: Settings) -> None:
    admin = AdminClient(client_config(settings))
    curated = NewTopic(settings.topic("curated"), 5, 1, config={"max.message.bytes": "1000"})
    admin.create_topics([curated])[curated.topic].result(30)
    create_topics(settings)
    problems = [problem.problem for problem in check_topics(settings)]
    assert any("unequal partitions" in problem for problem in problems)
    assert any("max.message.bytes" in problem for problem in problems)


def test_a_topic_s_id_is_kafka_s_own_and_changes_when_it_is_made_anew(settings: Settings) -> None:
    create_topics(settings)
    topic = settings.topic("events")
    first = topic_ids(settings, [topic])[topic]
    assert topic_ids(settings, [topic])[topic] == first
    other = msgspec.structs.replace(settings, topic_prefix=f"{settings.topic_prefix}x", sources=())
    create_topics(other)
    assert topic_ids(other, [other.topic("events")])[other.topic("events")] != first


def test_a_dead_letter_topic_that_keeps_letters_longer_than_set_or_cannot_take_any_letter_is_found(
    settings: Settings,
) -> None:
    kept = {"retention.ms": str(31 * 86_400_000), "max.message.bytes": str(largest_record_bytes(settings))}
    letters = NewTopic(settings.topic("deadletter"), 3, 1, config=kept)
    # A source that takes more than a letter can hold: such a record would stop the worker.
    greedy = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(largest_letter_bytes(settings) + 1)}
    source = NewTopic(settings.topic("acme"), 3, 1, config=greedy)
    admin = AdminClient(client_config(settings))
    for future in admin.create_topics([letters, source]).values():
        future.result(30)
    create_topics(settings)
    problems = {(problem.topic, problem.problem) for problem in check_topics(settings)}
    assert problems == {
        (letters.topic, "retention.ms 2678400000 is not MILLRACE_DEADLETTER_DAYS"),
        (letters.topic, f"max.message.bytes {kept['max.message.bytes']} is below {largest_letter_bytes(settings)}"),
        (source.topic, f"max.message.bytes {greedy['max.message.bytes']} is more than a dead letter can hold"),
    }
    longer = msgspec.structs.replace(settings, deadletter_days=31)
    assert not any("retention" in problem.problem for problem in check_topics(longer))
