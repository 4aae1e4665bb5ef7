"""What the Delta adapter builds on, and what it makes of delta-rs's answers."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import deltalake
import deltalake.exceptions
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from schemas.tables import DEAD_LETTERS, EVENTS, SAMPLES, Table, arrow_table, dead_letter_row, event_row
from streams.errors import CommitStateUnknown, FencedError, LakeUnavailable, SettingError, VersionGone
from streams.lake import delta
from streams.lake.delta import DeltaLake, DeltaTableStore, storage_options
from tests.events import NOW_US, interaction, redacted
from tests.outcomes import letter

LOG = "_delta_log"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def store(root: Path) -> DeltaTableStore:
    return DeltaLake(str(root)).create(EVENTS)


def rows(*numbers: int) -> pa.Table:
    return arrow_table(EVENTS, [event_row(redacted(f"e{number}", at=number)) for number in numbers])


def commit(path: Path, transactions: list[Transaction], data: pa.Table | None = None) -> None:
    """A commit by somebody else."""
    write_deltalake(
        DeltaTable(path),
        rows() if data is None else data,
        mode="append",
        commit_properties=CommitProperties(app_transactions=transactions),
    )


def first_commits(monkeypatch: pytest.MonkeyPatch, other: Callable[[], object]) -> None:
    """Let somebody else commit between our look at the table and our commit."""

    def interrupted(*arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(delta, "write_deltalake", write_deltalake)
        other()
        write_deltalake(*arguments, **options)

    monkeypatch.setattr(delta, "write_deltalake", interrupted)


def test_delta_rs_takes_a_lower_version_from_whoever_comes_late(store: DeltaTableStore, root: Path) -> None:
    store.append(rows(), {}, {"read:t/0": 9})
    commit(root / "events", [Transaction("read:t/0", 3)])
    assert DeltaTable(root / "events").transaction_version("read:t/0") == 3


def test_a_commit_of_the_same_watermark_in_between_is_an_unknown_outcome_and_does_not_land(
    store: DeltaTableStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_commits(monkeypatch, lambda: commit(root / "events", [Transaction("read:t/0", 2)], rows(1)))
    with pytest.raises(CommitStateUnknown):
        store.append(rows(2), {"read:t/0": None}, {"read:t/0": 3})
    assert store.watermarks() == {"read:t/0": 2}
    assert store.recent_keys(10) == [("t", "e1")]
    with pytest.raises(FencedError):
        store.append(rows(2), {"read:t/0": None}, {"read:t/0": 3})


def test_a_commit_of_other_watermarks_in_between_is_retried_upon(
    store: DeltaTableStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_commits(monkeypatch, lambda: commit(root / "events", [Transaction("read:t/1", 2)], rows(1)))
    store.append(rows(2), {"read:t/0": None}, {"read:t/0": 3})
    assert store.watermarks() == {"read:t/0": 3, "read:t/1": 2}
    assert store.size().rows == 2


def test_compaction_in_between_does_not_stand_in_the_way(
    store: DeltaTableStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        store.append(rows(number), {}, {"read:t/0": number})
    first_commits(monkeypatch, lambda: DeltaTable(root / "events").optimize.compact())
    store.append(rows(3), {"read:t/0": 2}, {"read:t/0": 3})
    assert store.size().rows == 4
    assert store.watermarks() == {"read:t/0": 3}
    assert sorted(store.recent_keys(10)) == [("t", f"e{number}") for number in range(4)]


def test_watermarks_survive_checkpoints_and_the_end_of_the_log_before_them(root: Path) -> None:
    store = DeltaLake(str(root)).create(EVENTS)
    expected = {f"entry:redacted/0/raw/{number}": number * 1_000_000_007 for number in range(30)}
    for name, offset in expected.items():
        store.append(rows(), {}, {name: offset})
    DeltaTable(root / "events").create_checkpoint()
    store.append(rows(), {}, {"read:t/0": 1})
    for commit_file in sorted((root / "events" / LOG).glob("*.json"))[:-1]:
        commit_file.unlink()
    fresh = DeltaLake(str(root)).create(EVENTS)
    assert fresh.watermarks() == {**expected, "read:t/0": 1} == store.watermarks()


def test_watermarks_are_those_that_delta_rs_itself_reads(root: Path) -> None:
    store = DeltaLake(str(root)).create(EVENTS)
    DeltaTable(root / "events").alter.set_table_properties({"delta.checkpointInterval": "10"})
    for number in range(35):
        names = {f"read:t/{number % 4}": number, f"entry:redacted/{number % 3}/raw/1": number}
        store.append(rows(), {}, names)
    assert (root / "events" / LOG / "_last_checkpoint").exists()
    handle = DeltaTable(root / "events")
    for watermarks in (store.watermarks(), DeltaLake(str(root)).create(EVENTS).watermarks()):
        assert watermarks == {name: handle.transaction_version(name) for name in watermarks}
        assert len(watermarks) == 7


def test_a_store_that_stays_open_notices_that_its_table_was_made_anew(store: DeltaTableStore, root: Path) -> None:
    for number in range(3):
        store.append(rows(number), {}, {})
    before = store.table_id()
    shutil.rmtree(root)
    for number in range(5):
        DeltaLake(str(root)).create(EVENTS).append(rows(number), {}, {})
    assert store.table_id() != before
    assert store.size()[:2] == (5, 5)


def test_a_watermark_never_expires(store: DeltaTableStore, root: Path) -> None:
    store.append(rows(1), {}, {"read:t/0": 1})
    lines = (root / "events" / LOG / f"{1:020d}.json").read_text().splitlines()
    assert {"txn": {"appId": "read:t/0", "version": 1}} in map(json.loads, lines)


def test_a_table_on_which_spark_would_let_watermarks_expire_is_refused(root: Path) -> None:
    DeltaLake(str(root)).create(EVENTS)
    DeltaTable(root / "events").alter.set_table_properties({"delta.setTransactionRetentionDuration": "interval 1 days"})
    with pytest.raises(SettingError, match="unset it"):
        DeltaLake(str(root)).create(EVENTS).watermarks()


def test_no_text_of_an_event_is_kept_in_the_log(store: DeltaTableStore, root: Path) -> None:
    event = redacted("e1", interaction=interaction("my question", "my answer"))
    store.append(arrow_table(EVENTS, [event_row(event)]), {}, {})
    log = (root / "events" / LOG / f"{1:020d}.json").read_text()
    assert "my question" not in log
    assert "my answer" not in log
    assert '\\"entry_offset\\":0' in log


def test_a_table_made_before_a_column_came_takes_rows_with_it(root: Path) -> None:
    older = Table("events", EVENTS.schema.remove(EVENTS.schema.get_field_index("pii")), EVENTS.key, EVENTS.doc)
    DeltaLake(str(root)).create(older).append(rows(1).select(older.schema.names), {}, {"read:t/0": 1})
    newer = DeltaLake(str(root)).create(EVENTS)
    newer.append(rows(2), {"read:t/0": 1}, {"read:t/0": 2})
    assert newer.dataset().to_table().column("pii").to_pylist() in ([None, []], [[], None])
    DeltaLake(str(root)).create(older).append(rows(3).select(older.schema.names), {"read:t/0": 2}, {"read:t/0": 3})
    assert newer.size().rows == 3


def test_files_are_read_for_keys_only_up_to_the_bound(store: DeltaTableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        store.append(rows(number), {}, {})
    monkeypatch.setattr(delta, "KEY_FILES", 2)
    assert store.recent_keys(100) == [("t", "e3"), ("t", "e4")]


def test_two_that_make_a_table_at_once_get_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = DeltaLake._make

    def late(lake: DeltaLake, table: Table) -> None:
        make(lake, table)
        make(lake, table)

    monkeypatch.setattr(DeltaLake, "_make", late)
    assert DeltaLake(str(root)).create(SAMPLES).watermarks() == {}


OUTSIDE = [OSError, *(getattr(deltalake.exceptions, name) for name in deltalake.exceptions.__all__)]


@pytest.mark.parametrize("error", OUTSIDE)
def test_every_error_of_delta_rs_while_reading_is_a_lake_that_is_away(
    store: DeltaTableStore, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error("\x1b[31m away\nfor now")

    monkeypatch.setattr(delta, "DeltaTable", fail)
    with pytest.raises(LakeUnavailable, match=r"events: .*away for now"):
        store.watermarks()
    monkeypatch.undo()
    assert store.watermarks() == {}


@pytest.mark.parametrize("error", [*OUTSIDE, ValueError])
def test_every_error_while_writing_is_an_unknown_outcome_whose_text_is_not_shown(
    store: DeltaTableStore, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error("the value of a row")

    monkeypatch.setattr(delta, "write_deltalake", fail)
    with pytest.raises(CommitStateUnknown) as caught:
        store.append(rows(1), {}, {})
    assert "value" not in str(caught.value)
    monkeypatch.undo()
    store.append(rows(1), {}, {})


def test_a_folder_needs_no_options() -> None:
    assert storage_options("/data/lake", {"AWS_REGION": "r"}) == {}


def test_s3_gets_the_environment_conditional_writes_and_bounded_waits() -> None:
    options = storage_options(
        "s3://bucket/lake", {"AWS_ENDPOINT_URL": "http://h:1", "AWS_ACCESS_KEY_ID": "a", "HOME": "/"}
    )
    assert options["AWS_ACCESS_KEY_ID"] == "a"
    assert options["AWS_ALLOW_HTTP"] == "true"
    assert options["AWS_REGION"] == "us-east-1"
    assert options["aws_conditional_put"] == "etag"
    assert options["retry_timeout"] == "20s"
    assert "HOME" not in options


def test_s3_itself_is_asked_for_nothing_that_was_not_said() -> None:
    options = storage_options("s3://bucket/lake", {"AWS_REGION": "eu-west-1"})
    assert options["AWS_REGION"] == "eu-west-1"
    assert "AWS_ALLOW_HTTP" not in options


def marked(*numbers: int) -> pa.Table:
    """Letters that say in their original which they are, too random to be compressed."""
    return arrow_table(DEAD_LETTERS, [dead_letter_row(letter(at, original=mark(at))) for at in numbers])


def mark(number: int) -> bytes:
    return f"mark-{number}-".encode() + os.urandom(64)


def marks(root: Path) -> set[int]:
    """The letters that are in any file of the table, be it named in the log or not."""
    found = set()
    for path in (root / "dead_letters").rglob("*.parquet"):
        if path.parent.name != LOG:
            found |= {int(value.split(b"-")[1]) for value in pq.read_table(path).column("original").to_pylist()}
    return found


def second(number: int) -> datetime:
    return datetime.fromtimestamp(NOW_US / 1e6 + number, UTC)


def test_what_is_purged_is_in_no_file_any_more_also_what_an_earlier_purge_that_was_cut_off_had_left(root: Path) -> None:
    store = DeltaLake(str(root)).create(DEAD_LETTERS)
    store.append(marked(1, 2, 3, 4), {}, {})
    store.append(marked(5), {}, {})
    DeltaTable(root / "dead_letters").delete("entry_offset = 1")
    assert marks(root) == {1, 2, 3, 4, 5}
    assert store.purge(second(3)) == 1
    assert marks(root) == {3, 4, 5}
    DeltaTable(root / "dead_letters").delete("entry_offset = 3")
    DeltaTable(root / "dead_letters").create_checkpoint()
    assert store.purge(second(0)) == 0
    assert marks(root) == {4, 5}


@pytest.mark.parametrize(("days", "stays"), [(6, True), (8, False)])
def test_a_file_that_no_commit_names_is_purged_once_no_writer_can_still_be_about_to_commit_it(
    root: Path, days: int, stays: bool
) -> None:
    store = DeltaLake(str(root)).create(DEAD_LETTERS)
    store.append(marked(1), {}, {})
    (written,) = (root / "dead_letters").glob("day=*/*.parquet")
    orphan = written.with_name("part-of-an-append-that-never-landed.parquet")
    orphan.write_bytes(written.read_bytes())
    os.utime(orphan, (time.time() - days * 86_400,) * 2)
    store.purge(second(0))
    assert orphan.exists() is stays
    assert store.size().rows == 1


def test_a_purge_that_runs_into_appends_tries_again_and_loses_none_of_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, writer = DeltaLake(str(root)).create(DEAD_LETTERS), DeltaLake(str(root)).create(DEAD_LETTERS)
    store.append(marked(1, 5), {}, {})
    delete, tried = DeltaTable.delete, list[str]()

    def interrupted(table: DeltaTable, predicate: str, **options: Any) -> Any:
        tried.append(predicate)
        if len(tried) < 3:
            writer.append(marked(5 + len(tried)), {}, {})
            raise deltalake.exceptions.CommitFailedError("somebody else")
        return delete(table, predicate, **options)

    monkeypatch.setattr(DeltaTable, "delete", interrupted)
    assert store.purge(second(2)) == 1
    assert len(tried) == 3
    assert marks(root) == {5, 6, 7}
    monkeypatch.setattr(delta, "PURGE_TRIES", 2)
    tried.clear()
    with pytest.raises(LakeUnavailable, match="somebody else"):
        store.purge(second(2))


def test_an_append_that_runs_into_a_purge_is_an_unknown_outcome_and_lands_when_tried_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = DeltaLake(str(root)).create(DEAD_LETTERS), DeltaLake(str(root)).create(DEAD_LETTERS)
    store.append(marked(1), {}, {"read:t/0": 1})
    first_commits(monkeypatch, lambda: other.purge(second(2)))
    with pytest.raises(CommitStateUnknown):
        store.append(marked(3), {"read:t/0": 1}, {"read:t/0": 2})
    assert store.watermarks() == {"read:t/0": 1}
    store.append(marked(3), {"read:t/0": 1}, {"read:t/0": 2})
    assert store.watermarks() == {"read:t/0": 2}
    assert marks(root) == {3}


def test_where_the_log_was_cleaned_up_all_is_read_and_what_is_known_of_its_age_is_said(tmp_path: Path) -> None:
    """What the checkpoint alone tells of counts as that old."""
    store = DeltaLake(str(tmp_path)).create(DEAD_LETTERS)
    for at in range(4):
        store.append(arrow_table(DEAD_LETTERS, [dead_letter_row(letter(at))]), {}, {})
    DeltaTable(str(tmp_path / "dead_letters"), version=2).create_checkpoint()
    for version in range(3):
        (tmp_path / "dead_letters" / "_delta_log" / f"{version:020d}.json").unlink()
    again = DeltaLake(str(tmp_path)).create(DEAD_LETTERS)

    def found(after: int) -> list[tuple[int, int]]:
        batches = again.changes(after, again.version()).batches(["entry_offset"], 10)
        return [(version, offset) for version, batch in batches for offset in batch.column(0).to_pylist()]

    assert again.changes(0, 4).why == "the log was cleaned up"
    assert again.changes(-1, 4).complete
    assert sorted(found(0)) == sorted(found(-1)) == [(2, 0), (2, 1), (3, 2), (4, 3)]
    assert again.changes(2, 4).complete
    assert found(2) == [(3, 2), (4, 3)]
    assert again.dataset(2).to_table().num_rows == 2
    with pytest.raises(VersionGone, match="its log was cleaned up"):
        again.dataset(1)


def test_another_operation_that_replaces_rows_brings_them(tmp_path: Path) -> None:
    store = DeltaLake(str(tmp_path)).create(DEAD_LETTERS)
    store.append(arrow_table(DEAD_LETTERS, [dead_letter_row(letter(1))]), {}, {})
    table = DeltaTable(str(tmp_path / "dead_letters"))
    table.update(predicate="entry_offset = 1", updates={"stage": "'curate'"})
    found = store.changes(1, 2)
    assert not found.complete
    assert [batch.column(0).to_pylist() for _, batch in found.batches(["stage"], 10)] == [["curate"]]


def test_a_file_that_a_purge_takes_meanwhile_is_a_lake_that_is_away(tmp_path: Path) -> None:
    store = DeltaLake(str(tmp_path)).create(DEAD_LETTERS)
    store.append(arrow_table(DEAD_LETTERS, [dead_letter_row(letter(1))]), {}, {})
    found = store.changes(-1, 1)
    store.purge(datetime.fromtimestamp(NOW_US / 1e6 + 5, UTC))
    with pytest.raises(LakeUnavailable):
        list(found.batches(["entry_offset"], 10))
    assert list(store.changes(-1, store.version()).batches(["entry_offset"], 10)) == []
