"""Reading topics of re-entry: what passes is waited for, what does not is told."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.letters import journal

NO_LEADER, REFUSED = KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION), KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)


class Asked:
    """A consumer that answers with an error so often, and then where the partitions begin."""

    def __init__(self, error: KafkaError, times: int) -> None:
        self.error, self.left = error, times

    def offsets_for_times(self, asked: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        if self.left:
            self.left -= 1
            raise KafkaException(self.error)
        return asked


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.letters.journal.time.sleep", lambda _: None)


def test_a_topic_that_has_no_leader_yet_is_asked_again() -> None:
    asked = [TopicPartition("t", 0, 0)]
    assert list(journal._starts(Asked(NO_LEADER, 3), asked)) == asked


def test_what_will_not_pass_is_raised_at_once() -> None:
    consumer = Asked(REFUSED, 2)
    with pytest.raises(KafkaException):
        journal._starts(consumer, [])
    assert consumer.left == 1


def test_it_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1_000, 20))
    monkeypatch.setattr("streams.letters.journal.time.monotonic", lambda: next(clock))
    with pytest.raises(KafkaException):
        journal._starts(Asked(NO_LEADER, 100), [])
