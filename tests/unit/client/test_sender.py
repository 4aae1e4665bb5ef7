"""The sender, stepped by hand through made-up time."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millrace_client import Answer, Unreachable
from millrace_client.backlog import Backlog
from millrace_client.complaints import Complaints
from millrace_client.disk import DiskSpool
from millrace_client.events import Record
from millrace_client.sender import (
    ADOPT_EVERY_S,
    BACKOFF_BASE_S,
    BACKOFF_CAP_S,
    LINGER_S,
    MAX_BATCH_EVENTS,
    Sender,
)
from millrace_client.stats import Counters
from millrace_client.testing import Event, FakeCollector, Respond, verdicts

REFUSED = Unreachable("connect", "ConnectionRefusedError")


class Desk:
    """A sender, its collector and a clock that only moves when it is told to."""

    def __init__(self, respond: Respond = verdicts, disk: DiskSpool | None = None) -> None:
        self.now = 1000.0
        self.jitter = 1.0
        self.ceilings: list[float] = []
        self.collector = FakeCollector(respond)
        self.counters = Counters()
        complaints = Complaints()
        self.backlog = Backlog(disk, complaints)
        self.sender = Sender(
            self.backlog,
            self.collector,
            self.counters,
            complaints,
            monotonic=lambda: self.now,
            epoch=lambda: 0.0,
            uniform=self.uniform,
        )

    def uniform(self, low: float, high: float) -> float:
        assert low == 0.0
        self.ceilings.append(high)
        return high * self.jitter

    def arrive(self, *names: str) -> None:
        records = [Record(b'{"event_id":"%b"}' % name.encode()) for name in names]
        for _ in records:
            self.counters.take()
        appended = self.backlog.append(records)
        self.counters.spool(appended.kept, appended.refused)

    def step(self) -> float:
        return self.sender.step()

    def wait(self, most_s: float = 1e9) -> float:
        """Step until a request was made or `most_s` have passed; the seconds that passed."""
        begun, requests = self.now, len(self.collector.requests)
        while len(self.collector.requests) == requests:
            delay_s = self.step()
            if self.now + delay_s - begun > most_s:
                break
            self.now += delay_s
        return self.now - begun

    @property
    def sent(self) -> list[object]:
        return [event["event_id"] for event in self.collector.events]


def names(count: int) -> list[str]:
    return [f"e{number}" for number in range(count)]


def ids(events: Sequence[Event]) -> list[object]:
    return [event["event_id"] for event in events]


def test_a_lone_event_waits_for_company_and_no_longer() -> None:
    desk = Desk()
    desk.arrive("a")
    assert desk.step() == LINGER_S
    desk.now += LINGER_S / 2
    desk.arrive("b")
    assert desk.step() == LINGER_S / 2
    desk.now += LINGER_S / 2
    desk.step()
    assert [ids(request) for request in desk.collector.requests] == [["a", "b"]]


def test_a_full_batch_waits_for_nobody() -> None:
    desk = Desk()
    desk.arrive(*names(MAX_BATCH_EVENTS - 1))
    assert desk.step() > 0
    desk.arrive("last")
    assert desk.step() == 0.0
    assert [len(request) for request in desk.collector.requests] == [MAX_BATCH_EVENTS]


def test_a_flush_waits_for_nobody() -> None:
    desk = Desk()
    desk.arrive("a")
    desk.sender.hurry(1)
    desk.step()
    assert desk.sent == ["a"]
    desk.sender.hurry(-1)
    desk.arrive("b")
    assert desk.step() == LINGER_S


def test_events_leave_in_the_order_in_which_they_came() -> None:
    desk = Desk()
    desk.arrive(*names(3 * MAX_BATCH_EVENTS))
    for _ in range(3):
        desk.wait()
    assert desk.sent == names(3 * MAX_BATCH_EVENTS)


def test_the_delay_grows_with_full_jitter_up_to_a_cap() -> None:
    desk = Desk(lambda events: REFUSED)
    desk.arrive("a")
    desk.wait()
    waits = [desk.wait() for _ in range(9)]
    assert desk.ceilings[:9] == [min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2**failures) for failures in range(9)]
    assert waits == pytest.approx(desk.ceilings[:9])
    desk.jitter = 0.0
    desk.wait()
    assert desk.wait() == 0.0


def test_an_hour_of_outage_loses_nothing_and_costs_few_tries() -> None:
    desk = Desk(lambda events: REFUSED)
    desk.arrive(*names(1200))
    until = desk.now + 3600
    while desk.now < until:
        desk.wait()
    assert len(desk.collector.requests) < 80
    desk.collector.respond = verdicts
    for _ in range(3):
        desk.wait()
    assert desk.sent == names(1200)
    assert desk.counters.snapshot().sent == 1200


def test_after_a_success_the_delays_start_small_again() -> None:
    desk = Desk(lambda events: REFUSED)
    desk.arrive("a")
    for _ in range(5):
        desk.wait()
    desk.collector.respond = verdicts
    desk.wait()
    desk.collector.respond = lambda events: REFUSED
    desk.arrive("b")
    desk.wait()
    assert desk.ceilings[-1] == BACKOFF_BASE_S


@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_is_honoured_to_the_second_with_jitter_on_top(status: int) -> None:
    desk = Desk(lambda events: Answer(status, b"", retry_after="30"))
    desk.arrive("a")
    desk.wait()
    desk.jitter = 0.5
    assert desk.wait() == pytest.approx(30 + 1.0 * BACKOFF_BASE_S)
    assert desk.wait() == pytest.approx(30 + 0.5 * BACKOFF_BASE_S * 2)


def test_a_flush_cuts_our_own_pause_short_once_but_not_the_collectors() -> None:
    desk = Desk(lambda events: REFUSED)
    desk.arrive("a")
    for _ in range(8):
        desk.wait()
    desk.sender.hurry(1)
    assert desk.wait() == 0.0
    assert desk.wait() > 0.0
    desk.collector.respond = lambda events: Answer(429, b"", retry_after="30")
    desk.wait()
    desk.sender.hurry(1)
    assert desk.wait() == 30.0


def test_events_that_arrive_during_a_pause_do_not_end_it() -> None:
    desk = Desk(lambda events: REFUSED)
    desk.arrive("a")
    desk.wait()
    desk.arrive(*names(2 * MAX_BATCH_EVENTS))
    assert desk.step() == pytest.approx(BACKOFF_BASE_S)
    assert len(desk.collector.requests) == 1


def test_each_event_of_a_mixed_batch_gets_its_own_way() -> None:
    desk = Desk(lambda events: verdicts(events, [202, 400, 503, 413]))
    desk.arrive("good", "bad", "later", "long")
    desk.wait()
    stats = desk.counters.snapshot()
    assert (stats.sent, stats.rejected, stats.spooled) == (1, 2, 1)
    desk.collector.respond = verdicts
    desk.wait()
    assert desk.sent == ["good", "later"]
    assert desk.counters.snapshot().spooled == 0


def test_an_event_without_a_verdict_does_not_hold_up_the_others() -> None:
    desk = Desk(lambda events: verdicts(events, [503 if event["event_id"] == "e0" else 202 for event in events]))
    desk.arrive(*names(3 * MAX_BATCH_EVENTS))
    while len(desk.sent) < 3 * MAX_BATCH_EVENTS - 1:
        desk.wait()
    desk.collector.respond = verdicts
    desk.wait()
    assert desk.sent[-1] == "e0"


def test_a_rejection_is_logged_with_id_and_field_and_never_the_payload(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk(lambda events: verdicts(events, [400] * len(events)))
    records = [Record(b'{"event_id":"e1","score":"my secret"}')]
    desk.counters.take()
    desk.backlog.append(records)
    desk.counters.spool(1, 0)
    desk.wait()
    assert "e1" in caplog.text
    assert "score.value" in caplog.text
    assert "secret" not in caplog.text


def test_a_thousand_rejections_are_a_handful_of_lines(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(lambda events: verdicts(events, [400] * len(events)))
    desk.arrive(*names(MAX_BATCH_EVENTS))
    desk.wait()
    assert len(caplog.records) == 11


def test_trouble_is_logged_once_and_once_more_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    desk = Desk(lambda events: REFUSED)
    desk.arrive("a")
    for _ in range(5):
        desk.wait()
    desk.collector.respond = verdicts
    desk.wait()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "ConnectionRefusedError" in caplog.text


def test_a_refused_key_keeps_the_events_until_it_is_mended() -> None:
    desk = Desk(lambda events: Answer(401))
    desk.arrive("a", "b")
    for _ in range(10):
        desk.wait()
    assert desk.counters.snapshot().spooled == 2
    desk.collector.respond = verdicts
    desk.wait()
    assert desk.sent == ["a", "b"]


def test_events_that_the_key_may_not_send_are_kept_and_let_the_others_pass(caplog: pytest.LogCaptureFixture) -> None:
    def browser(events: Sequence[Event]) -> Answer:
        return verdicts(events, [403 if "x" in str(event["event_id"]) else 202 for event in events], 403)

    desk = Desk(browser)
    desk.arrive(*[f"x{number}" for number in range(MAX_BATCH_EVENTS)], *names(MAX_BATCH_EVENTS))
    while len(desk.sent) < MAX_BATCH_EVENTS:
        desk.wait()
    assert desk.sent == names(MAX_BATCH_EVENTS)
    assert "refuses the key" in caplog.text
    desk.collector.respond = verdicts
    while desk.counters.snapshot().waiting:
        desk.wait()
    assert desk.counters.snapshot().sent == 2 * MAX_BATCH_EVENTS


def test_a_collector_that_takes_some_of_each_batch_is_not_kept_waiting() -> None:
    desk = Desk(lambda events: verdicts(events, [202] + [503] * (len(events) - 1)))
    desk.arrive(*names(9))
    for _ in range(8):
        desk.wait()
    assert set(desk.ceilings) == {BACKOFF_BASE_S}


def test_a_body_too_long_for_a_proxy_is_cut_into_halves_at_once() -> None:
    def proxy(events: Sequence[Event]) -> Answer:
        return Answer(413, b"<html>") if len(events) > 100 else verdicts(events)

    desk = Desk(proxy)
    desk.arrive(*names(MAX_BATCH_EVENTS))
    passed_s = desk.wait() + desk.wait() + desk.wait() + desk.wait()
    assert [len(request) for request in desk.collector.requests] == [500, 250, 125, 62]
    assert passed_s == 0.0
    while len(desk.sent) < MAX_BATCH_EVENTS:
        desk.wait()
    assert desk.sent == names(MAX_BATCH_EVENTS)
    assert desk.ceilings == []


def test_an_event_that_breaks_the_collector_is_isolated_kept_and_tried_last() -> None:
    def fragile(events: Sequence[Event]) -> Answer:
        return Answer(500, b"oops") if "e7" in ids(events) else verdicts(events)

    desk = Desk(fragile)
    desk.arrive(*names(MAX_BATCH_EVENTS))
    while len(desk.sent) < MAX_BATCH_EVENTS - 1:
        desk.wait()
    assert desk.counters.snapshot().spooled == 1
    desk.collector.respond = verdicts
    desk.wait()
    assert desk.sent[-1] == "e7"
    assert sorted(map(str, desk.sent)) == sorted(names(MAX_BATCH_EVENTS))


def test_a_batch_that_shrank_grows_back() -> None:
    desk = Desk(lambda events: Answer(500))
    desk.arrive(*names(MAX_BATCH_EVENTS))
    for _ in range(12):
        desk.wait()
    desk.collector.respond = verdicts
    desk.collector.requests.clear()
    while desk.counters.snapshot().waiting:
        desk.wait()
    desk.arrive(*names(20 * MAX_BATCH_EVENTS))
    while desk.counters.snapshot().waiting:
        desk.wait()
    sizes = [len(request) for request in desk.collector.requests]
    assert sizes[0] == 1
    assert max(sizes) == MAX_BATCH_EVENTS


def test_what_ended_processes_left_is_looked_for_at_the_start_and_every_now_and_then(tmp_path: Path) -> None:
    def leave(name: str) -> None:
        ended = DiskSpool(tmp_path, 1 << 20)
        ended.append([Record(b'{"event_id":"%b"}' % name.encode())])
        ended.close(1.0)

    leave("before")
    disk = DiskSpool(tmp_path, 1 << 20)
    desk = Desk(disk=disk)
    desk.wait()
    assert desk.sent == ["before"]
    leave("meanwhile")
    assert desk.wait() == pytest.approx(ADOPT_EVERY_S)
    assert desk.sent == ["before", "meanwhile"]
    assert desk.counters.snapshot().adopted == 2
    disk.close(1.0)


def test_closing_does_not_wait_for_a_collector_that_is_away_if_the_spool_is_durable(tmp_path: Path) -> None:
    disk = DiskSpool(tmp_path, 1 << 20)
    desk = Desk(lambda events: REFUSED, disk=disk)
    desk.arrive("a")
    desk.sender.finish()
    desk.step()
    assert not desk.counters.wait(timeout_s=1e6)
    assert desk.counters.snapshot().spooled == 1
    disk.close(1.0)


def test_closing_goes_on_trying_if_the_events_would_be_lost() -> None:
    desk = Desk(lambda events: REFUSED)
    desk.arrive("a")
    desk.sender.finish()
    desk.step()
    desk.collector.respond = verdicts
    desk.wait()
    assert desk.counters.wait(timeout_s=1e6)
    assert desk.sent == ["a"]


def test_closing_does_not_wait_for_what_waiting_cannot_mend() -> None:
    for answer in (Answer(401), Unreachable("no_url")):
        desk = Desk(lambda events, answer=answer: answer)  # type: ignore[misc]
        desk.arrive("a")
        desk.sender.finish()
        desk.step()
        assert not desk.counters.wait(timeout_s=1e6)


Told = list[int] | Answer | Unreachable
TOLD: st.SearchStrategy[Told] = st.lists(
    st.sampled_from([202, 202, 400, 413, 503]), min_size=1, max_size=8
) | st.sampled_from([Answer(200, b"OK"), Answer(413), Answer(500), Answer(503), Answer(401), REFUSED])


@settings(max_examples=80, deadline=None)
@given(script=st.lists(TOLD, max_size=30), count=st.integers(1, 40), durable=st.booleans())
def test_whatever_the_collector_answers_each_event_gets_exactly_one_verdict(
    script: list[Told], count: int, durable: bool
) -> None:
    rejected: list[object] = []
    answers = iter(script)

    def respond(events: Sequence[Event]) -> Answer | Unreachable:
        told = next(answers, [202])
        if not isinstance(told, list):
            return told
        statuses = [told[index % len(told)] for index in range(len(events))]
        rejected.extend(
            event["event_id"] for event, status in zip(events, statuses, strict=True) if status in (400, 413)
        )
        return verdicts(events, statuses)

    with tempfile.TemporaryDirectory() as folder:
        disk = DiskSpool(Path(folder), 1 << 20) if durable else None
        desk = Desk(respond, disk)
        desk.arrive(*names(count))
        while desk.counters.snapshot().waiting:
            desk.wait()
        if disk is not None:
            disk.close(1.0)
    assert sorted(map(str, [*desk.sent, *rejected])) == sorted(names(count))
    stats = desk.counters.snapshot()
    assert (stats.sent, stats.rejected) == (len(desk.sent), len(rejected))


def test_a_batch_is_one_json_array_in_utf_8() -> None:
    bodies: list[bytes] = []

    class Recorder(FakeCollector):
        def post(self, body: bytes) -> Answer | Unreachable:
            bodies.append(body)
            return super().post(body)

    desk = Desk()
    desk.collector = desk.sender._transport = Recorder()
    desk.arrive("ä", "b")
    desk.wait()
    assert json.loads(bodies[0]) == [{"event_id": "ä"}, {"event_id": "b"}]
