"""What a table recognises as seen: positions exactly, keys within a window."""

from __future__ import annotations

import pytest

from streams.lake.ports import Lane, ReadPartition, entry_id, lanes, read_id
from streams.replays import KeyWindow, Progress, key_hash

READ = ReadPartition("T", "curated", 3)
RAW = Lane("raw", 0)
OTHER = Lane("raw", 1)


def progress(**watermarks: int) -> Progress:
    return Progress(READ, watermarks, 0)


@pytest.mark.parametrize(("entry_offset", "new"), [(4, False), (5, False), (6, True)])
def test_positions_at_or_below_the_highest_seen_are_replays(entry_offset: int, new: bool) -> None:
    seen = progress(**{entry_id(READ, RAW): 5})
    assert seen.is_new(10, RAW, entry_offset) is new


def test_offset_zero_is_a_position_like_any_other() -> None:
    seen = progress()
    assert seen.is_new(0, RAW, 0)
    assert not seen.is_new(1, RAW, 0)


def test_entry_partitions_are_followed_apart() -> None:
    seen = progress()
    assert seen.is_new(0, RAW, 9)
    assert seen.is_new(1, OTHER, 3)
    assert not seen.is_new(2, RAW, 3)


def test_the_watermark_goes_beyond_replays() -> None:
    seen = progress(**{entry_id(READ, RAW): 5, read_id(READ): 7})
    seen.next = 7
    assert not seen.is_new(7, RAW, 5)
    assert seen.ahead == 1
    assert seen.watermarks() == {read_id(READ): 8}


def test_a_commit_sets_what_was_raised_and_only_that() -> None:
    seen = progress(**{entry_id(READ, OTHER): 1})
    seen.is_new(0, RAW, 4)
    seen.is_new(1, OTHER, 1)
    assert seen.watermarks() == {read_id(READ): 2, entry_id(READ, RAW): 4}


def test_what_was_seen_after_an_attempt_stays_to_be_committed() -> None:
    seen = progress()
    seen.is_new(0, RAW, 4)
    seen.is_new(1, OTHER, 1)
    attempt = seen.watermarks()
    seen.is_new(2, RAW, 5)
    seen.landed(attempt)
    assert seen.committed == 2
    assert seen.ahead == 1
    assert seen.watermarks() == {read_id(READ): 3, entry_id(READ, RAW): 5}


def test_without_a_watermark_nothing_is_ahead_before_the_first_record() -> None:
    fresh = Progress(READ, {}, 40)
    assert (fresh.committed, fresh.next, fresh.ahead) == (None, 40, 0)
    fresh.is_new(40, RAW, 0)
    assert fresh.ahead == 1


def test_watermarks_are_found_again_by_name() -> None:
    named = {entry_id(READ, lane): number for number, lane in enumerate((RAW, OTHER, Lane("redact:raw", 12)))}
    assert lanes(READ, named) == {RAW: 0, OTHER: 1, Lane("redact:raw", 12): 2}


def test_watermarks_of_other_partitions_and_streams_are_none_of_ours() -> None:
    for other in (READ._replace(partition=33), READ._replace(partition=1), READ._replace(stream="redacted")):
        assert lanes(READ, {entry_id(other, RAW): 7}) == {}


def test_the_topic_s_own_id_does_not_matter_to_entry_watermarks() -> None:
    assert entry_id(READ, RAW) == entry_id(READ._replace(topic_id="another broker's"), RAW)
    assert read_id(READ) != read_id(READ._replace(topic_id="another broker's"))


def test_the_window_forgets_the_oldest_keys() -> None:
    window = KeyWindow(2)
    window.add([b"a", b"b"])
    window.add([b"a"])
    assert (b"a" in window, b"b" in window) == (True, True)
    window.add([b"c"])
    assert (b"a" in window, b"b" in window, b"c" in window) == (False, True, True)
    assert len(window) == 2


def test_keys_do_not_run_into_each_other() -> None:
    assert key_hash(("a", "bc")) != key_hash(("ab", "c"))
    assert key_hash(("raw", 1, 11)) != key_hash(("raw", 11, 1))
    assert key_hash(("raw", 1)) == key_hash(("raw", 1))
