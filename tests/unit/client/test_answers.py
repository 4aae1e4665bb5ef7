from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace_client.answers import (
    MAX_RETRY_AFTER_S,
    NoVerdict,
    Rejection,
    Verdicts,
    judge,
    parse_retry_after,
)
from millrace_client.transport import Answer, Unreachable

BATCH = tuple(b'{"event_id":"e%d","source":""}' % number for number in range(3))


def entries(*told: tuple[int, int]) -> bytes:
    return json.dumps(
        {
            "accepted": 0,
            "rejected": 0,
            "events": [
                {"index": index, "event_id": f"e{index}", "status": status, "error": {"field": "score.value"}}
                for index, status in told
            ],
        }
    ).encode()


def test_each_event_has_a_verdict_of_its_own() -> None:
    outcome = judge(Answer(207, entries((0, 202), (1, 400), (2, 503)), "7"), BATCH, 0.0)
    assert outcome == Verdicts(1, (Rejection(1, 400, "score.value"),), (2,), 7.0)


def test_an_event_too_large_for_the_collector_is_rejected() -> None:
    outcome = judge(Answer(207, entries((0, 202), (1, 413), (2, 202))), BATCH, 0.0)
    assert outcome == Verdicts(2, (Rejection(1, 413, "score.value"),), ())


def test_an_event_that_the_answer_leaves_out_is_tried_again() -> None:
    outcome = judge(Answer(202, entries((0, 202))), BATCH, 0.0)
    assert outcome == Verdicts(1, (), (1, 2))


def test_a_status_that_nobody_knows_is_no_rejection() -> None:
    outcome = judge(Answer(207, entries((0, 202), (1, 409), (2, 500))), BATCH, 0.0)
    assert outcome == Verdicts(1, (), (1, 2))


def test_a_verdict_on_another_event_id_is_none_on_ours() -> None:
    body = json.dumps({"events": [{"index": 0, "event_id": "other", "status": 202}]}).encode()
    assert judge(Answer(202, body), BATCH, 0.0) == NoVerdict("unclear", "status 202", suspect=True)


def test_a_verdict_without_an_event_id_counts_by_its_index() -> None:
    body = json.dumps({"events": [{"index": 0, "status": 400}]}).encode()
    assert judge(Answer(207, body), BATCH, 0.0) == Verdicts(0, (Rejection(0, 400, ""),), (1, 2))


def test_only_temporary_verdicts_are_a_busy_collector() -> None:
    outcome = judge(Answer(503, entries((0, 503), (1, 503), (2, 503)), "3"), BATCH, 0.0)
    assert outcome == NoVerdict("busy", "status 503", retry_after_s=3.0)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_collector_that_is_away_for_a_while_does_not_make_the_batch_suspect(status: int) -> None:
    assert judge(Answer(status, b"<html>"), BATCH, 0.0) == NoVerdict("busy", f"status {status}")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_keeps_the_events_whatever_the_body_says(status: int) -> None:
    outcome = judge(Answer(status, entries((0, 202), (1, 202), (2, 202))), BATCH, 0.0)
    assert outcome == NoVerdict("unauthorised", f"status {status}", aside=True, lasting=True)
    assert judge(Answer(status), BATCH, 0.0) == NoVerdict("unauthorised", f"status {status}", lasting=True)


def test_an_event_that_the_key_may_not_send_is_tried_again() -> None:
    outcome = judge(Answer(207, entries((0, 202), (1, 403), (2, 202))), BATCH, 0.0)
    assert outcome == Verdicts(2, (), (1,), forbidden=True)


@pytest.mark.parametrize("status", [200, 202, 204, 207, 301, 302, 400, 404, 405, 408, 415, 422, 500, 501])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"null",
        b"[]",
        b"{}",
        b'{"events":{}}',
        b'{"events":[]}',
        b'{"events":[7]}',
        b"[" * 100_000,
    ],
)
def test_an_answer_without_a_list_says_nothing_about_any_event(status: int, body: bytes) -> None:
    assert judge(Answer(status, body), BATCH, 0.0) == NoVerdict("unclear", f"status {status}", suspect=True)


def test_a_413_without_a_list_is_about_the_batch() -> None:
    assert judge(Answer(413, b"<html>"), BATCH, 0.0) == NoVerdict("too_large", "status 413", suspect=True)


@pytest.mark.parametrize(
    ("answer", "suspect"),
    [
        (Unreachable("connect", "ConnectionRefusedError"), False),
        (Unreachable("timeout", "TimeoutError"), True),
        (Unreachable("broken", "BrokenPipeError"), True),
    ],
)
def test_only_a_connection_that_stood_makes_the_batch_suspect(answer: Unreachable, suspect: bool) -> None:
    assert judge(answer, BATCH, 0.0) == NoVerdict("unreachable", answer.error, suspect=suspect)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["events", "index", "status", "x"]), inner),
)


@given(
    status=st.integers(100, 599),
    body=st.binary() | JSON.map(lambda value: json.dumps({"events": value}).encode()),
    retry_after=st.none() | st.text(),
)
def test_no_answer_whatever_makes_an_event_vanish(status: int, body: bytes, retry_after: str | None) -> None:
    outcome = judge(Answer(status, body, retry_after), BATCH, 0.0)
    if isinstance(outcome, Verdicts):
        assert outcome.accepted + len(outcome.rejected) + len(outcome.again) == len(BATCH)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        (" 12 ", 12.0),
        ("3601", MAX_RETRY_AFTER_S),
        ("999999999", MAX_RETRY_AFTER_S),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", MAX_RETRY_AFTER_S),
        (None, None),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("inf", None),
        ("soon", None),
        ("Thu, 99 Jan 1970 00:01:40 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, now_epoch_s=40.0) == seconds
