from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from millrace_client.disk import Adopted, DiskSpool
from millrace_client.events import Record
from millrace_client.segments import HEADER_BYTES, frame, unframe
from millrace_client.spool import VITAL_SHARE, MemorySpool, Spool

ROOM = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def records(*payloads: bytes) -> list[Record]:
    return [Record(payload) for payload in payloads]


def everything(spool: Spool) -> list[bytes]:
    """All that waits, oldest first; it is gone afterwards."""
    found: list[bytes] = []
    while batch := spool.read(3, ROOM):
        found += batch.events
        assert spool.settle(batch, ())
    return found


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def crash(spool: DiskSpool) -> None:
    """End like a killed process: the kernel closes the files, nothing else happens."""
    for segment in spool._segments:
        segment.release()


@given(st.binary().filter(lambda payload: b"\n" not in payload))
def test_a_frame_gives_its_payload_back_and_no_part_of_it_does(payload: bytes) -> None:
    line = frame(payload)
    assert unframe(line[:-1]) == payload
    assert all(unframe(line[:length]) is None for length in range(len(line) - 1))


class CrashingProcesses(RuleBasedStateMachine):
    """Processes that come and go on one folder; the model is the list of what waits, with where each record
    ends."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.spool = DiskSpool(self.folder, ROOM, self.later)
        self.time_ns = 0
        self.waiting: list[tuple[bytes, Path, int]] = []
        self.serial = 0

    def later(self) -> int:
        self.time_ns += 1
        return self.time_ns

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.spool.close(1.0)
            shutil.rmtree(self.folder)

    @rule(sizes=st.lists(st.integers(0, 40_000), min_size=1, max_size=6))
    def append(self, sizes: list[int]) -> None:
        for size in sizes:
            self.serial += 1
            payload = b"%d:" % self.serial + b"x" * size
            appended = self.spool.append(records(payload))
            if appended.kept:
                path = files(self.folder)[-1]
                self.waiting.append((payload, path, path.stat().st_size))
            else:
                assert appended.refused == 1
                assert sum(path.stat().st_size for path in files(self.folder)) > ROOM * 0.9

    @rule(events=st.integers(1, 5), again=st.none() | st.integers(0, 4))
    def deliver(self, events: int, again: int | None) -> None:
        batch = self.spool.read(events, ROOM)
        assert (batch is None) == (not self.waiting)
        if batch is None:
            return
        count = len(batch.events)
        assert list(batch.events) == [payload for payload, _, _ in self.waiting[:count]]
        without_verdict = [] if again is None else list(batch.events[again : again + 1])
        assert self.spool.settle(batch, without_verdict)
        del self.waiting[:count]
        for payload in without_verdict:
            path = files(self.folder)[-1]
            self.waiting.append((payload, path, path.stat().st_size))

    @rule(cut=st.integers(0, 60_000), garbage=st.binary(max_size=40))
    def crash_and_reopen(self, cut: int, garbage: bytes) -> None:
        crash(self.spool)
        if files(self.folder):
            path = files(self.folder)[-1]
            size = max(0, path.stat().st_size - cut)
            lost = path.read_bytes()[size:]
            os.truncate(path, size)
            if lost and garbage[:1] == lost[:1]:
                garbage = bytes([garbage[0] ^ 1]) + garbage[1:]  # else it may make the record whole again
            self.waiting = [kept for kept in self.waiting if kept[1] != path or kept[2] <= size]
            with path.open("ab") as torn:
                torn.write(garbage)
        self.reopen()

    @rule()
    def close_and_reopen(self) -> None:
        self.spool.close(1.0)
        self.reopen()

    def reopen(self) -> None:
        self.spool = DiskSpool(self.folder, ROOM, self.later)
        assert self.spool.adopt().records == len(self.waiting)

    @invariant()
    def counts_what_waits(self) -> None:
        if hasattr(self, "spool"):
            assert self.spool.waiting().events == len(self.waiting)


CrashingProcesses.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestEveryWholeRecordSurvivesAnyCrashInOrder = CrashingProcesses.TestCase


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=6),
    at=st.integers(0, 400),
    flip=st.integers(1, 255),
)
def test_a_damaged_byte_costs_no_more_than_the_records_that_it_touches(sizes: list[int], at: int, flip: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        spool = DiskSpool(Path(name), ROOM)
        payloads = [b"%d:" % number + b"x" * size for number, size in enumerate(sizes)]
        spool.append(records(*payloads))
        crash(spool)
        (path,) = files(Path(name))
        content = bytearray(path.read_bytes())
        at %= len(content)
        content[at] ^= flip
        path.write_bytes(content)
        heir = DiskSpool(Path(name), ROOM)
        adopted = heir.adopt()
        found = everything(heir)
        assert adopted.records == len(found) >= len(payloads) - 2  # a damaged line feed joins two lines
        assert [payload for payload in payloads if payload in found] == found
        assert (adopted.torn > 0) == (len(found) < len(payloads))


@pytest.fixture(params=["disk", "memory"])
def spool(request: pytest.FixtureRequest, folder: Path) -> Iterator[Spool]:
    if request.param == "memory":
        yield MemorySpool(10_000)
        return
    disk = DiskSpool(folder, 10_000)
    yield disk
    disk.close(1.0)


def test_what_is_read_stays_until_it_is_settled(spool: Spool) -> None:
    spool.append(records(b"1", b"2"))
    first, second = spool.read(10, ROOM), spool.read(10, ROOM)
    assert first is not None
    assert second is not None
    assert first.events == second.events == (b"1", b"2")
    assert spool.settle(first, ())
    assert spool.read(10, ROOM) is None
    assert spool.waiting().events == 0


def test_a_batch_ends_at_its_number_of_events(spool: Spool) -> None:
    spool.append(records(b"1", b"2", b"3"))
    batch = spool.read(2, ROOM)
    assert batch is not None
    assert batch.events == (b"1", b"2")


@pytest.mark.parametrize(("max_bytes", "count"), [(1, 1), (9, 1), (10, 2), (14, 2), (15, 3)])
def test_a_batch_ends_at_its_bytes_but_has_one_event_at_least(spool: Spool, max_bytes: int, count: int) -> None:
    spool.append(records(b"1234", b"1234", b"1234"))
    batch = spool.read(10, max_bytes)
    assert batch is not None
    assert len(batch.events) == count


def test_what_got_no_verdict_goes_to_the_back_of_the_line(spool: Spool) -> None:
    spool.append(records(b"1", b"2", b"3", b"4"))
    batch = spool.read(3, ROOM)
    assert batch is not None
    assert spool.settle(batch, [b"1", b"3"])
    assert spool.waiting().events == 3
    assert everything(spool) == [b"4", b"1", b"3"]


def test_a_full_spool_refuses_the_newest_and_keeps_the_oldest(spool: Spool) -> None:
    payloads = [b"%03d" % number + b"x" * 97 for number in range(200)]
    appended = spool.append(records(*payloads))
    assert 0 < appended.kept < 100
    assert appended.kept + appended.refused == 200
    assert everything(spool) == payloads[: appended.kept]


def test_a_full_spool_has_room_again_once_something_was_delivered(spool: Spool) -> None:
    payload = b"x" * 100
    spool.append(records(*[payload] * 200))
    assert spool.append(records(payload)).refused == 1
    everything(spool)
    assert spool.append(records(payload)).kept == 1


def test_a_full_spool_has_room_for_a_persons_no(spool: Spool) -> None:
    spool.append(records(*[b"x" * 100] * 200))
    vital = [Record(b"n" * 20, vital=True)] * 100
    appended = spool.append(vital)
    assert 0 < appended.kept < 100
    assert appended.kept * 20 <= 10_000 // VITAL_SHARE + 100


def test_the_folder_never_grows_beyond_its_bound_for_all_processes_together(folder: Path) -> None:
    spools = [DiskSpool(folder, 10_000) for _ in range(3)]
    for _ in range(100):
        for spool in spools:
            spool.append([*records(b"x" * 90), Record(b"n", vital=True)])
            assert sum(path.stat().st_size for path in files(folder)) <= 10_000 + 3 * HEADER_BYTES
    assert sum(spool.waiting().events for spool in spools) > 80
    for spool in spools:
        spool.close(1.0)


def test_a_delivered_spool_holds_no_bytes_though_it_goes_on(folder: Path) -> None:
    spool = DiskSpool(folder, ROOM)
    for _ in range(5):
        spool.append(records(b"x" * 1000))
        everything(spool)
        assert [path.stat().st_size for path in files(folder)] == [HEADER_BYTES]
    spool.close(1.0)
    assert files(folder) == []


def test_the_room_of_a_long_backlog_comes_free_in_parts(folder: Path) -> None:
    spool = DiskSpool(folder, ROOM)
    spool.append(records(*[b"x" * 1000] * 800))
    full = sum(path.stat().st_size for path in files(folder))
    for _ in range(10):
        batch = spool.read(40, ROOM)
        assert batch is not None
        spool.settle(batch, ())
    assert sum(path.stat().st_size for path in files(folder)) < full * 2 / 3
    spool.close(1.0)


def test_a_file_cut_off_within_what_was_delivered_holds_nothing_and_is_deleted(folder: Path) -> None:
    spool = DiskSpool(folder, ROOM)
    spool.append(records(b"1", b"2", b"3"))
    batch = spool.read(2, ROOM)
    assert batch is not None
    spool.settle(batch, ())
    crash(spool)
    os.truncate(files(folder)[0], HEADER_BYTES + 5)
    assert DiskSpool(folder, ROOM).adopt() == Adopted(0, 0)
    assert files(folder) == []


def test_the_folder_and_its_files_are_the_owners_only(folder: Path) -> None:
    spool = DiskSpool(folder, ROOM)
    spool.append(records(b"1"))
    (path,) = files(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    spool.close(1.0)


def test_a_living_process_is_not_robbed_and_an_ended_one_is_inherited(folder: Path) -> None:
    owner, other = DiskSpool(folder, ROOM), DiskSpool(folder, ROOM)
    owner.append(records(b"1", b"2"))
    assert other.adopt().records == 0
    batch = owner.read(1, ROOM)
    assert batch is not None
    owner.settle(batch, ())
    crash(owner)
    assert other.adopt().records == 1
    assert other.adopt().records == 0
    assert everything(other) == [b"2"]
    assert files(folder) == []
    other.close(1.0)


def test_two_heirs_share_an_inheritance_without_overlap(folder: Path) -> None:
    for number in range(6):
        ended = DiskSpool(folder, ROOM)
        ended.append(records(b"%d" % number))
        crash(ended)
    heirs = [DiskSpool(folder, ROOM), DiskSpool(folder, ROOM)]
    assert sum(heir.adopt().records for heir in heirs) == 6
    assert sorted(everything(heirs[0]) + everything(heirs[1])) == [b"%d" % number for number in range(6)]


def test_what_was_inherited_goes_before_what_is_new(folder: Path) -> None:
    spool, ended = DiskSpool(folder, ROOM), DiskSpool(folder, ROOM)
    ended.append(records(b"old"))
    spool.append(records(b"new"))
    crash(ended)
    spool.adopt()
    assert everything(spool) == [b"old", b"new"]
    spool.close(1.0)


def test_a_file_through_a_link_is_not_adopted(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    target = tmp_path / "elsewhere"
    target.write_bytes(frame(b"planted"))
    (folder / "1.spool").symlink_to(target)
    assert DiskSpool(folder, ROOM).adopt().records == 0
    assert target.exists()


def test_a_disk_that_fails_says_which_records_it_did_not_keep(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = DiskSpool(folder, ROOM)
    assert spool.append(records(b"1")).kept == 1

    def broken(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("millrace_client.segments.os.fsync", broken)
        failed: Sequence[Record] = spool.append(records(b"2", b"3")).failed
    assert [record.payload for record in failed] == [b"2", b"3"]
    assert spool.append(records(b"4")).kept == 1
    crash(spool)
    heir = DiskSpool(folder, ROOM)
    heir.adopt()
    assert everything(heir) == [b"1", b"4"]


def test_a_settled_batch_stays_whole_if_its_rest_cannot_be_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = DiskSpool(folder, ROOM)
    spool.append(records(b"1", b"2"))
    batch = spool.read(10, ROOM)
    assert batch is not None

    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("millrace_client.segments.os.fsync", broken)
        assert not spool.settle(batch, [b"2"])
    assert everything(spool) == [b"1", b"2"]
    spool.close(1.0)


def test_a_spool_that_was_closed_takes_and_settles_nothing(folder: Path) -> None:
    spool = DiskSpool(folder, ROOM)
    spool.append(records(b"1"))
    batch = spool.read(10, ROOM)
    assert batch is not None
    spool.close(1.0)
    assert not spool.settle(batch, ())
    assert spool.append(records(b"2")).failed == tuple(records(b"2"))
    assert spool.adopt().records == 0
    heir = DiskSpool(folder, ROOM)
    heir.adopt()
    assert everything(heir) == [b"1"]


def test_a_file_system_without_locks_keeps_nothing_and_is_not_littered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("millrace_client.segments.fcntl.flock", unsupported)
    assert len(DiskSpool(folder, ROOM).append(records(b"1")).failed) == 1
    assert files(folder) == []


def test_a_folder_that_cannot_be_made_keeps_nothing_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    spool = DiskSpool(tmp_path / "file" / "spool", ROOM)
    assert spool.adopt().records == 0
    assert not spool.has_leftovers()
    assert len(spool.append(records(b"1")).failed) == 1
