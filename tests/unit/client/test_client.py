from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import NoReturn

import pytest
from millrace_client import Answer, DropReason, FeedbackClient, Stats, Unreachable
from millrace_client.disk import DiskSpool
from millrace_client.events import MAX_EVENT_BYTES, Record
from millrace_client.sender import MAX_BATCH_EVENTS
from millrace_client.spool import Appended
from millrace_client.testing import Event, FakeCollector, verdicts

from tests.unit.client.http_collector import HttpCollector

REFUSED = Unreachable("connect", "ConnectionRefusedError")


class Gate:
    """Something that hangs until the test lets it go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.opened.wait(60)


class HangingCollector(FakeCollector):
    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    def post(self, body: bytes) -> Answer | Unreachable:
        self.gate()
        return super().post(body)


def balanced(stats: Stats) -> bool:
    return stats.taken + stats.adopted == stats.waiting + stats.sent + stats.rejected + sum(stats.dropped.values())


def until(condition: Callable[[], bool]) -> None:
    """Wait for another thread to bring the condition about."""
    for _ in range(60_000):
        if condition():
            return
        threading.Event().wait(0.001)
    raise AssertionError("it never came about")


def test_a_session_over_a_real_socket(collector: HttpCollector, tmp_path: Path) -> None:
    client = FeedbackClient(collector.url, "key", spool_dir=tmp_path / "spool", source="shop")
    answer_id = client.interaction([{"role": "user", "content": "hi"}], output="hello", user="u-1")
    score_id = client.score(answer_id, value="up")
    client.retract(score_id, answer_id)
    assert client.flush(30)
    assert client.stats() == Stats(taken=3, sent=3)
    assert client.close()
    assert [event["interaction_id"] for event in collector.events] == [answer_id] * 3
    assert collector.events[2]["retraction"] == {"of": score_id}
    assert list((tmp_path / "spool").iterdir()) == []


def test_address_and_key_come_from_the_environment(collector: HttpCollector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_COLLECTOR_URL", collector.url)
    monkeypatch.setenv("MILLRACE_API_KEY", "from-env")
    with FeedbackClient() as client:
        client.erase("u-1")
    assert collector.requests[0]["authorization"] == "Bearer from-env"


@pytest.mark.parametrize("durable", [True, False])
def test_a_call_returns_while_the_collector_hangs(tmp_path: Path, durable: bool) -> None:
    collector = HangingCollector()
    client = FeedbackClient(transport=collector, spool_dir=tmp_path if durable else None)
    for _ in range(MAX_BATCH_EVENTS):
        client.score("i", value="up")
    assert collector.gate.reached.wait(60)
    for _ in range(2 * MAX_BATCH_EVENTS):
        client.score("i", value="up")
    until(lambda: client.stats().queued == 0)  # the hanging request does not keep the queue from the spool either
    assert not collector.gate.opened.is_set()
    assert client.stats() == Stats(taken=3 * MAX_BATCH_EVENTS, spooled=3 * MAX_BATCH_EVENTS)
    collector.gate.opened.set()
    assert client.close(60)
    assert len(collector.events) == 3 * MAX_BATCH_EVENTS


@pytest.fixture
def hanging_disk(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr("millrace_client.segments.os.fsync", lambda descriptor: gate())
    return gate


def test_a_call_returns_while_the_disk_hangs(tmp_path: Path, hanging_disk: Gate) -> None:
    client = FeedbackClient(transport=FakeCollector(), spool_dir=tmp_path)
    client.score("i", value="up")
    assert hanging_disk.reached.wait(60)
    for _ in range(1000):
        client.score("i", value="up")
    assert not hanging_disk.opened.is_set()
    assert client.stats() == Stats(taken=1001, queued=1001)
    hanging_disk.opened.set()
    assert client.close(60)
    assert client.stats() == Stats(taken=1001, sent=1001)


def test_the_queue_in_memory_is_bounded_and_its_last_room_is_for_a_persons_no(
    tmp_path: Path, hanging_disk: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millrace_client.outbox.MAX_QUEUE_EVENTS", 32)
    client = FeedbackClient(transport=FakeCollector(), spool_dir=tmp_path)
    client.score("i", value="up")
    assert hanging_disk.reached.wait(60)
    for _ in range(40):
        client.score("i", value="up")
    assert client.stats().dropped == {DropReason.QUEUE_FULL: 10}
    for _ in range(3):
        client.consent(False, user="u-1")
    stats = client.stats()
    assert (stats.queued, stats.dropped) == (33, {DropReason.QUEUE_FULL: 11})
    hanging_disk.opened.set()
    assert client.close(60)
    assert balanced(client.stats())


def test_closing_does_not_wait_for_a_disk_that_hangs_for_ever(
    tmp_path: Path, hanging_disk: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millrace_client.outbox.DISK_GRACE_S", 0.01)
    client = FeedbackClient(transport=FakeCollector(), spool_dir=tmp_path)
    client.score("i", value="up")
    assert hanging_disk.reached.wait(60)
    assert not client.close(0.01)
    hanging_disk.opened.set()


def test_a_full_backlog_is_counted_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    client = FeedbackClient(transport=FakeCollector(lambda events: REFUSED), spool_dir=tmp_path, spool_bytes=20_000)
    for _ in range(300):
        client.score("i", "comment", text="x" * 100)
    until(lambda: client.stats().queued == 0)
    stats = client.stats()
    assert stats.dropped == {DropReason.SPOOL_FULL: 300 - stats.spooled}
    assert 20 < stats.spooled < 100
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000
    client.close(1)
    assert sum("no room" in record.message for record in caplog.records) == 1


class Odd:
    """An app's object that JSON does not know."""


class Raising:
    def model_dump(self, *, mode: str) -> dict[str, object]:
        raise RuntimeError("my secret")


class LazyMessages(Sequence[dict[str, object]]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: object) -> NoReturn:
        raise RuntimeError("my secret")


def circular() -> list[object]:
    messages: list[object] = []
    messages.append(messages)
    return messages


MISTAKES: list[Callable[[FeedbackClient], object]] = [
    lambda client: client.score(None, value="up"),  # type: ignore[arg-type]
    lambda client: client.score("", value="up"),
    lambda client: client.score(7, value="up"),  # type: ignore[arg-type]
    lambda client: client.score("i", value=Odd()),  # type: ignore[arg-type]
    lambda client: client.score("i", value=float("nan")),
    lambda client: client.score("i", value=10**5000),
    lambda client: client.score("i", "comment", text="half a pair: \ud83d"),
    lambda client: client.score("i", "comment", text=b"bytes"),  # type: ignore[arg-type]
    lambda client: client.score("i", event_id=""),
    lambda client: client.score("i", occurred_at="yesterday"),  # type: ignore[arg-type]
    lambda client: client.score("i", occurred_at=datetime.max.replace(tzinfo=timezone.min)),
    lambda client: client.interaction(),
    lambda client: client.interaction(instruction="only"),
    lambda client: client.interaction("not a list"),  # type: ignore[arg-type]
    lambda client: client.interaction({"role": "user"}),  # type: ignore[arg-type]
    lambda client: client.interaction([], instruction="both"),
    lambda client: client.interaction([Odd()]),  # type: ignore[list-item]
    lambda client: client.interaction([Raising()]),
    lambda client: client.interaction(LazyMessages()),
    lambda client: client.interaction(circular()),  # type: ignore[arg-type]
    lambda client: client.interaction(output="x", tags={"a"}),  # type: ignore[arg-type]
    lambda client: client.interaction(output="x", interaction_id=7),  # type: ignore[arg-type]
    lambda client: client.retract("e", ""),
    lambda client: client.consent(True),
    lambda client: client.consent(True, "i-1", "u-1"),
    lambda client: client.consent(True, user=""),
    lambda client: client.erase(""),
    lambda client: client.erase(None),  # type: ignore[arg-type]
    lambda client: client.review("", "approve"),
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_call_raises_nothing_is_counted_and_said_once(
    mistake: Callable[[FeedbackClient], object], caplog: pytest.LogCaptureFixture
) -> None:
    collector = FakeCollector()
    with FeedbackClient(transport=collector) as client:
        for _ in range(3):
            mistake(client)
        assert client.stats() == Stats(taken=3, dropped={DropReason.INVALID_CALL: 3})
    assert collector.requests == []
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text


def test_a_log_filter_of_the_app_that_raises_does_not_make_a_call_raise() -> None:
    def filter_out(record: logging.LogRecord) -> bool:
        raise RuntimeError("not mine")

    logger = logging.getLogger("millrace_client")
    logger.addFilter(filter_out)
    try:
        with FeedbackClient(transport=FakeCollector()) as client:
            client.score("", value="up")
            assert client.stats().dropped == {DropReason.INVALID_CALL: 1}
    finally:
        logger.removeFilter(filter_out)


def test_an_event_that_no_body_can_hold_is_dropped_at_once() -> None:
    with FeedbackClient(transport=FakeCollector()) as client:
        client.score("i", "comment", text="x" * MAX_EVENT_BYTES)
        assert client.stats() == Stats(taken=1, dropped={DropReason.TOO_LARGE: 1})


@pytest.mark.parametrize("url", ["", "nonsense", 7])
def test_without_a_usable_address_nothing_raises_and_closing_does_not_wait(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = FeedbackClient(url, exit_timeout_s=1e6)
    client.score("i", value="up")
    assert not client.close(1e6)
    assert client.stats() == Stats(taken=1, dropped={DropReason.UNDELIVERED: 1})
    assert "MILLRACE_COLLECTOR_URL" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [{"spool_dir": 7}, {"spool_dir": "a\0b"}, {"spool_dir": "/proc/no/such"}, {"spool_bytes": "64 MiB"}],
)
def test_a_spool_that_cannot_be_is_said_and_memory_takes_its_place(
    wrong: dict[str, object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    collector = FakeCollector()
    settings = {"spool_dir": tmp_path} | wrong
    with FeedbackClient(transport=collector, **settings) as client:  # type: ignore[arg-type]
        client.score("i", value="up")
        assert client.flush(30)
    assert len(collector.events) == 1
    assert "memory" in caplog.text


def test_the_key_is_in_no_log_and_no_repr(collector: HttpCollector, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    collector.respond = lambda events: Answer(401)
    client = FeedbackClient(collector.url, "s3cret")
    client.score("i", "comment", text="payl0ad")
    client.close(30)
    assert "refuses the key" in caplog.text
    assert "s3cret" not in caplog.text + repr(client)
    assert "payl0ad" not in caplog.text


def test_an_event_after_close_is_counted_as_dropped() -> None:
    client = FeedbackClient(transport=FakeCollector())
    client.close()
    client.score("i", value="up")
    assert client.stats() == Stats(taken=1, dropped={DropReason.CLOSED: 1})
    assert client.close()


def test_closing_tries_again_if_the_events_would_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millrace_client.sender.BACKOFF_BASE_S", 0.001)
    answers: Iterator[Answer | Unreachable] = iter([REFUSED, Answer(503)])
    collector = FakeCollector(lambda events: next(answers, None) or verdicts(events))
    client = FeedbackClient(transport=collector)
    client.score("i", value="up")
    assert client.close(60)
    assert len(collector.events) == 1


def test_closing_ends_the_threads() -> None:
    before = set(threading.enumerate())
    client = FeedbackClient(transport=FakeCollector())
    client.score("i", value="up")
    assert len(set(threading.enumerate()) - before) == 2
    client.close(60)
    assert set(threading.enumerate()) == before


def test_no_thread_runs_before_the_first_event(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with FeedbackClient(transport=FakeCollector(), spool_dir=tmp_path) as client:
        assert set(threading.enumerate()) == before
        assert client.flush(0)


def test_a_new_client_on_the_folder_sends_what_the_last_one_left_oldest_first(tmp_path: Path) -> None:
    with FeedbackClient(transport=FakeCollector(lambda events: REFUSED), spool_dir=tmp_path) as client:
        left = [client.score("i", value="up") for _ in range(1200)]
    assert client.stats().spooled == 1200
    collector = FakeCollector()
    with FeedbackClient(transport=collector, spool_dir=tmp_path) as client:
        assert client.flush(60)
        assert client.stats() == Stats(adopted=1200, sent=1200)
    assert [event["event_id"] for event in collector.events] == left
    assert list(tmp_path.iterdir()) == []


def test_an_event_keeps_its_id_and_its_time_however_often_it_is_sent(tmp_path: Path) -> None:
    answers: Iterator[Answer | Unreachable] = iter([Answer(500), Answer(200, b"?"), REFUSED])
    collector = FakeCollector(lambda events: next(answers, None) or verdicts(events))
    with FeedbackClient(transport=collector, spool_dir=tmp_path) as client:
        client.score("i", value="up")
        until(lambda: len(collector.requests) == 4 or client.flush(0))
    assert len(collector.requests) == 4
    assert all(request == collector.requests[0] for request in collector.requests)


def test_events_that_the_disk_did_not_take_are_sent_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    collector = FakeCollector()
    with FeedbackClient(transport=collector, spool_dir=tmp_path) as client:
        with monkeypatch.context() as patched:
            patched.setattr("millrace_client.segments.os.fsync", full)
            first = client.score("i", value="up")
            assert client.flush(60)
        second = client.score("i", value="up")
        assert client.flush(60)
        assert client.stats() == Stats(taken=2, sent=2)
    assert [event["event_id"] for event in collector.events] == [first, second]
    assert "cannot be written" in caplog.text


def test_what_memory_held_goes_to_the_disk_at_the_end_if_that_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    client = FeedbackClient(transport=FakeCollector(lambda events: REFUSED), spool_dir=tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("millrace_client.segments.os.fsync", full)
        client.score("i", value="up")
        until(lambda: client.stats().spooled == 1)
    client.close(0)
    assert client.stats() == Stats(taken=1, spooled=1)
    with FeedbackClient(transport=FakeCollector(), spool_dir=tmp_path) as heir:
        assert heir.flush(60)
        assert heir.stats() == Stats(adopted=1, sent=1)


def test_a_transport_that_raises_costs_no_event(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("millrace_client.sender.BACKOFF_CAP_S", 0.01)
    faults = iter([RuntimeError("my secret")])

    def respond(events: Sequence[Event]) -> Answer:
        for fault in faults:
            raise fault
        return verdicts(events)

    collector = FakeCollector(respond)
    with FeedbackClient(transport=collector) as client:
        client.score("i", value="up")
        assert client.flush(60)
    assert len(collector.events) == 1
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_a_fault_while_keeping_costs_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("millrace_client.outbox._PAUSE_S", 0.001)
    append, faults = DiskSpool.append, iter([MemoryError("my secret")])

    def faulty(spool: DiskSpool, records: Sequence[Record]) -> Appended:
        for fault in faults:
            raise fault
        return append(spool, records)

    monkeypatch.setattr(DiskSpool, "append", faulty)
    collector = FakeCollector()
    with FeedbackClient(transport=collector, spool_dir=tmp_path) as client:
        sent = [client.score("i", value="up") for _ in range(3)]
        assert client.flush(60)
        assert client.stats() == Stats(taken=3, sent=3)
    assert [event["event_id"] for event in collector.events] == sent
    assert "MemoryError" in caplog.text
    assert "secret" not in caplog.text


def test_a_torn_record_is_counted(tmp_path: Path) -> None:
    with FeedbackClient(transport=FakeCollector(lambda events: REFUSED), spool_dir=tmp_path) as client:
        client.score("i", value="up")
        client.score("i", value="down")
    (path,) = tmp_path.iterdir()
    os.truncate(path, path.stat().st_size - 1)
    with FeedbackClient(transport=FakeCollector(), spool_dir=tmp_path) as client:
        assert client.flush(60)
        assert client.stats() == Stats(adopted=2, sent=1, dropped={DropReason.TORN: 1})
        assert balanced(client.stats())


def test_threads_that_cannot_start_cost_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    client = FeedbackClient(transport=FakeCollector(), spool_dir=tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        client.score("i", value="up")
        client.close(0)
    assert client.stats() == Stats(taken=1, spooled=1)
    with FeedbackClient(transport=FakeCollector(), spool_dir=tmp_path) as heir:
        assert heir.flush(60)
        assert heir.stats().sent == 1


def test_many_threads_may_call_at_once(tmp_path: Path) -> None:
    collector = FakeCollector()
    returned: list[str] = []
    with FeedbackClient(transport=collector, spool_dir=tmp_path) as client:
        threads = [
            threading.Thread(target=lambda: returned.extend(client.score("i", value="up") for _ in range(500)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush(60)
        assert client.stats() == Stats(taken=4000, sent=4000)
    assert sorted(str(event["event_id"]) for event in collector.events) == sorted(returned)


def test_a_signal_handler_may_call_in_the_middle_of_a_call() -> None:
    collector = FakeCollector()
    client = FeedbackClient(transport=collector)

    def handler(number: int, frame: FrameType | None) -> None:
        client.score("i", value="down")

    previous = signal.signal(signal.SIGUSR1, handler)
    try:
        with client._outbox._arrived:  # where a call may be when the signal comes
            os.kill(os.getpid(), signal.SIGUSR1)
        client.score("i", value="up")
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert client.close(60)
    assert len(collector.events) == 2


def test_the_balance_holds_at_every_moment(tmp_path: Path) -> None:
    def moody(events: Sequence[Event]) -> Answer:
        return verdicts(
            events,
            [(202, 400, 202, 503)[len(collector.requests) + index & 3] for index in range(len(events))],
        )

    collector = FakeCollector(moody)
    looks: list[Stats] = []
    with FeedbackClient(transport=collector, spool_dir=tmp_path, spool_bytes=100_000, exit_timeout_s=0.1) as client:
        for _ in range(3000):
            client.score("i", "comment", text="x" * 50)
            client.score("", value="up")
            looks.append(client.stats())
    looks.append(client.stats())
    assert all(balanced(stats) for stats in looks)
