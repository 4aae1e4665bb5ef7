"""One table's way from records to commits, whatever fails."""

from __future__ import annotations

import pytest

from schemas.reasons import Reason
from schemas.tables import EVENTS, REJECTED, SAMPLES, event_row, outcome_row
from streams.errors import CommitStateUnknown, LakeUnavailable
from streams.lake.ports import Lane, ReadPartition, entry_id, read_id
from streams.replays import Progress
from streams.sink_table import SinkTable
from tests.events import NOW_US, redacted
from tests.fakes import FakeLake
from tests.outcomes import outcome

ONE, TWO = ReadPartition("T", "redacted", 0), ReadPartition("T", "redacted", 1)
RAW = Lane("raw", 0)


class Clock:
    def __init__(self) -> None:
        self.now = NOW_US / 1e6

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lake() -> FakeLake:
    return FakeLake()


def started(lake: FakeLake, *partitions: ReadPartition, window: int = 1_000) -> SinkTable:
    """A sink's table that has just been assigned partitions."""
    table = SinkTable(lake.create(EVENTS), window, Clock())
    table.load_keys()
    for partition in partitions or (ONE,):
        reopen(table, partition)
    return table


def reopen(table: SinkTable, partition: ReadPartition) -> Progress:
    marks = table.store.watermarks()
    progress = Progress(partition, marks, marks.get(read_id(partition), 0))
    table.open(progress)
    return progress


def offer(
    table: SinkTable, offset: int, *, partition: ReadPartition = ONE, entry: int | None = None, name: str = ""
) -> None:
    """The record at an offset, whose entry position has the same number unless said otherwise."""
    entry = offset if entry is None else entry
    lane = RAW if partition == ONE else Lane("raw", 1)
    row = event_row(redacted(name or f"e{lane.partition}-{entry}", at=entry))
    table.offer(partition, offset, lane, entry, row, 100)


def landed(lake: FakeLake) -> list[str]:
    return [str(name) for name in lake.tables["events"].rows.column("event_id").to_pylist()]


def test_rows_and_watermarks_land_together(lake: FakeLake) -> None:
    table = started(lake)
    offer(table, 0)
    offer(table, 1)
    assert (table.waiting_rows, table.waiting_bytes) == (2, 200)
    table.commit()
    assert landed(lake) == ["e0-0", "e0-1"]
    assert lake.tables["events"].watermarks == {read_id(ONE): 2, entry_id(ONE, RAW): 1}
    assert (table.waiting_rows, table.waiting_bytes, table.rows, table.commits) == (0, 0, 2, 1)


def test_nothing_new_is_no_commit(lake: FakeLake) -> None:
    table = started(lake)
    table.commit()
    offer(table, 0)
    table.commit()
    table.commit()
    assert lake.tables["events"].version == 1


def test_replays_move_the_watermark_without_rows(lake: FakeLake) -> None:
    table = started(lake)
    offer(table, 0)
    table.commit()
    offer(table, 1, entry=0)
    assert (table.replayed, table.waiting_rows, table.ahead()) == (1, 0, 1)
    table.commit()
    assert landed(lake) == ["e0-0"]
    assert lake.tables["events"].watermarks[read_id(ONE)] == 2


def test_a_crash_between_table_commit_and_offset_commit_adds_no_row(lake: FakeLake) -> None:
    before = started(lake)
    offer(before, 0)
    offer(before, 1)
    before.commit()
    after = started(lake)
    for offset in range(3):  # read again from Kafka's older offset
        offer(after, offset)
    after.commit()
    assert landed(lake) == ["e0-0", "e0-1", "e0-2"]
    assert after.replayed == 0, "what is read again is no replay of a producer"


def test_the_same_input_through_a_new_broker_adds_no_row(lake: FakeLake) -> None:
    before = started(lake)
    offer(before, 0)
    offer(before, 1)
    before.commit()
    fresh = ONE._replace(topic_id="new broker")
    again = started(lake, fresh, window=0)
    for offset in range(3):
        row = event_row(redacted(f"e0-{offset}", at=offset))
        again.offer(fresh, offset, RAW, offset, row, 100)
    again.commit()
    assert landed(lake) == ["e0-0", "e0-1", "e0-2"]
    assert again.replayed == 2


def test_an_event_id_that_comes_again_at_a_new_position_is_dropped(lake: FakeLake) -> None:
    table = started(lake)
    offer(table, 0, name="same")
    offer(table, 1, name="same")
    table.commit()
    offer(table, 2, name="same")
    started_later = started(lake, TWO)
    offer(started_later, 0, partition=TWO, name="same")
    table.commit()
    started_later.commit()
    assert landed(lake) == ["same"]
    assert (table.replayed, started_later.replayed) == (2, 1)


def test_repeats_are_found_only_within_the_window(lake: FakeLake) -> None:
    table = started(lake, window=2)
    for offset, name in enumerate(["a", "b", "c"]):
        offer(table, offset, name=name)
    table.commit()
    offer(table, 3, name="b")
    offer(table, 4, name="a")
    table.commit()
    assert landed(lake) == ["a", "b", "c", "a"]


def test_a_row_that_was_dropped_uncommitted_is_no_repeat_when_it_is_read_again(lake: FakeLake) -> None:
    table = started(lake)
    offer(table, 0)
    table.close(ONE)
    assert (table.waiting_rows, table.waiting_bytes, table.oldest_received_at) == (0, 0, None)
    reopen(table, ONE)
    offer(table, 0)
    table.commit()
    assert landed(lake) == ["e0-0"]


def test_another_writer_s_partition_is_dropped_and_the_others_land(lake: FakeLake) -> None:
    zombie = started(lake, ONE, TWO)
    offer(zombie, 0)
    offer(zombie, 0, partition=TWO)
    owner = started(lake, ONE)
    offer(owner, 0)
    offer(owner, 1)
    owner.commit()
    zombie.commit()
    assert sorted(landed(lake)) == ["e0-0", "e0-1", "e1-0"]
    assert zombie.take_fenced() == {ONE}
    assert zombie.take_fenced() == set()
    assert (zombie.rows, zombie.waiting_rows) == (1, 0)


def test_a_zombie_that_has_the_same_records_adds_no_row(lake: FakeLake) -> None:
    zombie = started(lake)
    owner = started(lake)
    for table in (zombie, owner):
        offer(table, 0)
    owner.commit()
    zombie.commit()
    assert landed(lake) == ["e0-0"]
    assert zombie.take_fenced() == {ONE}


def test_an_unknown_outcome_that_landed_is_found_and_not_written_again(lake: FakeLake) -> None:
    table = started(lake)
    offer(table, 0)
    lake.failures["events"] = ["after"]
    with pytest.raises(CommitStateUnknown):
        table.commit()
    assert table.in_doubt
    assert table.durable(ONE) == 0
    table.commit()
    assert landed(lake) == ["e0-0"]
    assert (table.rows, table.in_doubt, table.durable(ONE)) == (1, False, 1)


def test_an_unknown_outcome_that_did_not_land_is_tried_again_with_the_same_rows(lake: FakeLake) -> None:
    table = started(lake)
    offer(table, 0)
    lake.failures["events"] = ["before", "before"]
    for _ in range(2):
        with pytest.raises(CommitStateUnknown):
            table.commit()
    table.commit()
    assert landed(lake) == ["e0-0"]


def test_another_writer_s_commit_is_not_taken_for_an_attempt_in_doubt(lake: FakeLake) -> None:
    zombie = started(lake)
    offer(zombie, 0)
    offer(zombie, 1)
    lake.failures["events"] = ["before"]
    with pytest.raises(CommitStateUnknown):
        zombie.commit()
    owner = started(lake)
    offer(owner, 0)
    owner.commit()
    zombie.commit()
    assert zombie.take_fenced() == {ONE}
    assert (zombie.rows, landed(lake)) == (0, ["e0-0"])


def test_records_that_came_after_an_attempt_in_doubt_are_not_taken_for_landed(lake: FakeLake) -> None:
    table = started(lake)
    offer(table, 0)
    lake.failures["events"] = ["after"]
    with pytest.raises(CommitStateUnknown):
        table.commit()
    offer(table, 1)
    table.commit()
    assert landed(lake) == ["e0-0", "e0-1"]
    assert table.durable(ONE) == 2


def test_a_commit_that_lands_after_we_looked_is_found_by_the_fence(lake: FakeLake) -> None:
    table = started(lake)
    offer(table, 0)
    lake.failures["events"] = ["late", "late"]
    for _ in range(2):
        with pytest.raises(CommitStateUnknown):
            table.commit()
    lake.land()
    table.commit()
    assert landed(lake) == ["e0-0"]


def test_a_partition_that_was_taken_back_in_doubt_is_judged_by_its_new_start(lake: FakeLake) -> None:
    table = started(lake)
    for offset in range(3):
        offer(table, offset)
    lake.failures["events"] = ["late"]
    with pytest.raises(CommitStateUnknown):
        table.commit()
    table.close(ONE)
    reopen(table, ONE)
    offer(table, 0)
    lake.land()
    table.commit()
    assert table.take_fenced() == {ONE}
    reopen(table, ONE)
    for offset in range(4):
        offer(table, offset)
    table.commit()
    assert landed(lake) == ["e0-0", "e0-1", "e0-2", "e0-3"]


def test_a_lake_that_is_away_loses_and_doubles_nothing(lake: FakeLake) -> None:
    table = started(lake)
    offer(table, 0)
    lake.failures["events"] = ["away"]
    with pytest.raises(LakeUnavailable):
        table.commit()
    assert not table.in_doubt
    lake.away = True
    with pytest.raises(LakeUnavailable):
        table.commit()
    lake.away = False
    table.commit()
    assert landed(lake) == ["e0-0"]


def test_the_lake_may_go_away_while_we_are_in_doubt(lake: FakeLake) -> None:
    table = started(lake)
    offer(table, 0)
    lake.failures["events"] = ["after"]
    with pytest.raises(CommitStateUnknown):
        table.commit()
    lake.away = True
    with pytest.raises(LakeUnavailable):
        table.commit()
    lake.away = False
    assert table.in_doubt
    table.commit()
    assert landed(lake) == ["e0-0"]


def test_of_two_tables_of_a_stream_one_may_be_ahead(lake: FakeLake) -> None:
    """A crash after the commit of `samples` and before that of `rejected`; then positions 1 and 2 are replayed."""
    read = ReadPartition("T", "curated", 0)
    log = [
        outcome("a", at=0),
        outcome("b", at=1, rejected=Reason.EMPTY_OUTPUT),
        outcome("c", at=2),
        outcome("b", at=1, revision=7),  # a replay that came out differently: the first outcome wins
        outcome("c", at=2, rejected=Reason.EMPTY_OUTPUT),
        outcome("d", at=3, rejected=Reason.EMPTY_OUTPUT),
    ]

    def sink(through: int) -> list[SinkTable]:
        tables = []
        for contract in (SAMPLES, REJECTED):
            table = SinkTable(lake.create(contract))
            table.load_keys()
            marks = table.store.watermarks()
            table.open(Progress(read, marks, marks.get(read_id(read), 0)))
            tables.append(table)
        for offset, one in enumerate(log[:through]):
            target, row = outcome_row(one)
            for table in tables:
                mine = row if table.name == target.name else None
                table.offer(read, offset, Lane("raw", 0), one.entry.offset, mine, 100)
        return tables

    samples, _ = sink(through=3)
    samples.commit()
    for table in sink(through=len(log)):
        table.commit()
    assert lake.tables["samples"].rows.column("entry_offset").to_pylist() == [0, 2]
    assert lake.tables["rejected"].rows.column("entry_offset").to_pylist() == [1, 3]
    assert {table.watermarks[read_id(read)] for table in (lake.tables["samples"], lake.tables["rejected"])} == {6}


def test_the_age_of_rows_is_counted_when_they_land(lake: FakeLake) -> None:
    clock = Clock()
    table = SinkTable(lake.create(EVENTS), clock=clock)
    reopen(table, ONE)
    offer(table, 0)
    offer(table, 1)
    assert table.oldest_received_at == NOW_US
    clock.now += 5
    table.commit()
    assert table.event_to_lake.quantile(1.0) == pytest.approx(5, rel=0.02)
    assert table.event_to_lake.quantile(0.1) == pytest.approx(4, rel=0.02)
    assert table.oldest_received_at is None
