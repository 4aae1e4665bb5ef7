"""Letters are sent again, each once, whatever is cut off in between."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Position, RedactedEvent
from schemas.tables import REPLAYS
from streams.brokers import largest_record_bytes
from streams.errors import StreamError
from streams.letters.index import Index, Letter, Selection, letter_id
from streams.letters.journal import Journal, Sending
from streams.letters.keyring import Keyring
from streams.letters.originals import CHUNK_LETTERS
from streams.letters.replay import Replayer, Report, plan
from streams.redaction.sealing import key_id, new_key_pair
from streams.reentry import Origin, letter_of, origin_of
from tests.events import NOW_MS, redacted
from tests.fakes import FakeLake
from tests.letters import CODEC, PAIR, SETTINGS, TOPIC_IDS, Topics, put, put_events, sealed_letter, thumb
from tests.outcomes import letter

KEYS = Keyring([PAIR.private])
NOW = datetime.now(UTC)


def letters(lake: FakeLake) -> list[Letter]:
    return list(Index(lake).letters(Selection()))


def replay(lake: FakeLake, topics: Topics, keys: Keyring = KEYS, again: bool = False, now: datetime = NOW) -> Report:
    index = Index(lake)
    planned = plan(index.letters(Selection()), SETTINGS, keys, again, now)
    return Replayer(lake, index, SETTINGS, CODEC, keys, topics, topics, TOPIC_IDS).send(planned.send)


def refused(lake: FakeLake, **options: Any) -> list[str]:
    options = {"keys": KEYS, "again": False, "now": NOW, **options}
    return [why_not for _, why_not in plan(letters(lake), SETTINGS, **options).refused]


def sent_ids(topics: Topics) -> list[str]:
    return sorted(letter_of(record.headers) or "" for record in topics.records)


def test_a_letter_of_redact_comes_in_again_byte_for_byte_with_its_origin() -> None:
    lake, topics = FakeLake(), Topics()
    put(lake, sealed_letter(b"\x00poison", 3, topic="feedback.acme", attempts=2))
    assert replay(lake, topics) == Report(sent=1)
    (record,) = topics.records
    assert (record.topic, record.value) == ("feedback.reentry", b"\x00poison")
    assert origin_of(record.headers) == Origin("feedback.acme", NOW_MS + 3_000, 2)
    assert letter_of(record.headers) == letter_id(Position("raw", 0, 3))


def test_a_letter_of_curate_goes_to_the_topic_of_what_was_let_in_before_keyed_by_its_interaction() -> None:
    lake, topics = FakeLake(), Topics()
    event = redacted("e", interaction_id="i7")
    put(lake, sealed_letter(event, stage="curate", topic="feedback.redacted"))
    replay(lake, topics)
    (record,) = topics.records
    assert (record.topic, record.key, record.partition) == ("feedback.replay", b"t/i7", -1)
    assert CODEC.decode(record.value, RedactedEvent) == event


def test_where_a_letter_came_in_again_is_noted_and_it_is_not_sent_twice() -> None:
    lake, topics = FakeLake(), Topics()
    put(lake, sealed_letter(b"poison", 0), sealed_letter(b"poison", 1))
    replay(lake, topics)
    assert [one.state for one in letters(lake)] == ["sent", "sent"]
    assert [one.again for one in letters(lake)] == [Position("reentry-id", 0, 1), Position("reentry-id", 0, 0)]
    assert all(why_not.startswith("was sent again and may be on its way") for why_not in refused(lake))
    assert len(refused(lake)) == 2
    assert replay(lake, topics) == Report()
    assert len(topics.records) == 2


def test_after_a_rotation_each_letter_is_opened_with_its_own_key() -> None:
    lake, topics = FakeLake(), Topics()
    old, new = new_key_pair(), new_key_pair()
    put(lake, sealed_letter(b"old", 0, [old.public]), sealed_letter(b"new", 1, [new.public]))
    assert replay(lake, topics, Keyring([new.private, old.private])).sent == 2
    assert [record.value for record in topics.records] == [b"old", b"new"]


def test_what_no_key_opens_is_left_alone_and_told_by_key() -> None:
    lake, stranger = FakeLake(), new_key_pair()
    put(lake, sealed_letter(b"poison", 0))
    (why_not,) = refused(lake, keys=Keyring([stranger.private]))
    assert why_not == f"is sealed to {key_id(PAIR.public)}; the key files have {key_id(stranger.public)}"
    assert refused(lake, keys=None) == []


@pytest.mark.parametrize(
    ("fields", "why_not"),
    [
        ({"topic": "feedback.gone"}, "none of MILLRACE_SOURCES"),
        ({"size_bytes": largest_record_bytes(SETTINGS)}, "larger than Kafka takes"),
    ],
)
def test_what_could_only_fail_again_is_left_alone(fields: dict[str, Any], why_not: str) -> None:
    lake = FakeLake()
    put(lake, msgspec.structs.replace(sealed_letter(b"poison", 0), **fields))
    assert why_not in refused(lake)[0]


def test_a_letter_of_curate_is_sent_whatever_the_sources() -> None:
    lake = FakeLake()
    put(lake, sealed_letter(redacted("e"), stage="curate", topic="gone.redacted"))
    assert refused(lake) == []


def test_a_letter_that_failed_again_is_left_alone_and_its_successor_is_sent() -> None:
    lake, topics = FakeLake(), Topics()
    put(lake, sealed_letter(b"poison", 0))
    replay(lake, topics)
    put(lake, sealed_letter(b"poison", entry=Position("reentry-id", 0, 0), attempts=2))
    assert refused(lake) == ["failed again and is another letter now"]
    assert replay(lake, topics).sent == 1
    origin = origin_of(topics.records[1].headers)
    assert origin is not None
    assert origin.attempts == 2


def test_an_event_that_its_app_sent_again_in_the_meantime_is_not_sent_and_counts_as_replayed() -> None:
    lake, topics = FakeLake(), Topics()
    put(
        lake,
        sealed_letter(thumb("e1"), 0),
        sealed_letter(thumb("e2"), 1),
        sealed_letter(thumb("e1"), 2, topic="feedback.acme"),
    )
    put_events(lake, redacted("e1", at=9))
    assert replay(lake, topics) == Report(sent=2, in_lake=1)
    assert [one.state for one in letters(lake)] == ["sent", "sent", "replayed"]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("kafka_has_it", "again", "sent"), [(True, True, 0), (False, True, 1), (False, False, 0)])
def test_what_came_to_nothing_is_sent_once_more_only_if_asked_for_and_once_kafka_has_it_no_more(
    known: bool, kafka_has_it: bool, again: bool, sent: int
) -> None:
    lake, topics = FakeLake(), Topics()
    put(lake, sealed_letter(b"poison", 0))
    if known:
        replay(lake, topics)
    else:
        lake.failures[REPLAYS.name] = ["", "before"]
        with pytest.raises(StreamError):
            replay(lake, topics)
    if not kafka_has_it:
        topics.records.clear()
    assert replay(lake, topics, again=again, now=NOW + timedelta(days=4)).sent == sent


@pytest.mark.parametrize(("kafka_has_it", "report"), [(True, Report(on_the_way=1)), (False, Report(sent=1))])
def test_of_a_letter_whose_sender_was_cut_off_the_topic_tells_whether_it_went_out(
    kafka_has_it: bool, report: Report
) -> None:
    lake, topics = FakeLake(), Topics()
    put(lake, sealed_letter(b"poison", 0))
    lake.failures[REPLAYS.name] = ["", "before"]
    with pytest.raises(StreamError, match="run this again"):
        replay(lake, topics)
    if not kafka_has_it:
        topics.records.clear()
    assert replay(lake, topics) == report
    assert len(topics.records) == 1
    assert letters(lake)[0].again == Position("reentry-id", 0, 0)


def test_a_letter_that_cannot_be_opened_is_told_and_the_others_are_sent() -> None:
    lake, topics = FakeLake(), Topics()
    damaged = sealed_letter(b"damaged", 0)
    put(lake, msgspec.structs.replace(damaged, original=b"x" * 60), sealed_letter(b"whole", 1))
    report = replay(lake, topics)
    assert report.sent == 1
    assert report.unopened == [(letter_id(damaged.entry), "the sealed copy is damaged")]
    assert [record.value for record in topics.records] == [b"whole"]


def test_many_letters_are_sent_a_few_at_a_time_each_noted_before_the_next() -> None:
    lake, topics = FakeLake(), Topics()
    put(lake, *(sealed_letter(b"poison", at) for at in range(CHUNK_LETTERS + 1)))
    heard: list[tuple[int, int]] = []
    Replayer(lake, Index(lake), SETTINGS, CODEC, KEYS, topics, topics, TOPIC_IDS).send(
        letters(lake), lambda done, of: heard.append((done, of))
    )
    assert heard == [(CHUNK_LETTERS, CHUNK_LETTERS + 1), (CHUNK_LETTERS + 1, CHUNK_LETTERS + 1)]
    assert [commit.num_rows for commit in lake.tables[REPLAYS.name].commits] == [CHUNK_LETTERS] * 2 + [1] * 2


def test_of_two_that_send_at_the_same_time_one_is_told_so() -> None:
    lake, topics = FakeLake(), Topics()
    put(lake, sealed_letter(b"poison", 0))
    one = Replayer(lake, Index(lake), SETTINGS, CODEC, KEYS, topics, topics, TOPIC_IDS)
    other = Replayer(lake, Index(lake), SETTINGS, CODEC, KEYS, topics, topics, TOPIC_IDS)
    chosen = letters(lake)
    one.send(chosen)
    with pytest.raises(StreamError, match="at the same time"):
        other.send(chosen)
    assert len(topics.records) == 1


def test_only_topics_with_letters_in_doubt_are_read_and_only_from_when_they_were_sent() -> None:
    lake, topics = FakeLake(), Topics()
    put(lake, sealed_letter(b"poison", 0), sealed_letter(redacted("e"), 1, stage="curate"))
    replay(lake, topics)
    assert topics.asked == []
    put(lake, sealed_letter(b"poison", 2))
    sent_at = NOW - timedelta(hours=1)
    Journal(lake).note([Sending(Position("raw", 0, 2), "feedback.reentry")], sent_at)
    replay(lake, topics)
    assert topics.asked == [("feedback.reentry", int(sent_at.timestamp() * 1_000))]


@settings(deadline=None, max_examples=15)
@given(
    count=st.integers(1, 8),
    crashes=st.lists(st.integers(0, 12), max_size=4),
    failures=st.lists(st.sampled_from(["", "", "", "away", "before", "after"]), max_size=8),
)
def test_cut_off_anywhere_and_run_again_until_done_every_letter_is_sent_exactly_once(
    count: int, crashes: list[int], failures: list[str]
) -> None:
    lake = FakeLake()
    produced = itertools.count()
    topics = Topics(lambda: next(produced) in crashes)
    put(lake, *(sealed_letter(b"poison", at, stage=("redact", "curate")[at % 2]) for at in range(count)))
    lake.failures[REPLAYS.name] = failures
    for _ in range(len(crashes) + len(failures) + 1):
        try:
            replay(lake, topics)
        except (StreamError, ConnectionResetError):
            continue
    assert replay(lake, topics) == Report()
    assert sent_ids(topics) == sorted(letter_id(letter(at).entry) for at in range(count))
    assert {one.state for one in letters(lake)} == {"sent"}
    assert all(one.again is not None for one in letters(lake))
