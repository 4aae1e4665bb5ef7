"""Exactly once, whatever order things happen in: producers that crash and are replayed, sinks that crash, that wake up
as zombies, and commits of which nobody knows whether they landed.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from schemas.events import Position
from schemas.reasons import Reason
from schemas.tables import REJECTED, SAMPLES, outcome_row
from streams.errors import CommitStateUnknown, FencedError, LakeUnavailable
from streams.lake.ports import Lane, ReadPartition, read_id
from streams.replays import Progress
from streams.sink_table import SinkTable
from tests.fakes import FakeLake
from tests.outcomes import outcome

LANES: Final = (Lane("raw", 0), Lane("raw", 1), Lane("replay", 0))
PARTITIONS: Final = tuple(ReadPartition("T", "curated", number) for number in range(2))
SINKS: Final = 2
"""Both read all partitions, each as if the other were none: at any time one of them is a zombie."""
FAILURES: Final = ("before", "after", "late", "away")


class Written:
    """One record of the topic: a position, and the outcome that this attempt came to."""

    def __init__(self, lane: Lane, position: int, rejected: bool, attempt: int) -> None:
        self.lane = lane
        self.position = position
        self.table, self.row = outcome_row(
            outcome(
                f"{lane.topic_id}-{lane.partition}-{position}-{attempt}",
                entry=Position(lane.topic_id, lane.partition, position),
                rejected=Reason.EMPTY_OUTPUT if rejected else None,
            )
        )


class Sink:
    """A sink process, without Kafka: it may think for as long as it likes that the partitions are its own."""

    def __init__(self, lake: FakeLake, log: dict[ReadPartition, list[Written]]) -> None:
        self._log = log
        self.tables = [SinkTable(lake.create(contract)) for contract in (SAMPLES, REJECTED)]
        self._next: dict[ReadPartition, int] = {}
        for partition in PARTITIONS:
            self.open(partition)

    def open(self, partition: ReadPartition) -> None:
        starts = []
        for table in self.tables:
            table.close(partition)
            table.load_keys()
            marks = table.store.watermarks()
            progress = Progress(partition, marks, marks.get(read_id(partition), 0))
            table.open(progress)
            starts.append(progress.next)
        self._next[partition] = min(starts)

    def read(self, partition: ReadPartition, count: int) -> None:
        for _ in range(count):
            offset = self._next[partition]
            if offset >= len(self._log[partition]):
                return
            record = self._log[partition][offset]
            for table in self.tables:
                row = record.row if table.name == record.table.name else None
                table.offer(partition, offset, record.lane, record.position, row, 1)
            self._next[partition] = offset + 1

    def commit(self, table: SinkTable) -> None:
        try:
            table.commit()
        except (CommitStateUnknown, LakeUnavailable, FencedError):
            pass
        finally:
            for partition in table.take_fenced():
                self.open(partition)


class ExactlyOnce(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.lake = FakeLake()
        self.log: dict[ReadPartition, list[Written]] = {partition: [] for partition in PARTITIONS}
        self.sinks = [Sink(self.lake, self.log) for _ in range(SINKS)]
        self.acknowledged = dict.fromkeys(LANES, 0)
        self.producers = {lane: [0, 0] for lane in LANES}
        self.attempts = 0

    @rule(
        lane=st.sampled_from(LANES), which=st.integers(0, 1), outcomes=st.lists(st.booleans(), min_size=1, max_size=4)
    )
    def a_producer_goes_on(self, lane: Lane, which: int, outcomes: list[bool]) -> None:
        """Any producer of the lane, a zombie too, writes its next positions; another attempt, another outcome."""
        for rejected in outcomes:
            position = self.producers[lane][which]
            self.attempts += 1
            partition = PARTITIONS[position % len(PARTITIONS)]
            self.log[partition].append(Written(lane, position, rejected, self.attempts))
            self.producers[lane][which] += 1

    @rule(lane=st.sampled_from(LANES), which=st.integers(0, 1))
    def a_producer_acknowledges(self, lane: Lane, which: int) -> None:
        self.acknowledged[lane] = max(self.acknowledged[lane], self.producers[lane][which])

    @rule(lane=st.sampled_from(LANES), which=st.integers(0, 1))
    def a_producer_is_killed_and_restarted(self, lane: Lane, which: int) -> None:
        self.producers[lane][which] = self.acknowledged[lane]

    @rule(
        which=st.integers(0, SINKS - 1),
        rounds=st.lists(
            st.tuples(
                st.sampled_from(PARTITIONS), st.integers(0, 5), st.integers(0, 1), st.sampled_from(("", "", *FAILURES))
            ),
            min_size=1,
            max_size=4,
        ),
    )
    def a_sink_works(self, which: int, rounds: list[tuple[ReadPartition, int, int, str]]) -> None:
        """It reads some records and commits one of its tables, which may fail; a few times over."""
        sink = self.sinks[which]
        for partition, count, table, failure in rounds:
            sink.read(partition, count)
            self.lake.failures = {sink.tables[table].name: [failure]} if failure else {}
            sink.commit(sink.tables[table])
        self.lake.failures = {}

    @rule(which=st.integers(0, SINKS - 1), partition=st.sampled_from(PARTITIONS))
    def a_sink_gives_a_partition_up_and_gets_it_back(self, which: int, partition: ReadPartition) -> None:
        self.sinks[which].open(partition)

    @rule()
    def late_commits_arrive(self) -> None:
        self.lake.land()

    @rule(which=st.integers(0, SINKS - 1))
    def a_sink_is_killed_and_restarted(self, which: int) -> None:
        self.sinks[which] = Sink(self.lake, self.log)

    @invariant()
    def no_position_lands_twice(self) -> None:
        assert max(self.landed().values(), default=0) <= 1

    def teardown(self) -> None:
        """At last a sink reads everything, and every zombie tries once more: each position landed as it first came."""
        self.lake.land()
        last = Sink(self.lake, self.log)
        for _ in range(2):
            for partition in PARTITIONS:
                last.read(partition, 10_000)
            for table in last.tables:
                last.commit(table)
        for sink in self.sinks:
            for partition in PARTITIONS:
                sink.read(partition, 10_000)
            for table in sink.tables:
                sink.commit(table)
        first: dict[tuple[str, int, int], str] = {}
        for records in self.log.values():
            for record in records:
                key = (record.lane.topic_id, record.lane.partition, record.position)
                first.setdefault(key, record.row["event_id"])
        assert self.landed() == Counter(first.keys())
        assert self.event_ids() == sorted(first.values())

    def landed(self) -> Counter[tuple[str, int, int]]:
        found: Counter[tuple[str, int, int]] = Counter()
        for table in self.lake.tables.values():
            for row in table.rows.select(["entry_topic_id", "entry_partition", "entry_offset"]).to_pylist():
                found[row["entry_topic_id"], row["entry_partition"], row["entry_offset"]] += 1
        return found

    def event_ids(self) -> list[str]:
        return sorted(name for table in self.lake.tables.values() for name in table.rows.column("event_id").to_pylist())


ExactlyOnce.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestExactlyOnce = ExactlyOnce.TestCase
