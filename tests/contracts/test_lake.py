"""One suite for the lake port: the fake, Delta in a folder and Delta on S3 give the same answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from schemas.events import Position, Score
from schemas.tables import DEAD_LETTERS, EVENTS, SAMPLES, Table, arrow_table, dead_letter_row, event_row
from streams.errors import FencedError, VersionGone
from streams.lake.delta import DeltaLake
from streams.lake.ports import Lake, TableStore
from tests.events import NOW_US, redacted
from tests.fakes import FakeLake
from tests.outcomes import letter
from tests.servers import Servers

OpenLake = Callable[[], Lake]


@pytest.fixture(params=["fake", "delta", "delta on s3"])
def open_lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenLake:
    """Opens the same lake again and again, as different processes would."""
    if request.param == "fake":
        fake = FakeLake()
        return lambda: fake
    if request.param == "delta":
        return lambda: DeltaLake(str(tmp_path / "lake"))
    servers: Servers = request.getfixturevalue("servers")
    root = servers.fresh_lake(monkeypatch)
    return lambda: DeltaLake(root)


def rows(*numbers: int) -> pa.Table:
    return arrow_table(EVENTS, [event_row(redacted(f"e{number}", at=number)) for number in numbers])


def none(table: Table) -> pa.Table:
    return arrow_table(table, [])


def test_a_table_is_found_once_it_was_created(open_lake: OpenLake) -> None:
    assert open_lake().find(EVENTS) is None
    open_lake().create(EVENTS)
    open_lake().create(EVENTS)
    found = open_lake().find(EVENTS)
    assert found is not None
    assert found.table is EVENTS
    assert open_lake().find(SAMPLES) is None


def test_a_table_of_an_earlier_version_gains_what_came_since_and_keeps_its_rows(open_lake: OpenLake) -> None:
    """Whole columns, and fields in them."""
    now = arrow_table(EVENTS, [event_row(redacted("e1", scores=(Score("thumbs", value=1.0, by="p"),)))])
    judged = pa.list_(pa.struct([field for field in now.schema.field("scores").type.value_type if field.name != "by"]))
    scores = [[{name: value for name, value in score.items() if name != "by"} for score in now["scores"][0].as_py()]]
    before = now.drop_columns(["clock"]).drop_columns(["scores"]).append_column("scores", pa.array(scores, judged))
    open_lake().create(msgspec.structs.replace(EVENTS, schema=before.schema)).append(before, {}, {"w": 1})
    open_lake().create(EVENTS).append(rows(2), {"w": 1}, {"w": 2})
    open_lake().create(EVENTS)
    found = open_lake().find(EVENTS)
    assert found is not None
    assert found.watermarks() == {"w": 2}
    table = found.dataset().to_table().sort_by("event_id")
    assert set(table.schema.names) == set(EVENTS.schema.names)
    assert [row["clock"] for row in table.to_pylist()] == [None, "ok"]
    assert [[score["by"] for score in row["scores"]] for row in table.to_pylist()] == [[None], []]


def test_a_table_keeps_its_id_until_it_is_made_anew(open_lake: OpenLake) -> None:
    columns = [field for field in EVENTS.schema if field.name != "clock"]
    made = open_lake().create(msgspec.structs.replace(EVENTS, schema=pa.schema(columns)))
    made.append(rows(1).drop_columns(["clock"]), {}, {})
    table_id = made.table_id()
    assert table_id
    upgraded = open_lake().create(EVENTS)
    upgraded.append(rows(2), {}, {})
    upgraded.purge(datetime.fromtimestamp(NOW_US / 1e6 + 1.5, UTC))
    assert {made.table_id(), upgraded.table_id(), open_lake().create(EVENTS).table_id()} == {table_id}
    assert open_lake().create(SAMPLES).table_id() != table_id


def test_a_new_table_has_neither_rows_nor_watermarks(open_lake: OpenLake) -> None:
    store = open_lake().create(DEAD_LETTERS)
    assert store.watermarks() == {}
    assert store.recent_keys(10) == []
    assert store.size()[:3] == (0, 0, 0)
    assert store.dataset().to_table().num_rows == 0


def test_rows_and_watermarks_come_with_one_version(open_lake: OpenLake) -> None:
    store = open_lake().create(EVENTS)
    assert store.append(rows(1, 2), {"read:t/0": None}, {"read:t/0": 2, "entry:redacted/0/raw/0": 2}) == 1
    other = open_lake().create(EVENTS)
    assert other.watermarks() == {"read:t/0": 2, "entry:redacted/0/raw/0": 2}
    assert other.size()[:2] == (2, 1)
    assert other.dataset().to_table(columns=["event_id"]).column("event_id").to_pylist() == ["e1", "e2"]


def test_rows_come_back_as_they_were(open_lake: OpenLake) -> None:
    store = open_lake().create(EVENTS)
    store.append(rows(1), {}, {})
    back = open_lake().create(EVENTS).dataset().to_table()
    assert back.select(EVENTS.schema.names).to_pylist() == rows(1).to_pylist()


def test_a_commit_without_rows_moves_watermarks(open_lake: OpenLake) -> None:
    store = open_lake().create(EVENTS)
    store.append(none(EVENTS), {"read:t/0": None}, {"read:t/0": 7})
    assert open_lake().create(EVENTS).watermarks() == {"read:t/0": 7}
    assert store.size()[:2] == (0, 1)


def test_watermarks_that_a_commit_does_not_set_stay(open_lake: OpenLake) -> None:
    store = open_lake().create(EVENTS)
    store.append(rows(1), {}, {"read:t/0": 1, "read:t/1": 5})
    store.append(rows(2), {"read:t/0": 1}, {"read:t/0": 2})
    assert open_lake().create(EVENTS).watermarks() == {"read:t/0": 2, "read:t/1": 5}


@pytest.mark.parametrize("expected", [None, 0, 1, 3])
def test_a_watermark_other_than_expected_fences_and_writes_nothing(open_lake: OpenLake, expected: int | None) -> None:
    store = open_lake().create(EVENTS)
    store.append(rows(1), {"read:t/0": None}, {"read:t/0": 2})
    with pytest.raises(FencedError):
        store.append(rows(2), {"read:t/0": expected}, {"read:t/0": 9})
    assert store.watermarks() == {"read:t/0": 2}
    assert store.size().rows == 1


def test_a_watermark_that_is_not_there_fences_too(open_lake: OpenLake) -> None:
    store = open_lake().create(EVENTS)
    with pytest.raises(FencedError):
        store.append(rows(1), {"read:t/0": 0}, {"read:t/0": 1})


def test_of_two_writers_of_a_partition_the_second_is_fenced(open_lake: OpenLake) -> None:
    zombie, owner = open_lake().create(EVENTS), open_lake().create(EVENTS)
    assert zombie.watermarks() == owner.watermarks() == {}
    owner.append(rows(1), {"read:t/0": None}, {"read:t/0": 1})
    with pytest.raises(FencedError):
        zombie.append(rows(1), {"read:t/0": None}, {"read:t/0": 1})
    assert owner.size().rows == 1


def test_writers_of_different_partitions_do_not_disturb_each_other(open_lake: OpenLake) -> None:
    one, other = open_lake().create(EVENTS), open_lake().create(EVENTS)
    for number in range(3):
        one.append(rows(number), {"read:t/0": number or None}, {"read:t/0": number + 1})
        other.append(rows(10 + number), {"read:t/1": number or None}, {"read:t/1": number + 1})
    assert one.watermarks() == other.watermarks() == {"read:t/0": 3, "read:t/1": 3}
    assert one.size().rows == 6


def test_recent_keys_are_the_newest_and_newest_last(open_lake: OpenLake) -> None:
    store = open_lake().create(EVENTS)
    for number in range(4):
        store.append(rows(2 * number, 2 * number + 1), {}, {})
    assert store.recent_keys(3)[-3:] == [("t", "e5"), ("t", "e6"), ("t", "e7")]
    assert len(store.recent_keys(3)) == 3
    assert len(store.recent_keys(100)) == 8


def test_a_key_has_all_columns_of_the_table_s(open_lake: OpenLake) -> None:
    store = open_lake().create(DEAD_LETTERS)
    store.append(arrow_table(DEAD_LETTERS, [dead_letter_row(letter(at=4))]), {}, {})
    assert store.recent_keys(5) == [("raw", 0, 4)]


def letters(*offsets: int, partition: int = 0) -> pa.Table:
    """Letters that Kafka took at NOW_US and as many seconds as their offset says."""
    return arrow_table(
        DEAD_LETTERS, [dead_letter_row(letter(at, entry=Position("raw", partition, at))) for at in offsets]
    )


def second(number: int) -> datetime:
    return datetime.fromtimestamp(NOW_US / 1e6 + number, UTC)


def test_a_purge_removes_what_came_before_a_time_and_what_is_named_and_nothing_else(open_lake: OpenLake) -> None:
    store = open_lake().create(DEAD_LETTERS)
    for at in range(0, 100_002, 25_000):  # over two days, so that some files go whole and some in part
        store.append(letters(at, at + 1), {}, {})
    store.append(letters(75_000, partition=1), {}, {})
    named = [Position("raw", 0, 75_000), Position("raw", 7, 100_000), Position("it's", 0, 75_001)]
    assert store.purge(second(25_001), named) == 4
    left = open_lake().create(DEAD_LETTERS).dataset().to_table()
    places = zip(*(left.column(name).to_pylist() for name in ("entry_partition", "entry_offset")), strict=True)
    assert sorted(places) == [
        (0, 25_001),
        (0, 50_000),
        (0, 50_001),
        (0, 75_001),
        (0, 100_000),
        (0, 100_001),
        (1, 75_000),
    ]
    by_offset = {(row["entry_partition"], row["entry_offset"]): row for row in left.to_pylist()}
    assert by_offset[0, 75_001] == letters(75_001).to_pylist()[0]
    assert store.purge(second(25_001), named) == 0


def test_a_purge_leaves_watermarks_and_lets_writers_go_on(open_lake: OpenLake) -> None:
    writer, store = open_lake().create(DEAD_LETTERS), open_lake().create(DEAD_LETTERS)
    writer.append(letters(1), {}, {"read:t/0": 1})
    assert writer.watermarks() == {"read:t/0": 1}
    assert store.purge(second(2)) == 1
    writer.append(letters(3), {"read:t/0": 1}, {"read:t/0": 2})
    assert open_lake().create(DEAD_LETTERS).watermarks() == {"read:t/0": 2}
    assert writer.recent_keys(5) == [("raw", 0, 3)]


def test_a_purge_of_a_table_without_rows_removes_none(open_lake: OpenLake) -> None:
    assert open_lake().create(DEAD_LETTERS).purge(second(0), [Position("raw", 0, 1)]) == 0


def brought(store: TableStore, after: int, until: int | None = None) -> list[tuple[int, str]]:
    """Each event id with the version that brought it, out of what is complete."""
    found = store.changes(after, store.version() if until is None else until)
    assert found.complete, found.why
    batches = list(found.batches(["event_id"], 2))
    assert all(batch.num_rows <= 2 for _, batch in batches)
    assert [version for version, _ in batches] == sorted(version for version, _ in batches)
    return sorted((version, key) for version, batch in batches for key in batch.column("event_id").to_pylist())


def test_what_was_committed_between_two_versions_is_read_and_no_more(open_lake: OpenLake) -> None:
    store = open_lake().create(EVENTS)
    store.append(rows(1, 2, 3), {}, {})
    store.append(none(EVENTS), {}, {"read:t/0": 1})
    store.append(rows(4), {}, {})
    store.append(rows(5, 86_400), {}, {})  # two days: two files
    again = open_lake().create(EVENTS)
    assert again.version() == 4
    assert brought(again, 0) == brought(again, -1) == [(1, "e1"), (1, "e2"), (1, "e3"), *brought(again, 1)]
    assert brought(again, 1) == brought(again, 2) == [(3, "e4"), (4, "e5"), (4, "e86400")]
    assert brought(again, 1, 3) == [(3, "e4")]
    assert brought(again, 4) == []


def test_rows_deleted_after_they_were_read_make_it_all_of_the_table(open_lake: OpenLake) -> None:
    store = open_lake().create(EVENTS)
    for number in range(4):
        store.append(rows(number), {}, {})
    assert store.purge(second(1)) == 1
    found = store.changes(1, store.version())
    assert not found.complete
    assert found.why
    ids = [key for _, batch in found.batches(["event_id"], 10) for key in batch.column("event_id").to_pylist()]
    assert sorted(ids) == ["e1", "e2", "e3"]
    assert brought(store, -1) == [(2, "e1"), (3, "e2"), (4, "e3")]
    assert brought(store, store.version()) == []


def test_rows_deleted_before_they_were_read_take_nothing_else_with_them(open_lake: OpenLake) -> None:
    store = open_lake().create(EVENTS)
    store.append(rows(0), {}, {})
    store.append(rows(1, 2, 3), {}, {})
    assert store.purge(second(-1), [Position("raw", 0, 2)]) == 1
    store.append(rows(4), {}, {})
    assert brought(store, 1) == [(2, "e1"), (2, "e3"), (store.version(), "e4")]


def test_a_table_is_read_as_it_was_at_a_version(open_lake: OpenLake) -> None:
    store = open_lake().create(EVENTS)
    store.append(rows(1), {}, {})
    store.append(rows(2), {}, {})
    for version in range(3):
        assert open_lake().create(EVENTS).dataset(version).to_table().num_rows == version
    with pytest.raises(VersionGone, match=r"events .*version 3"):
        store.dataset(3)


def test_a_version_of_which_a_purge_took_a_file_is_gone(open_lake: OpenLake) -> None:
    store = open_lake().create(EVENTS)
    store.append(rows(1), {}, {})
    store.append(rows(2), {}, {})
    assert store.purge(second(-1), [Position("raw", 0, 2)]) == 1
    assert open_lake().create(EVENTS).dataset(1).to_table().column("event_id").to_pylist() == ["e1"]
    with pytest.raises(VersionGone, match=r"events .*version 2"):
        open_lake().create(EVENTS).dataset(2)
