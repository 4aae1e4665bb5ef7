"""The sink's rounds: what it admits, buffers, commits and waits for, without a broker."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest

import streams.sink
from schemas.codec import Codec
from schemas.errors import UndecodableRecord
from schemas.events import Position
from schemas.reasons import Reason
from streams.errors import LakeUnavailable, RegistryUnavailable
from streams.metrics import Health
from streams.settings import Settings
from streams.sink import FENCED, LOST, LostRecord, Sink, UnreadableRecord
from streams.sink_intake import Bounds, Intake, Partition, Record
from streams.watchdog import Watchdog
from tests.events import redacted
from tests.fakes import FakeLake
from tests.outcomes import letter, outcome

EVENTS, CURATED, LETTERS = (Partition(f"feedback.{name}", 0) for name in ("redacted", "curated", "deadletter"))
SETTINGS = Settings(
    lake_commit_s=5.0,
    lake_commit_rows=100,
    embedded_topic_ids=("feedback.redacted=R", "feedback.curated=C", "feedback.deadletter=D"),
)


class FakeIntake(Intake):
    """Kafka in memory: `log` is what it holds of each partition, from `low` on."""

    def __init__(
        self,
        settings: Settings,
        topics: Collection[str],
        giving_up: Callable[[], None],
        gone: Callable[[Collection[Partition]], None],
    ) -> None:
        assert list(topics) == ["feedback.redacted", "feedback.curated", "feedback.deadletter"]
        self.joining: set[Partition] = set()
        self.assigned = True
        self.log: dict[Partition, list[bytes | None]] = {}
        self.low: dict[Partition, int] = {}
        self.begun: list[tuple[Partition, int]] = []
        self.committed: dict[Partition, int] = {}
        self.paused = False
        self.closed = False
        self.during_poll: Callable[[], None] = lambda: None
        self._giving_up = giving_up
        self._gone = gone
        self._position: dict[Partition, int] = {}

    def assign(self, *partitions: Partition) -> None:
        self.joining.update(partitions)

    def revoke(self, *partitions: Partition) -> None:
        self._giving_up()
        self.lose(*partitions)

    def lose(self, *partitions: Partition) -> None:
        self.joining.difference_update(partitions)
        for one in partitions:
            self._position.pop(one, None)
        self._gone(partitions)

    def write(self, one: Partition, *values: bytes | None) -> None:
        self.log.setdefault(one, []).extend(values)

    def poll(self, timeout_s: float) -> list[Record]:
        records: list[Record] = []
        self.during_poll()
        for one, position in self._position.items() if not self.paused else ():
            new = list(enumerate(self.log.get(one, [])))[position:]
            records += [Record(one, offset, value, offset) for offset, value in new]
            self._position[one] = position + len(new)
        return records

    def bounds(self, partitions: Collection[Partition]) -> dict[Partition, Bounds]:
        return {one: Bounds(self.low.get(one, 0), len(self.log.get(one, []))) for one in partitions}

    def begin(self, partition: Partition, offset: int) -> None:
        self.begun.append((partition, offset))
        self.joining.discard(partition)
        self._position[partition] = offset

    def rejoin(self, partitions: Collection[Partition]) -> None:  # type: ignore[override]
        self.joining.update(partitions)
        for one in partitions:
            self._position.pop(one, None)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def commit(self, offsets: Mapping[Partition, int], wait: bool) -> bool:
        self.committed.update(offsets)
        return True

    def watch(self) -> dict[Partition, int]:
        return {}

    def close(self) -> None:
        self.closed = True


class Time:
    """Stands in for the module `time` in the sink; only the test moves it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Stand:
    """A sink on a fake broker and a fake lake, and the hands to move it."""

    def __init__(self, clock: Time, lake: FakeLake | None = None, codec: Codec | None = None) -> None:
        self.clock = clock
        self.lake = lake or FakeLake()
        self.health = Health()
        self.sink = Sink(SETTINGS, self.lake, codec or Codec(), self.health, FakeIntake)
        intake = self.sink._intake
        assert isinstance(intake, FakeIntake)
        self.kafka = intake

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.sink.step()

    def landed(self, table: str, column: str = "event_id") -> list[Any]:
        return list(self.lake.tables[table].rows.column(column).to_pylist())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(streams.sink, "time", clock)
    return clock


@pytest.fixture
def stand(clock: Time) -> Stand:
    return Stand(clock)


def event(number: int) -> bytes:
    return Codec().encode(redacted(f"e{number}", at=number))


def sampled(number: int) -> bytes:
    return Codec().encode(outcome(f"i{number}", at=number))


def rejected(number: int) -> bytes:
    return Codec().encode(outcome(f"i{number}", at=number, rejected=Reason.EMPTY_OUTPUT))


def test_each_stream_fills_its_tables(stand: Stand) -> None:
    stand.kafka.assign(EVENTS, CURATED, LETTERS)
    stand.kafka.write(EVENTS, event(0))
    stand.kafka.write(CURATED, sampled(0), rejected(1))
    stand.kafka.write(LETTERS, Codec().encode(letter(at=0)))
    stand.sink.step()
    stand.sink.step()
    stand.pass_time(5)
    assert {name: table.rows.num_rows for name, table in stand.lake.tables.items()} == {
        "events": 1,
        "samples": 1,
        "rejected": 1,
        "dead_letters": 1,
    }
    assert stand.sink.report().rows == {"events": 1, "samples": 1, "rejected": 1, "dead_letters": 1}


def test_it_is_ready_once_it_reads_what_it_was_assigned(stand: Stand) -> None:
    stand.kafka.assign(EVENTS)
    assert stand.health.problem == "starting"
    stand.sink.step()
    assert stand.health.problem is None


def test_rows_are_committed_on_time(stand: Stand) -> None:
    stand.kafka.assign(EVENTS)
    stand.kafka.write(EVENTS, event(0))
    stand.sink.step()
    stand.sink.step()
    stand.pass_time(4.9)
    assert stand.landed("events") == []
    stand.pass_time(0.1)
    assert stand.landed("events") == ["e0"]


@pytest.mark.parametrize(("count", "at_once"), [(99, False), (100, True)])
def test_many_rows_are_committed_at_once(stand: Stand, count: int, at_once: bool) -> None:
    stand.kafka.assign(EVENTS)
    stand.sink.step()
    stand.kafka.write(EVENTS, *(event(number) for number in range(count)))
    stand.sink.step()
    assert (len(stand.landed("events")) == count) is at_once


def test_many_bytes_are_committed_at_once(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.kafka.assign(EVENTS)
    stand.sink.step()
    monkeypatch.setattr(streams.sink, "BUFFER_BYTES", 2 * len(event(0)))
    stand.kafka.write(EVENTS, event(0))
    stand.sink.step()
    assert stand.landed("events") == []
    stand.kafka.write(EVENTS, event(1))
    stand.sink.step()
    assert stand.landed("events") == ["e0", "e1"]


def test_offsets_follow_the_tables_and_never_lead(stand: Stand) -> None:
    stand.kafka.assign(EVENTS)
    stand.kafka.write(EVENTS, event(0), event(1))
    stand.sink.step()
    stand.sink.step()
    stand.pass_time(1)
    assert stand.kafka.committed == {EVENTS: 0}
    stand.pass_time(5)
    assert stand.kafka.committed == {EVENTS: 2}


def test_offsets_of_a_stream_wait_for_all_of_its_tables(stand: Stand) -> None:
    stand.kafka.assign(CURATED)
    stand.kafka.write(CURATED, sampled(0), rejected(1))
    stand.lake.failures["rejected"] = ["before"]
    stand.sink.step()
    stand.sink.step()
    stand.pass_time(5)
    assert (stand.landed("samples"), stand.landed("rejected")) == (["i0-1"], [])
    assert stand.kafka.committed == {CURATED: 0}
    stand.pass_time(1)
    assert stand.landed("rejected") == ["i1-1"]
    assert stand.kafka.committed == {CURATED: 2}


def test_replays_alone_move_the_offsets_at_once(stand: Stand, clock: Time) -> None:
    stand.kafka.assign(EVENTS)
    stand.kafka.write(EVENTS, event(0))
    stand.sink.step()
    stand.sink.step()
    stand.pass_time(5)
    stand.kafka.write(EVENTS, event(0))
    stand.pass_time(1)
    assert stand.kafka.committed == {EVENTS: 2}
    assert stand.sink.report().replayed["events"] == 1


def test_a_table_without_rows_moves_its_watermark_now_and_then(stand: Stand) -> None:
    stand.kafka.assign(CURATED)
    stand.kafka.write(CURATED, sampled(0))
    stand.sink.step()
    stand.sink.step()
    stand.pass_time(59)
    assert stand.lake.tables["samples"].watermarks["read:C/0"] == 1
    assert stand.lake.tables["rejected"].watermarks == {}
    stand.pass_time(1)
    assert stand.lake.tables["rejected"].watermarks["read:C/0"] == 1
    stand.pass_time(60)
    assert stand.lake.tables["rejected"].version == 1, "nothing new, no commit"


def test_a_table_without_rows_moves_its_watermark_after_many_records(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams.sink, "WATERMARK_RECORDS", 3)
    stand.kafka.assign(CURATED)
    stand.sink.step()
    stand.kafka.write(CURATED, sampled(0), sampled(1))
    stand.sink.step()
    assert stand.lake.tables["rejected"].version == 0
    stand.kafka.write(CURATED, sampled(2))
    stand.sink.step()
    assert stand.lake.tables["rejected"].watermarks["read:C/0"] == 3


def test_reading_begins_at_the_lowest_watermark_of_the_stream_s_tables(stand: Stand, clock: Time) -> None:
    for name, offset in (("samples", 3), ("rejected", 1)):
        stand.lake.tables[name].watermarks["read:C/0"] = offset
    stand.kafka.write(CURATED, sampled(0), rejected(1), sampled(2), sampled(3))
    stand.kafka.assign(CURATED)
    stand.sink.step()
    assert stand.kafka.begun == [(CURATED, 1)]
    stand.sink.step()
    stand.pass_time(5)
    assert stand.landed("samples") == ["i3-1"]
    assert stand.landed("rejected") == ["i1-1"]


def test_without_a_watermark_reading_begins_at_what_kafka_holds_and_raises_no_alarm(stand: Stand) -> None:
    lost = LOST.labels("events")._value.get()
    stand.kafka.log[EVENTS] = [b""] * 40
    stand.kafka.low[EVENTS] = 40
    stand.kafka.assign(EVENTS)
    stand.sink.step()
    assert stand.kafka.begun == [(EVENTS, 40)]
    assert LOST.labels("events")._value.get() == lost


def test_a_watermark_below_what_kafka_holds_raises_the_alarm(stand: Stand) -> None:
    lost = LOST.labels("events")._value.get()
    stand.kafka.log[EVENTS] = [b""] * 40
    stand.kafka.low[EVENTS] = 40
    stand.lake.tables["events"].watermarks["read:R/0"] = 33
    stand.kafka.assign(EVENTS)
    stand.sink.step()
    assert stand.kafka.begun == [(EVENTS, 40)]
    assert LOST.labels("events")._value.get() == lost + 7
    stand.kafka.write(EVENTS, event(0))
    stand.sink.step()
    stand.pass_time(5)
    assert stand.landed("events") == ["e0"]


def test_a_topic_that_lost_its_end_is_read_on_and_replays_are_still_known(stand: Stand) -> None:
    stand.lake.tables["events"].watermarks |= {"read:R/0": 9, "entry:redacted/0/raw/0": 3}
    stand.kafka.write(EVENTS, event(3))
    stand.kafka.assign(EVENTS)
    stand.kafka.low[EVENTS] = 0
    stand.sink.step()
    assert stand.kafka.begun == [(EVENTS, 1)]
    stand.kafka.write(EVENTS, event(3), event(4))
    stand.sink.step()
    stand.pass_time(5)
    assert stand.landed("events") == ["e4"]
    assert stand.lake.tables["events"].watermarks["read:R/0"] == 3


def test_dead_letters_of_the_two_agents_do_not_hide_each_other(stand: Stand) -> None:
    """curate comes to raw offset 2 after redact has sealed offset 7 of the same partition."""
    stand.kafka.assign(LETTERS)
    written = [letter(at=7), letter(at=2, stage="curate"), letter(at=7), letter(at=2, stage="curate")]
    stand.kafka.write(LETTERS, *map(Codec().encode, written))
    stand.sink.step()
    stand.sink.step()
    stand.pass_time(5)
    assert stand.landed("dead_letters", "entry_offset") == [7, 2]


def test_while_the_lake_is_away_intake_pauses_and_then_everything_lands(stand: Stand) -> None:
    stand.kafka.assign(EVENTS)
    stand.kafka.write(EVENTS, event(0))
    stand.sink.step()
    stand.sink.step()
    stand.lake.away = True
    stand.pass_time(5)
    assert stand.kafka.paused
    assert stand.health.problem == "LakeUnavailable"
    stand.kafka.write(EVENTS, *(event(number) for number in range(1, 50)))
    for _ in range(30):
        stand.pass_time(10)
    assert streams.sink.STALLED._value.get() == 300
    assert streams.sink.OLDEST_WAITING._value.get() >= 0
    assert stand.sink._tables["events"].waiting_rows == 1, "memory stays flat"
    stand.lake.away = False
    stand.pass_time(10)
    assert not stand.kafka.paused
    assert stand.health.problem is None
    stand.sink.step()
    stand.pass_time(5)
    assert stand.landed("events") == [f"e{number}" for number in range(50)]
    assert streams.sink.STALLED._value.get() == 0


def test_waits_grow_up_to_their_bound(stand: Stand) -> None:
    stand.lake.away = True
    stand.kafka.assign(EVENTS)
    stand.sink.step()
    waits = []
    for _ in range(10):
        stand.clock.now = stand.sink._retry_at
        stand.sink.step()
        waits.append(stand.sink._retry_at - stand.clock.now)
    assert waits[0] < 1
    assert all(5 <= wait <= streams.sink.MAX_WAIT_S for wait in waits[-3:])


def test_partitions_that_come_while_the_lake_is_away_are_admitted_afterwards(stand: Stand) -> None:
    stand.lake.away = True
    stand.kafka.write(EVENTS, event(0))
    stand.kafka.assign(EVENTS)
    stand.sink.step()
    assert stand.kafka.begun == []
    stand.lake.away = False
    stand.pass_time(10)
    stand.sink.step()
    stand.pass_time(5)
    assert stand.landed("events") == ["e0"]


@pytest.mark.parametrize("failure", ["before", "after", "away"])
def test_a_failed_commit_is_made_good_without_a_row_twice(stand: Stand, failure: str) -> None:
    stand.kafka.assign(EVENTS)
    stand.kafka.write(EVENTS, event(0))
    stand.sink.step()
    stand.sink.step()
    stand.lake.failures["events"] = [failure]
    stand.pass_time(5)
    stand.pass_time(1)
    assert stand.landed("events") == ["e0"]
    assert stand.kafka.committed == {EVENTS: 1}


def test_a_zombie_s_buffer_is_dropped_and_it_reads_on_where_the_table_is(clock: Time) -> None:
    fenced = FENCED.labels(EVENTS.topic)._value.get()
    zombie = Stand(clock)
    owner = Stand(clock, zombie.lake)
    for stand in (zombie, owner):
        stand.kafka.assign(EVENTS)
        stand.kafka.write(EVENTS, event(0), event(1))
        stand.sink.step()
        stand.sink.step()
    owner.pass_time(5)
    zombie.pass_time(5)
    assert FENCED.labels(EVENTS.topic)._value.get() == fenced + 1
    zombie.kafka.write(EVENTS, event(2))
    zombie.pass_time(0)
    assert zombie.kafka.begun == [(EVENTS, 0), (EVENTS, 2)]
    zombie.sink.step()
    zombie.pass_time(5)
    assert zombie.landed("events") == ["e0", "e1", "e2"]
    assert (zombie.sink.report().rows["events"], owner.sink.report().rows["events"]) == (1, 2)


def test_what_waits_is_committed_before_a_partition_is_given_up(stand: Stand) -> None:
    stand.kafka.assign(EVENTS, CURATED)
    stand.kafka.write(EVENTS, event(0))
    stand.sink.step()
    stand.sink.step()
    stand.kafka.revoke(EVENTS)
    assert stand.landed("events") == ["e0"]
    assert stand.kafka.committed[EVENTS] == 1
    stand.kafka.write(CURATED, sampled(0))
    stand.sink.step()
    stand.pass_time(5)
    assert stand.landed("samples") == ["i0-1"]


def test_records_that_come_with_a_rebalance_of_other_partitions_are_kept(stand: Stand) -> None:
    stand.kafka.assign(EVENTS, CURATED)
    stand.sink.step()
    stand.kafka.write(EVENTS, event(0))
    stand.kafka.during_poll = lambda: stand.kafka.revoke(CURATED)
    stand.sink.step()
    stand.kafka.during_poll = lambda: None
    stand.kafka.write(EVENTS, event(1))
    stand.sink.step()
    stand.pass_time(5)
    assert stand.landed("events") == ["e0", "e1"]


def test_a_record_lost_in_the_process_ends_it_before_a_watermark_moves_past(stand: Stand) -> None:
    stand.kafka.assign(EVENTS)
    stand.sink.step()
    stand.kafka.write(EVENTS, event(0), event(1))
    stand.kafka._position[EVENTS] = 1
    with pytest.raises(LostRecord, match="offset 0"):
        stand.sink.run()
    assert stand.lake.tables["events"].watermarks == {}


def test_a_lake_that_is_away_does_not_hold_up_giving_a_partition_up(stand: Stand) -> None:
    stand.kafka.assign(EVENTS)
    stand.kafka.write(EVENTS, event(0))
    stand.sink.step()
    stand.sink.step()
    stand.lake.away = True
    stand.kafka.revoke(EVENTS)
    assert stand.kafka.committed[EVENTS] == 0
    stand.lake.away = False
    stand.kafka.assign(EVENTS)
    stand.sink.step()
    stand.sink.step()
    stand.pass_time(5)
    assert stand.landed("events") == ["e0"]


def test_a_partition_that_was_lost_is_not_committed(stand: Stand) -> None:
    stand.kafka.assign(EVENTS)
    stand.kafka.write(EVENTS, event(0))
    stand.sink.step()
    stand.sink.step()
    stand.kafka.lose(EVENTS)
    stand.pass_time(5)
    assert stand.landed("events") == []


class BrokenCodec(Codec):
    """Fails to decode as ordered."""

    error: Exception | None = None

    def decode(self, value: bytes, record: type[Any]) -> Any:
        if self.error is not None and b"e1" in value:
            raise self.error
        return super().decode(value, record)


def test_a_record_that_cannot_be_read_stops_the_sink_and_names_its_place(clock: Time) -> None:
    codec = BrokenCodec()
    codec.error = UndecodableRecord("quotes the text of a person")
    stand = Stand(clock, codec=codec)
    stand.kafka.assign(EVENTS)
    stand.kafka.write(EVENTS, event(0), event(1), event(2))
    with pytest.raises(
        UnreadableRecord, match=r"feedback\.redacted partition 0 offset 1 .*UndecodableRecord"
    ) as caught:
        stand.sink.run()
    assert "person" not in str(caught.value)
    assert stand.landed("events") == ["e0"], "what came before it is safe"
    assert stand.lake.tables["events"].watermarks["read:R/0"] == 1
    assert stand.kafka.closed


def test_a_tombstone_is_not_skipped_either(stand: Stand) -> None:
    stand.kafka.assign(EVENTS)
    stand.kafka.write(EVENTS, None)
    with pytest.raises(UnreadableRecord, match="offset 0"):
        stand.sink.run()


def test_while_the_registry_is_away_records_wait_in_their_order(clock: Time) -> None:
    codec = BrokenCodec()
    codec.error = RegistryUnavailable("away")
    stand = Stand(clock, codec=codec)
    stand.kafka.assign(EVENTS)
    stand.kafka.write(EVENTS, event(0), event(1), event(2))
    stand.sink.step()
    stand.sink.step()
    assert stand.health.problem == "RegistryUnavailable"
    assert stand.kafka.paused
    codec.error = None
    stand.pass_time(1)
    stand.pass_time(5)
    assert stand.landed("events") == ["e0", "e1", "e2"]


def test_a_stopped_sink_commits_what_waits_and_leaves(stand: Stand) -> None:
    stand.kafka.assign(EVENTS, CURATED)
    stand.kafka.write(EVENTS, event(0))
    stand.kafka.write(CURATED, sampled(0))
    stand.sink.step()
    stand.sink.step()
    stand.sink.stop()
    report = stand.sink.run()
    assert report.rows["events"] == report.rows["samples"] == 1
    assert stand.lake.tables["rejected"].watermarks["read:C/0"] == 1
    assert stand.kafka.committed == {EVENTS: 1, CURATED: 1}
    assert stand.kafka.closed


def test_a_stopped_sink_waits_for_the_lake_but_not_forever(stand: Stand) -> None:
    stand.kafka.assign(EVENTS)
    stand.kafka.write(EVENTS, event(0))
    stand.sink.step()
    stand.sink.step()
    stand.lake.away = True
    stand.sink.stop()
    begun = stand.clock.now
    with pytest.raises(LakeUnavailable, match="left to the next sink"):
        stand.sink.run()
    assert 0 <= stand.clock.now - begun - streams.sink.CLOSE_SHARE * SETTINGS.drain_s <= 2
    assert stand.kafka.closed


def test_running_the_same_input_again_through_a_new_broker_adds_nothing(clock: Time) -> None:
    lake = FakeLake()
    for topic_id in ("R", "another"):
        stand = Stand(clock, lake)
        stand.sink._settings = Settings(embedded_topic_ids=(f"feedback.redacted={topic_id}",))
        stand.kafka.assign(EVENTS)
        stand.kafka.write(EVENTS, *(event(number) for number in range(5)))
        stand.sink.step()
        stand.sink.step()
        stand.sink.close()
    assert stand.landed("events") == [f"e{number}" for number in range(5)]
    assert stand.sink.report().replayed["events"] == 5


def test_an_idle_sink_that_stops_writes_nothing(stand: Stand) -> None:
    stand.kafka.assign(EVENTS, CURATED, LETTERS)
    stand.sink.step()
    stand.sink.close()
    assert [table.version for table in stand.lake.tables.values()] == [0, 0, 0, 0]


def test_positions_of_another_entry_partition_are_their_own(stand: Stand) -> None:
    stand.kafka.assign(EVENTS)
    other = redacted("other", entry=Position("raw", 1, 0))
    stand.kafka.write(EVENTS, event(5), Codec().encode(other))
    stand.sink.step()
    stand.sink.step()
    stand.pass_time(5)
    assert stand.landed("events") == ["e5", "other"]


def _ends(stand: Stand) -> list[str]:
    """Why the watchdog ended the process; the sink has a limit of 10 s from here on."""
    ends: list[str] = []
    stand.sink._watchdog = Watchdog(stand.health, 10, lambda _, why: ends.append(why))
    stand.sink.step()
    return ends


def _pass(stand: Stand, seconds: int) -> None:
    for _ in range(seconds):
        stand.sink._watchdog.look(1)
        stand.pass_time(1)


def test_a_sink_that_does_not_get_what_is_there_stalls(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.kafka.assign(EVENTS)
    ends = _ends(stand)
    monkeypatch.setattr(stand.kafka, "watch", lambda: {EVENTS: 3})
    _pass(stand, 5)
    assert (stand.health.problem or "").startswith("stalled for 5 s: records are there")
    _pass(stand, 5)
    assert "records are there, and none is read" in ends[0]


def test_a_round_that_does_not_end_is_a_stall(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = _ends(stand)

    def hang(_: float) -> list[Record]:
        for _ in range(11):
            stand.sink._watchdog.look(1)
        return []

    monkeypatch.setattr(stand.kafka, "poll", hang)
    stand.sink.step()
    assert "a round of the sink does not end" in ends[0]


def test_a_sink_that_has_nothing_to_do_or_waits_for_the_lake_does_not_stall(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.kafka.assign(EVENTS)
    ends = _ends(stand)
    _pass(stand, 30)
    stand.kafka.write(EVENTS, event(0))
    stand.lake.away = True
    monkeypatch.setattr(stand.kafka, "watch", lambda: {EVENTS: 3})
    stand.sink.step()
    _pass(stand, 60)
    assert ends == []
    assert "stalled" not in (stand.health.problem or "")
