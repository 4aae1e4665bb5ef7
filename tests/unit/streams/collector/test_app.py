from __future__ import annotations

import asyncio
import gzip
import json
import logging
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from schemas.codec import Codec
from streams.collector.app import PATHS
from streams.errors import RegistryUnavailable

from .conftest import NOW, Collector, MakeCollector

THUMB: dict[str, Any] = {"event_id": "e1", "interaction_id": "i1", "score": {"method": "thumbs", "value": "up"}}
CHAT: dict[str, Any] = {
    "event_id": "e2",
    "interaction_id": "i2",
    "interaction": {"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]},
}
DEEP = b'{"event_id": "deep", "interaction_id": "i", "score": {"method": "thumbs", "value": 1}, "x": %s}'


def thumb(event_id: str, **fields: object) -> dict[str, Any]:
    return {**THUMB, "event_id": event_id, **fields}


def score(value: bytes, method: bytes = b"stars") -> bytes:
    return b'{"event_id": "bad", "interaction_id": "i", "score": {"method": "%s", "value": %s}}' % (method, value)


def refused(why: str) -> float:
    return REGISTRY.get_sample_value("millrace_refused_total", {"why": why}) or 0.0


# --- what is taken


@pytest.mark.parametrize("path", PATHS)
def test_an_event_is_accepted_once_kafka_has_acknowledged_it(collector: Collector, path: str) -> None:
    response = collector.http.post(path, json=THUMB)
    assert response.status_code == 202
    assert response.json() == {
        "accepted": 1,
        "rejected": 0,
        "events": [{"index": 0, "event_id": "e1", "status": 202}],
    }
    (event,) = collector.events()
    assert (event.event_id, event.tenant, event.scores[0].value) == ("e1", "acme", 1.0)


def test_an_array_and_ndjson_are_batches(collector: Collector) -> None:
    assert collector.http.post("/v1/events", json=[THUMB, CHAT]).json()["accepted"] == 2
    lines = b"\n".join(json.dumps(event).encode() for event in (THUMB, CHAT)) + b"\r\n\n"
    declared = {"Content-Type": "application/x-ndjson; charset=utf-8"}
    assert collector.http.post("/v1/events", content=lines, headers=declared).json()["accepted"] == 2
    assert collector.http.post("/v1/events", content=lines).json()["accepted"] == 2
    assert [event.event_id for event in collector.events()] == ["e1", "e2"] * 3


def test_a_gzip_body_is_taken_also_of_several_members(collector: Collector) -> None:
    lines = [json.dumps(event).encode() + b"\n" for event in (THUMB, CHAT)]
    headers = {"Content-Encoding": "gzip"}
    body = gzip.compress(lines[0]) + gzip.compress(lines[1])
    assert collector.http.post("/v1/events", content=body, headers=headers).json()["accepted"] == 2


def test_a_record_is_keyed_by_tenant_and_interaction_and_without_one_by_the_event(collector: Collector) -> None:
    collector.http.post("/v1/events", json=[THUMB, {"event_id": "e9", "erasure": {"user": "u"}}])
    assert [(record.topic, record.key) for record in collector.publisher.records] == [
        ("feedback.events", b"acme/i1"),
        ("feedback.events", b"acme/e9"),
    ]


def test_an_event_that_names_another_tenant_is_denied_and_audited_and_the_others_are_taken(
    collector: Collector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.Logger("audit")
    log.addHandler(caplog.handler)
    monkeypatch.setattr("streams.collector.app._LOG", log)
    events = [thumb("e1", tenant="globex"), thumb("e2", tenant="acme"), thumb("e3")]
    response = collector.http.post("/v1/events", json=events)
    assert [event["status"] for event in response.json()["events"]] == [403, 202, 202]
    assert response.json()["events"][0]["error"]["field"] == "tenant"
    assert [(event.event_id, event.tenant) for event in collector.events()] == [("e2", "acme"), ("e3", "acme")]
    audited = [record.fields for record in caplog.records if record.message == "denied"]  # type: ignore[attr-defined]
    assert [(fields["why"], fields["tenant"]) for fields in audited] == [("tenant", "acme")]
    assert "globex" not in caplog.text


def test_a_large_batch_is_taken_whole_and_in_order(collector: Collector) -> None:
    response = collector.http.post("/v1/events", json=[thumb(f"e{number}") for number in range(1000)])
    assert (response.status_code, response.json()["accepted"]) == (202, 1000)
    assert [event.event_id for event in collector.events()] == [f"e{number}" for number in range(1000)]


# --- what is refused


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        (b"hello", "", "not JSON"),
        (b'{"event_id": "bad", ', "", "not JSON"),
        (b"5", "", "JSON object"),
        (b"null", "", "JSON object"),
        (b"{}", "event_id", "is required"),
        (b'{"interaction_id": "i", "score": {"method": "thumbs", "value": 1}}', "event_id", "is required"),
        (b'{"event_id": "bad", "score": {"method": "thumbs", "value": 1}}', "interaction_id", "is required"),
        (b'{"event_id": "bad", "interaction_id": "i"}', "", "at least one of"),
        (b'{"event_id": 7, "interaction_id": "i", "score": {"method": "thumbs", "value": 1}}', "event_id", "str"),
        (b'{"event_id": "bad", "interaction_id": "i", "scores": 3}', "scores", "array"),
        (b'{"event_id": "bad", "interaction_id": "i", "interaction": []}', "interaction", "object"),
        (score(b"1", b"applause"), "scores[0].method", "applause"),
        (score(b"11"), "scores[0].value", "from 1 to 5"),
        (score(b"0"), "scores[0].value", "from 1 to 5"),
        (score(b"NaN"), "", "not JSON"),
        (score(b"Infinity"), "", "not JSON"),
        (score(b"-Infinity"), "", "not JSON"),
        (score(b"1e999"), "", "not JSON"),
        (score(b"1" + b"0" * 30), "scores[0].value", "from 1 to 5"),
        (score(b"1" + b"0" * 400), "", "too large"),
        (score(b"1" + b"0" * 5000), "", "not JSON"),
        (score(rb'"\ud800"'), "", "not JSON"),
        (score(b'"\xff"'), "", "not JSON"),
        (score(b'"\xed\xa0\x80"'), "", "not JSON"),
    ],
)
def test_a_bad_event_is_told_what_is_wrong_and_the_others_of_its_batch_are_accepted(
    collector: Collector, text: bytes, field: str, says: str
) -> None:
    alone = collector.http.post("/v1/events", content=text)
    assert alone.status_code == 400
    (told,) = alone.json()["events"]
    assert told["status"] == 400
    assert told["error"]["field"] == field
    assert says in told["error"]["problem"]
    assert collector.publisher.records == []

    first, last = json.dumps(thumb("first")).encode(), json.dumps(thumb("last")).encode()
    for body, headers in (
        (b"[" + b",".join((first, text, last)) + b"]", {}),
        (b"\n".join((first, text, last)), {"Content-Type": "application/x-ndjson"}),
        (b"\n".join((first, text, last)), {}),
    ):
        if text.endswith(b", ") and body[:1] == b"[":
            continue  # an object that does not end takes the rest of an array with it, brackets and all
        mixed = collector.http.post("/v1/events", content=body, headers=headers)
        assert mixed.status_code == 207
        assert [event["status"] for event in mixed.json()["events"]] == [202, 400, 202]
        assert (mixed.json()["accepted"], mixed.json()["rejected"]) == (2, 1)
    assert {event.event_id for event in collector.events()} == {"first", "last"}


@pytest.mark.parametrize("depth", [100, 900, 5_000, 100_000])
@pytest.mark.parametrize(("opens", "closes"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_an_event_that_is_nested_too_deep_is_refused_for_its_depth_and_the_others_are_accepted(
    collector: Collector, depth: int, opens: bytes, closes: bytes
) -> None:
    deep = DEEP % (opens * depth + b"1" + closes * depth)
    alone = collector.http.post("/v1/events", content=deep)
    assert (alone.status_code, alone.json()["events"][0]["error"]["limit"]) == (400, "depth")
    body = b"[" + json.dumps(THUMB).encode() + b"," + deep + b"]"
    mixed = collector.http.post("/v1/events", content=body)
    assert [event["status"] for event in mixed.json()["events"]] == [202, 400]


def test_an_event_of_60_levels_is_taken(collector: Collector) -> None:
    assert collector.http.post("/v1/events", content=DEEP % (b"[" * 60 + b"]" * 60)).status_code == 202


@pytest.mark.parametrize("body", [b"", b"  \n ", b"[]", b"[ ]", b"[1, 2", b'["', b'[{"a": 1}] x', b"[[1]"])
def test_a_body_without_events_or_end_is_refused_as_a_whole(collector: Collector, body: bytes) -> None:
    response = collector.http.post("/v1/events", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["problem"]


def test_a_batch_of_invalid_events_only_is_400(collector: Collector) -> None:
    response = collector.http.post("/v1/events", json=[{}, {"event_id": "x"}])
    assert (response.status_code, response.json()["accepted"], response.json()["rejected"]) == (400, 0, 2)


def test_the_answer_to_an_invalid_event_names_its_id_where_it_has_one(collector: Collector) -> None:
    events = [{"event_id": "mine"}, {"event_id": "x" * 201}, {"event_id": 5}]
    answer = collector.http.post("/v1/events", json=events).json()
    assert [event["event_id"] for event in answer["events"]] == ["mine", None, None]


# --- limits


def test_an_event_of_10_mb_is_413_by_its_announced_length(collector: Collector) -> None:
    body = json.dumps(thumb("e1", source="x" * 10_000_000)).encode()
    response = collector.http.post("/v1/events", content=body)
    assert (response.status_code, response.json()["error"]["limit"]) == (413, "body")


def test_a_body_without_a_length_is_refused_while_it_streams_not_after(make_collector: MakeCollector) -> None:
    collector = make_collector(collector_max_body_bytes=100_000)
    chunk, taken = b" " * 10_000, 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": chunk, "more_body": True}  # for ever

    statuses = []

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/events",
        "raw_path": b"/v1/events",
        "query_string": b"",
        "headers": [(b"x-api-key", collector.write_key.encode())],
    }
    asyncio.run(collector.app(scope, receive, send))
    assert statuses[0] == 413
    assert taken == 11


def test_an_event_just_over_its_limit_is_413_and_the_one_at_it_is_taken(make_collector: MakeCollector) -> None:
    collector = make_collector(max_event_bytes=1000)
    padding = "x" * (1000 - len(json.dumps(thumb("e1", note=""))))
    at, over = json.dumps(thumb("e1", note=padding)), json.dumps(thumb("e2", note=padding + "x"))
    response = collector.http.post("/v1/events", content=f"[ {over} ,{at}]")
    assert response.status_code == 207
    told, taken = response.json()["events"]
    assert (told["status"], told["error"]["limit"], taken["status"]) == (413, "event", 202)
    alone = collector.http.post("/v1/events", content=over)
    assert (alone.status_code, alone.json()["events"][0]["error"]["limit"]) == (413, "event")


@pytest.mark.parametrize("lines", [False, True])
def test_a_batch_of_one_event_too_many_is_413(make_collector: MakeCollector, lines: bool) -> None:
    collector = make_collector(collector_max_batch_events=3)

    def body(count: int) -> str:
        texts = [json.dumps(THUMB)] * count
        return "\n".join(texts) if lines else f"[{','.join(texts)}]"

    assert collector.http.post("/v1/events", content=body(3)).status_code == 202
    response = collector.http.post("/v1/events", content=body(4))
    assert (response.status_code, response.json()["error"]["limit"]) == (413, "batch")


def test_a_gzip_bomb_is_413_within_bounded_memory(collector: Collector, bomb: bytes) -> None:
    tracemalloc.start()
    try:
        response = collector.http.post("/v1/events", content=bomb, headers={"Content-Encoding": "gzip"})
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (response.status_code, response.json()["error"]["limit"]) == (413, "decompressed")
    assert peak_bytes < 80_000_000  # of 1,073,741,824; the limit is 33,554,432


def test_the_decompressed_limit_holds_for_all_members_together(make_collector: MakeCollector) -> None:
    collector = make_collector(collector_max_decompressed_bytes=1000)
    headers = {"Content-Encoding": "gzip"}
    at = collector.http.post("/v1/events", content=gzip.compress(b" " * 500) * 2, headers=headers)
    assert (at.status_code, at.json()["error"]["problem"]) == (400, "the body holds no event")
    over = collector.http.post(
        "/v1/events", content=gzip.compress(b" " * 500) * 2 + gzip.compress(b" "), headers=headers
    )
    assert (over.status_code, over.json()["error"]["limit"]) == (413, "decompressed")


@pytest.mark.parametrize(
    "body",
    [gzip.compress(json.dumps(THUMB).encode())[:-5], b"", b"not gzip", gzip.compress(b"{}") + b"garbage"],
    ids=["cut off", "empty", "other bytes", "more after it"],
)
def test_truncated_or_corrupt_gzip_is_400(collector: Collector, body: bytes) -> None:
    response = collector.http.post("/v1/events", content=body, headers={"Content-Encoding": "gzip"})
    assert response.status_code == 400
    assert "gzip" in response.json()["error"]["problem"]


def test_another_content_encoding_is_415_and_told_which_one_to_use(collector: Collector) -> None:
    response = collector.http.post("/v1/events", content=b"x", headers={"Content-Encoding": "br"})
    assert (response.status_code, response.headers["Accept-Encoding"]) == (415, "gzip")


def test_a_key_over_its_rate_is_429_until_the_bucket_has_filled_again(make_collector: MakeCollector) -> None:
    collector = make_collector(collector_events_per_s=10, collector_max_batch_events=10)
    batch = [thumb(f"e{number}") for number in range(10)]
    assert collector.http.post("/v1/events", json=batch).status_code == 202
    over = collector.http.post("/v1/events", json=batch[:5])
    assert (over.status_code, over.json()["error"]["limit"], over.headers["Retry-After"]) == (429, "rate", "1")
    other = {"Authorization": f"Bearer {collector.browser_key}"}
    assert collector.http.post("/v1/events", json=THUMB, headers=other).status_code == 202
    collector.clock.now_s += 0.5
    assert collector.http.post("/v1/events", json=batch[:5]).status_code == 202
    assert len(collector.publisher.records) == 16


def test_too_many_bytes_in_flight_are_asked_to_come_again(make_collector: MakeCollector) -> None:
    collector = make_collector(collector_max_decompressed_bytes=10)  # the room is a multiple of it
    response = collector.http.post("/v1/events", content=json.dumps(thumb("e1", source="x" * 100)))
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert collector.http.post("/v1/events", content=b"{}").status_code == 400  # what was held is free again


# --- keys


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer mr_000000000000_x"},
        {"Authorization": "Basic abc"},
        {"X-API-Key": "nonsense"},
        {"X-API-Key": "mr_"},
        {"X-API-Key": "sk_1_2"},
    ],
)
def test_a_request_without_a_valid_key_is_401(collector: Collector, headers: dict[str, str]) -> None:
    del collector.http.headers["Authorization"]
    response = collector.http.post("/v1/events", json=THUMB, headers=headers)
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert collector.publisher.records == []


def test_a_key_with_a_wrong_secret_is_401(collector: Collector) -> None:
    wrong = collector.write_key[:-1] + ("A" if collector.write_key[-1] != "A" else "B")
    assert (
        collector.http.post("/v1/events", json=THUMB, headers={"Authorization": f"Bearer {wrong}"}).status_code == 401
    )


def test_the_key_may_come_as_x_api_key(collector: Collector) -> None:
    del collector.http.headers["Authorization"]
    assert collector.http.post("/v1/events", json=THUMB, headers={"X-API-Key": collector.write_key}).status_code == 202


def test_a_revoked_key_is_401_a_second_later_and_a_new_one_is_known(collector: Collector) -> None:
    assert collector.http.post("/v1/events", json=THUMB).status_code == 202
    collector.keys.revoke(collector.write_key.split("_")[1], NOW)
    new = collector.keys.create("globex", "new", "write", NOW)
    collector.clock.now_s += 1.0
    assert collector.http.post("/v1/events", json=THUMB).status_code == 401
    assert collector.http.post("/v1/events", json=THUMB, headers={"Authorization": f"Bearer {new}"}).status_code == 202
    assert collector.events()[-1].tenant == "globex"


ALLOWED_IN_A_PAGE = [
    thumb("e1"),
    thumb("e1", score={"method": "stars", "value": 4}),
    thumb("e1", score={"method": "comment", "text": "wrong year"}),
    thumb("e1", score=None, scores=[{"method": "thumbs", "value": 0}, {"method": "comment", "text": "no"}]),
]
DENIED_IN_A_PAGE = [
    ("interaction", CHAT),
    ("interaction", {**CHAT, "score": THUMB["score"]}),
    ("erasure", {"event_id": "e1", "erasure": {"user": "u"}}),
    ("consent", {"event_id": "e1", "consent": {"granted": True, "user": "u"}}),
    ("consent", thumb("e1", consent={"granted": True})),
    ("review", thumb("e1", score=None, review={"decision": "approve"})),
    ("retraction", thumb("e1", score=None, retraction={"of": "e0"})),
    ("scores[0].method", thumb("e1", score={"method": "correction", "text": "better"})),
    ("scores[0].method", thumb("e1", score={"method": "demonstration", "text": "better"})),
    ("scores[0].method", thumb("e1", score={"method": "success", "value": True})),
    ("scores[0].method", thumb("e1", score={"method": "numeric", "value": 1, "minimum": 0, "maximum": 1})),
    ("scores[0].method", thumb("e1", score={"method": "win_rate", "wins": 1, "losses": 0})),
    ("scores[0].method", thumb("e1", score={"method": "pairwise", "over": "i0"})),
    ("scores[0].rater", thumb("e1", score={"method": "thumbs", "value": 1, "rater": "expert"})),
    ("scores[0].by", thumb("e1", score={"method": "thumbs", "value": 1, "by": "somebody"})),
]


@pytest.mark.parametrize("event", ALLOWED_IN_A_PAGE)
def test_a_browser_key_sends_a_persons_thumbs_stars_and_comments(collector: Collector, event: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {collector.browser_key}"}
    assert collector.http.post("/v1/events", json=event, headers=headers).status_code == 202


@pytest.mark.parametrize(("field", "event"), DENIED_IN_A_PAGE)
def test_a_browser_key_sends_nothing_else(collector: Collector, field: str, event: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {collector.browser_key}"}
    alone = collector.http.post("/v1/events", json=event, headers=headers)
    assert (alone.status_code, alone.json()["events"][0]["error"]["field"]) == (403, field)
    assert collector.publisher.records == []
    mixed = collector.http.post("/v1/events", json=[event, THUMB], headers=headers)
    assert [told["status"] for told in mixed.json()["events"]] == [403, 202]
    assert collector.http.post("/v1/events", json=event).status_code == 202  # with the write key


# --- CORS


def test_a_preflight_from_a_configured_origin_allows_the_key_headers(make_collector: MakeCollector) -> None:
    collector = make_collector(collector_cors_origins=("https://app.example",))
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    response = collector.http.options("/v1/events", headers=asked)
    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
    assert "POST" in response.headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize("origins", [(), ("https://app.example",)])
def test_a_preflight_from_elsewhere_allows_nothing(make_collector: MakeCollector, origins: tuple[str, ...]) -> None:
    collector = make_collector(collector_cors_origins=origins)
    response = collector.http.options("/v1/events", headers={"Origin": "https://evil.example"})
    assert response.status_code == 403
    assert "Access-Control-Allow-Origin" not in response.headers


def test_only_answers_to_browser_keys_can_be_read_by_a_page(make_collector: MakeCollector) -> None:
    collector = make_collector(collector_cors_origins=("*",))
    origin = {"Origin": "https://any.example"}
    for key, status, readable in (
        (collector.browser_key, 202, True),
        (collector.write_key, 202, False),
        ("mr_none_none", 401, True),  # a page must see that its key is wrong
    ):
        response = collector.http.post("/v1/events", json=THUMB, headers={**origin, "Authorization": f"Bearer {key}"})
        assert response.status_code == status
        assert ("Access-Control-Allow-Origin" in response.headers) == readable


# --- Kafka and the registry away


@pytest.mark.parametrize("body", [THUMB, [THUMB, CHAT], [THUMB, {}]])
def test_with_the_broker_away_the_answer_is_503_with_retry_after_and_never_2xx(collector: Collector, body: Any) -> None:
    collector.publisher.takes = lambda _record: False
    response = collector.http.post("/v1/events", json=body)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert response.json()["accepted"] == 0
    statuses = [event["status"] for event in response.json()["events"]]
    assert statuses[0] == 503
    assert 202 not in statuses


def test_a_half_acknowledged_batch_is_503_with_a_status_for_each(collector: Collector) -> None:
    collector.publisher.takes = lambda record: record.key == b"acme/i1"
    response = collector.http.post("/v1/events", json=[THUMB, CHAT, {}])
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert [event["status"] for event in response.json()["events"]] == [202, 503, 400]


class _NoRegistry:
    def __init__(self, answer: Callable[[], int]) -> None:
        self._answer = answer

    def id_of(self, subject: str) -> int:
        return self._answer()

    def text_of(self, schema_id: int) -> str:
        raise AssertionError("the collector reads no schema")


def _away() -> int:
    raise RegistryUnavailable("ConnectionError")


def _hangs() -> int:
    time.sleep(0.5)
    return 7


@pytest.mark.parametrize("answer", [_away, _hangs])
def test_with_the_schema_registry_away_the_answer_is_503(
    make_collector: MakeCollector, answer: Callable[[], int]
) -> None:
    codec = Codec(_NoRegistry(answer))
    collector = make_collector(codec, schema_registry_url="http://registry.invalid", collector_ack_s=0.1)
    response = collector.http.post("/v1/events", json=THUMB)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert collector.publisher.records == []


def test_with_a_schema_registry_records_have_confluent_framing(make_collector: MakeCollector) -> None:
    collector = make_collector(Codec(_NoRegistry(lambda: 7)), schema_registry_url="http://registry.invalid")
    assert collector.http.post("/v1/events", json=THUMB).status_code == 202
    assert collector.publisher.records[0].value[:5] == b"\x00\x00\x00\x00\x07"


# --- the rest


def test_readiness_shows_what_is_in_the_way_and_life_does_not_depend_on_it(collector: Collector) -> None:
    collector.health.not_ready("Kafka does not answer")
    assert (collector.http.get("/readyz").status_code, collector.http.get("/readyz").text) == (
        503,
        "Kafka does not answer\n",
    )
    assert collector.http.get("/healthz").status_code == 200
    collector.health.ready()
    assert collector.http.get("/readyz").status_code == 200


def test_metrics_count_what_was_received_and_why_something_was_refused(collector: Collector) -> None:
    def received(kind: str) -> float:
        labels = {"role": "collector", "kind": kind}
        return REGISTRY.get_sample_value("millrace_received_total", labels) or 0.0

    before = {why: refused(why) for why in ("invalid", "key", "unacknowledged")}
    scores, interactions = received("score"), received("interaction")
    collector.http.post("/v1/events", json=[THUMB, CHAT, {}])
    collector.http.post("/v1/events", json=THUMB, headers={"Authorization": "Bearer x"})
    collector.publisher.takes = lambda _record: False
    collector.http.post("/v1/events", json=[THUMB, CHAT])
    assert (received("score"), received("interaction")) == (scores + 1, interactions + 1)
    assert {why: refused(why) - count for why, count in before.items()} == {
        "invalid": 1,
        "key": 1,
        "unacknowledged": 2,
    }
    assert 'millrace_refused_total{why="invalid"}' in collector.http.get("/metrics").text


def test_nothing_of_a_payload_is_logged(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    collector.http.post("/v1/events", json=thumb("e1", score={"method": "comment", "text": "SECRET-TEXT"}))
    collector.http.post("/v1/events", json=thumb("e1", score={"method": "SECRET-TEXT"}))
    collector.publisher.takes = lambda _record: False
    collector.http.post("/v1/events", json=thumb("e1", score={"method": "comment", "text": "SECRET-TEXT"}))
    ours = [record.getMessage() + str(record.__dict__) for record in caplog.records if record.name != "asyncio"]
    assert not [line for line in ours if "SECRET-TEXT" in line or collector.write_key in line]


def test_the_api_description_resolves_and_shows_the_looser_json_form(collector: Collector) -> None:
    described = collector.http.get("/openapi.json").json()
    schemas = described["components"]["schemas"]
    assert set(described["paths"]) == {*PATHS, "/healthz", "/readyz", "/metrics"}
    refs = [part.split('"')[0] for part in json.dumps(described).split('"$ref": "')[1:]]
    assert refs
    assert all(ref.removeprefix("#/components/schemas/") in schemas for ref in refs)
    event = schemas["FeedbackEvent"]["properties"]
    assert "score" in event
    assert "tenant" not in event
    operation = described["paths"]["/v1/events"]["post"]
    assert set(operation["requestBody"]["content"]) == {"application/json", "application/x-ndjson"}
    assert {"202", "207", "400", "401", "403", "413", "415", "429", "503"} <= set(operation["responses"])
    assert set(described["components"]["securitySchemes"]) == {"bearer", "header"}


def test_the_example_in_the_api_description_is_taken(collector: Collector) -> None:
    operation = collector.http.get("/openapi.json").json()["paths"]["/v1/events"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    assert collector.http.post("/v1/events", json=example).status_code == 202


def test_a_sender_that_hangs_up_in_mid_body_is_no_error_of_ours(collector: Collector) -> None:
    messages = iter([{"type": "http.request", "body": b"[", "more_body": True}, {"type": "http.disconnect"}])
    sent = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/events",
        "raw_path": b"/v1/events",
        "query_string": b"",
        "headers": [(b"x-api-key", collector.write_key.encode())],
    }
    asyncio.run(collector.app(scope, receive, send))
    assert sent[0]["status"] == 400
    assert collector.publisher.records == []
