"""The agents' intake on a real Kafka: restarts, rebalances, transactions, a frozen broker, compaction, SIGTERM."""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.pipeline import wait_until
from tests.integration.intake_process import Plan
from tests.servers import Servers

ROOT = Path(__file__).parent.parent.parent
DEADLINE_S = 60.0


class Line(NamedTuple):
    """One line of a journal."""

    what: str
    partition: int
    offset: int
    value: str
    pid: int


class Process:
    """An agent's process."""

    def __init__(self, plan: Plan, log: Path) -> None:
        self._log = log
        with log.open("ab") as out:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.intake_process", msgspec.json.encode(plan).decode()],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'client'}", "PYTHONWARNINGS": "ignore"},
                stdout=out,
                stderr=out,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def terminate(self) -> None:
        self._child.terminate()

    def stop(self) -> None:
        """SIGTERM, and wait for a clean end."""
        self._child.terminate()
        assert self._child.wait(DEADLINE_S) == 0, self._log.read_text()

    def wait(self) -> None:
        assert self._child.wait(DEADLINE_S) == 0, self._log.read_text()

    def kill(self) -> None:
        self._child.kill()
        self._child.wait(DEADLINE_S)


class Stand:
    """A topic of its own, a group, and the processes that read it."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self.kafka = servers.kafka
        self.folder = folder
        self.name = f"intake-{secrets.token_hex(4)}"
        self.journal = folder / "journal"
        self.journal.touch()
        self.produced: list[str] = []
        self._processes: list[Process] = []
        self._looker = Consumer(
            {"bootstrap.servers": self.kafka.bootstrap, "group.id": self.name, "enable.auto.commit": False}
        )

    def create(self, partitions: int = 1, config: dict[str, str] | None = None) -> None:
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap})
        for future in admin.create_topics([NewTopic(self.name, partitions, 1, config=config or {})]).values():
            future.result(30)
        self.partitions = partitions

    def produce(self, count: int, producer: Producer | None = None, *, audited: bool = True) -> None:
        """Events with values of their own, spread over the partitions; flushed unless the producer is the caller's."""
        own = producer or Producer({"bootstrap.servers": self.kafka.bootstrap})
        for index in range(count):
            value = f"{len(self.produced)}" if audited else f"aborted{index}"
            own.produce(self.name, value, key=value, partition=index % self.partitions)
            if audited:
                self.produced.append(value)
        if producer is None:
            own.flush(30)

    def start(self, **plan: float) -> Process:
        made = Plan(bootstrap=self.kafka.bootstrap, topic=self.name, group=self.name, journal=str(self.journal))
        for name, value in plan.items():
            setattr(made, name, value)
        process = Process(made, self.folder / f"log{len(self._processes)}")
        self._processes.append(process)
        return process

    def lines(self, what: str, since: int = 0) -> list[Line]:
        found = []
        for line in self.journal.read_text().splitlines()[since:]:
            kind, partition, offset, value, pid = line.split()
            if kind == what:
                found.append(Line(kind, int(partition), int(offset), value, int(pid)))
        return found

    def length(self) -> int:
        return len(self.journal.read_text().splitlines())

    def committed(self) -> dict[int, int]:
        asked = [TopicPartition(self.name, index) for index in range(self.partitions)]
        return {each.partition: max(0, each.offset) for each in self._looker.committed(asked, timeout=30)}

    def ends(self) -> dict[int, int]:
        return {
            index: self._looker.get_watermark_offsets(TopicPartition(self.name, index), timeout=30)[1]
            for index in range(self.partitions)
        }

    def await_no_lag(self) -> None:
        wait_until(lambda: self.committed() == self.ends(), DEADLINE_S, "the lag to become 0")

    def first_open(self, began: dict[int, int], since: int) -> dict[int, int]:
        """Partition → the first offset from where a run began that it took and did not acknowledge."""
        acked = {(line.partition, line.offset) for line in self.lines("acked", since)}
        return {
            index: next(offset for offset in itertools.count(start) if (index, offset) not in acked)
            for index, start in began.items()
        }

    def audit(self) -> None:
        """Every event was acknowledged."""
        assert {line.value for line in self.lines("acked")} == set(self.produced)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
        self._looker.close()


@pytest.fixture
def stand(servers: Servers, tmp_path: Path) -> Iterator[Stand]:
    made = Stand(servers, tmp_path)
    yield made
    made.close()


def test_acknowledged_in_random_order_and_restarted_nothing_is_lost_and_nothing_before_the_first_open_one_comes_again(
    stand: Stand,
) -> None:
    stand.create(partitions=2)
    stand.produce(3_000)
    for run in range(4):
        began, since = stand.committed(), stand.length()
        process = stand.start(leave=0.02, seed=run, batch_s=0.02)
        wait_until(
            lambda since=since: len(stand.lines("acked", since)) >= 300,  # type: ignore[misc]
            DEADLINE_S,
            "some hundred acknowledgements",
        )
        if run % 2:
            process.kill()
            assert all(stand.committed()[index] <= open_ for index, open_ in stand.first_open(began, since).items())
        else:
            process.stop()
            assert stand.committed() == stand.first_open(began, since)
        for index, offset in began.items():
            taken = [line.offset for line in stand.lines("took", since) if line.partition == index]
            assert not taken or min(taken) == offset, "a slow start may leave a partition for the next run"
    stand.start()
    stand.await_no_lag()
    stand.audit()


def test_processes_that_join_and_leave_in_mid_batch_lose_nothing_and_do_nothing_twice(stand: Stand) -> None:
    stand.create(partitions=4)
    stand.produce(3_000)
    first = stand.start(batch_s=0.1)
    wait_until(lambda: len(stand.lines("acked")) >= 200, DEADLINE_S, "the first to be at work")
    second = stand.start(batch_s=0.1)
    wait_until(
        lambda: any(line.pid == second.pid for line in stand.lines("acked")), DEADLINE_S, "the second to be at work"
    )
    stand.produce(1_000)
    first.stop()
    stand.await_no_lag()
    second.stop()
    stand.audit()
    assert {line.pid for line in stand.lines("acked")} == {first.pid, second.pid}
    assert max(Counter(line.value for line in stand.lines("acked")).values()) == 1


def test_of_transactions_only_what_was_committed_is_read_and_the_lag_goes_to_zero(stand: Stand) -> None:
    stand.create(partitions=2)
    producer = Producer({"bootstrap.servers": stand.kafka.bootstrap, "transactional.id": stand.name})
    producer.init_transactions(30)
    for count, committed in [(50, True), (30, False), (20, True), (10, False), (1, True), (5, False)]:
        producer.begin_transaction()
        stand.produce(count, producer, audited=committed)
        if committed:
            producer.commit_transaction(30)
        else:
            producer.flush(30)
            producer.abort_transaction(30)
    process = stand.start()
    stand.await_no_lag()
    stand.audit()
    assert {line.value for line in stand.lines("took")} == set(stand.produced)
    process.stop()
    assert stand.committed() == stand.ends()


def test_while_the_broker_is_frozen_no_position_is_skipped_and_afterwards_all_is_committed(stand: Stand) -> None:
    stand.create()
    stand.produce(600)
    stand.start(batch_s=0.2, batch_events=100)
    wait_until(lambda: any(stand.committed().values()), DEADLINE_S, "a first commit")
    pid = stand.kafka.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        had = len(stand.lines("acked"))
        wait_until(lambda: len(stand.lines("acked")) > had + 100, DEADLINE_S, "more acknowledgements")
    finally:
        os.kill(pid, signal.SIGCONT)
    stand.await_no_lag()
    stand.audit()
    assert max(Counter(line.value for line in stand.lines("acked")).values()) == 1


def test_what_compaction_removed_does_not_hold_the_position_back_nor_hide_an_open_offset(stand: Stand) -> None:
    stand.create(
        config={
            "cleanup.policy": "compact",
            "segment.ms": "100",
            "min.cleanable.dirty.ratio": "0.001",
            "max.compaction.lag.ms": "1",
        }
    )
    producer = Producer({"bootstrap.servers": stand.kafka.bootstrap, "linger.ms": 0})
    for index in range(60):
        # Every third key of its own: it stays; of the others only the last stays.
        producer.produce(stand.name, f"{index}", key=f"{index}" if index % 3 == 0 else "the same", partition=0)
        producer.flush(30)
    wait_until(lambda: _rolled_and_compacted(stand, producer) < 60, 90, "the log to be compacted")
    kept = _offsets(stand)
    process = stand.start(leave=0.5, seed=15)  # acknowledges the first slice and leaves the second
    wait_until(lambda: {line.offset for line in stand.lines("took")} >= set(kept), DEADLINE_S, "all to be read")
    process.stop()
    acked = {line.offset for line in stand.lines("acked")}
    assert stand.committed()[0] == min(set(kept) - acked)
    stand.start()
    stand.await_no_lag()


def _offsets(stand: Stand) -> list[int]:
    """What a plain consumer finds in the topic."""
    reader = Consumer({"bootstrap.servers": stand.kafka.bootstrap, "group.id": "reader", "enable.partition.eof": True})
    reader.assign([TopicPartition(stand.name, 0, 0)])
    found: list[int] = []
    while True:
        message = reader.poll(30)
        assert message is not None
        if message.error() is not None:
            reader.close()
            return found
        offset = message.offset()
        assert offset is not None
        found.append(offset)


def _rolled_and_compacted(stand: Stand, producer: Producer) -> int:
    """Roll the segment, so that what is before it may be compacted; return how much of the first 60 is left."""
    producer.produce(stand.name, "roll", key="roll", partition=0)
    producer.flush(30)
    return sum(offset < 60 for offset in _offsets(stand))


@pytest.mark.parametrize("wait_empty", [True, False])
def test_sigterm_in_mid_batch_commits_nothing_that_was_not_acknowledged(stand: Stand, wait_empty: bool) -> None:
    """With `stream_wait_empty=False` Faust's consumer commits what its stream acknowledges while it stops."""
    stand.create()
    stand.produce(500)
    process = stand.start(batch_s=1.0, wait_empty=wait_empty)
    wait_until(lambda: len(stand.lines("took")) > len(stand.lines("acked")) > 0, DEADLINE_S, "a batch to be begun")
    process.stop()
    assert stand.committed() == stand.first_open({0: 0}, 0)
    if wait_empty:
        assert len(stand.lines("took")) == len(stand.lines("acked"))
    stand.start()
    stand.await_no_lag()
    stand.audit()
