from __future__ import annotations

import json
import logging
from typing import Any, get_args

import pytest

from streams.errors import LakeUnavailable
from trainer_trigger.api.app import BURST, MAX_BODY_BYTES
from trainer_trigger.api.keys import Scope
from trainer_trigger.api.openapi import scopes
from trainer_trigger.errors import DatabaseUnavailable, NotHeardError

from .conftest import NOW, SCOPES, Api

JOB = {"target": "support", "reason": "prompt v7 is out"}
REQUESTS: dict[str, tuple[str, str, dict[str, Any] | None, int]] = {
    "POST /jobs": ("POST", "/jobs", JOB, 202),
    "GET /jobs": ("GET", "/jobs", None, 200),
    "GET /jobs/{id}": ("GET", "/jobs/job-support", None, 200),
    "POST /jobs/{id}/cancel": ("POST", "/jobs/job-support/cancel", None, 200),
    "GET /models": ("GET", "/models", None, 200),
    "GET /models/{id}": ("GET", "/models/ft:llama/support", None, 200),
    "POST /evaluations": ("POST", "/evaluations", {"model_id": "ft:llama/support"}, 202),
    "GET /evaluations": ("GET", "/evaluations", None, 200),
    "GET /evaluations/{id}": ("GET", "/evaluations/e0", None, 200),
    "GET /targets": ("GET", "/targets", None, 200),
    "GET /targets/{id}": ("GET", "/targets/support", None, 200),
    "GET /targets/{id}/explain": ("GET", "/targets/support/explain", None, 200),
    "POST /targets/{id}/fire": ("POST", "/targets/support/fire", {"kind": "incident", "reason": "it lies"}, 202),
    "POST /targets/{id}/measurements": ("POST", "/targets/support/measurements", {"metric": "f1", "value": 0.4}, 202),
    "POST /targets/{id}/pause": ("POST", "/targets/support/pause", {"why": "a freeze"}, 200),
    "POST /targets/{id}/resume": ("POST", "/targets/support/resume", None, 200),
    "GET /decisions": ("GET", "/decisions", None, 200),
    "GET /decisions/{id}": ("GET", "/decisions/job-support", None, 200),
    "POST /decisions/{id}/approve": ("POST", "/decisions/job-support/approve", None, 200),
    "POST /decisions/{id}/refuse": ("POST", "/decisions/job-support/refuse", {"note": "not today"}, 200),
    "GET /audit": ("GET", "/audit", None, 200),
}
NEEDED = {name.replace("/api/v1/fine-tuning", ""): scope for name, scope in scopes().items()}
CHANGES = [name for name in REQUESTS if name.startswith("POST")]


def send(api: Api, name: str, who: str) -> Any:
    method, path, body, _ = REQUESTS[name]
    if name == "GET /evaluations/{id}":
        api.desk.evaluate("ft:llama/support", "somebody")
        api.desk.calls.clear()
    return api.http.request(method, api.base + path, json=body, headers=api.as_(who))


def assert_problem(answer: Any, status: int, code: str, field: str = "") -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["type"], told["status"], told["code"], told.get("field", "")) == ("about:blank", status, code, field)
    assert told["title"]
    assert told["detail"]


def test_every_route_is_in_the_table_of_these_tests() -> None:
    assert set(REQUESTS) == set(NEEDED)
    assert set(NEEDED.values()) == set(SCOPES) == set(get_args(Scope))


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", REQUESTS)
def test_a_key_does_what_its_scope_is_for_and_nothing_else(api: Api, name: str, scope: str) -> None:
    answer = send(api, name, scope)
    if scope == NEEDED[name]:
        assert answer.status_code == REQUESTS[name][3], answer.text
        assert answer.headers["content-type"] == "application/json"
    else:
        assert_problem(answer, 403, "scope")
        assert api.desk.calls == []
        (line,) = api.audit.lines
        assert (line.outcome, line.status, line.key_name) == ("denied", 403, scope)
        named = REQUESTS[name][1].split("/")[2:3]
        assert line.subject.partition("/")[0] == (named[0] if "{id}" in name else "")


@pytest.mark.parametrize("name", REQUESTS)
def test_nobody_does_anything_without_a_key(api: Api, name: str) -> None:
    method, path, body, _ = REQUESTS[name]
    answer = api.http.request(method, api.base + path, json=body)
    assert_problem(answer, 401, "key")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert api.desk.calls == []


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_in_the_audit_log_before_and_after_it(api: Api, name: str) -> None:
    status = send(api, name, "all").status_code
    asked, done = api.audit.lines
    assert (asked.outcome, asked.status, done.outcome, done.status) == ("asked", 0, "done", status)
    assert asked.request == done.request
    for line in (asked, done):
        assert (line.key_name, line.target) == ("all", "support")
        assert line.action
        assert line.subject


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_that_cannot_be_written_down_is_not_made(api: Api, name: str) -> None:
    api.audit.away_after = 0
    answer = send(api, name, "all")
    assert_problem(answer, 503, "database_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert "password" not in answer.text
    assert api.desk.changes() == []


def test_a_change_that_was_made_is_answered_even_if_its_second_line_cannot_be_written(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    api.audit.away_after = 1
    assert send(api, "POST /targets/{id}/pause", "all").status_code == 200
    assert api.audit.told() == [("target.pause", "support", "asked", 0)]
    assert "the audit log does not take a line" in caplog.text


def test_looking_is_not_in_the_audit_log(api: Api) -> None:
    for name in REQUESTS:
        if name.startswith("GET"):
            assert send(api, name, "all").status_code == 200
    assert api.audit.lines == []


def test_what_the_desk_refuses_is_in_the_audit_log_as_refused_and_what_fails_as_failed(api: Api) -> None:
    assert_problem(
        api.http.post(f"{api.base}/jobs", json={**JOB, "target": "nobody"}, headers=api.as_("all")),
        404,
        "unknown_target",
    )
    api.desk.fails = ZeroDivisionError("secret words")
    assert_problem(send(api, "POST /jobs", "all"), 500, "internal")
    assert [told[2:] for told in api.audit.told()] == [("asked", 0), ("refused", 404), ("asked", 0), ("failed", 500)]
    assert all("secret" not in line.detail for line in api.audit.lines)


def test_the_desk_hears_who_asked_for_what(api: Api) -> None:
    body = {**JOB, "kind": "incident", "examples": ["acme/chat-1"], "request_id": "r1"}
    answer = api.http.post(f"{api.base}/jobs", json=body, headers=api.as_("fire"))
    key_id = api.keys["fire"].split("_")[1]
    who = f"fire (key {key_id})"
    assert api.desk.calls[0] == ("fire", "support", who, "incident", "prompt v7 is out", ("acme/chat-1",), "r1")
    assert answer.headers["location"] == f"{api.base}/jobs/{answer.json()['id']}"
    assert api.http.get(answer.headers["location"], headers=api.as_("read")).json() == answer.json()


def test_the_idempotency_key_is_the_request_id(api: Api) -> None:
    headers = {**api.as_("fire"), "Idempotency-Key": "r1"}
    first, again = (api.http.post(f"{api.base}/jobs", json=JOB, headers=headers) for _ in range(2))
    assert first.json() == again.json()
    differs = api.http.post(f"{api.base}/jobs", json={**JOB, "request_id": "r2"}, headers=headers)
    assert_problem(differs, 400, "invalid", "request_id")
    bad = api.http.post(f"{api.base}/jobs", json=JOB, headers={**headers, "Idempotency-Key": "a b"})
    assert_problem(bad, 400, "invalid", "Idempotency-Key")


@pytest.mark.parametrize(
    "name", [name for name in REQUESTS if name.count("support") or "support" in str(REQUESTS[name])]
)
def test_a_key_for_other_targets_is_denied(api: Api, name: str) -> None:
    assert_problem(send(api, name, "sales"), 403, "target")
    assert api.desk.changes() == []
    (line,) = api.audit.lines
    assert (line.outcome, line.target, line.key_name) == ("denied", "support", "sales only")


def test_a_key_for_one_target_works_there_and_sees_no_other_in_lists(api: Api) -> None:
    made = api.http.post(f"{api.base}/jobs", json={**JOB, "target": "sales"}, headers=api.as_("sales"))
    assert made.status_code == 202
    api.desk.evaluate("ft:llama/support", "x")
    mine = api.http.post(f"{api.base}/evaluations", json={"model_id": "ft:llama/sales"}, headers=api.as_("sales"))
    assert api.http.get(f"{api.base}/evaluations/{mine.json()['evaluation_id']}", headers=api.as_("sales")).is_success
    assert_problem(api.http.get(f"{api.base}/evaluations/e0", headers=api.as_("sales")), 403, "target")
    for place in ("jobs", "models", "decisions", "targets", "evaluations"):
        said = api.http.get(f"{api.base}/{place}", headers=api.as_("sales")).json()["data"]
        assert said, place
        assert all("support" not in json.dumps(each) for each in said)
        assert "support" in api.http.get(f"{api.base}/{place}", headers=api.as_("read")).text
    for place in ("jobs", "models", "decisions", "evaluations", "audit"):
        assert_problem(api.http.get(f"{api.base}/{place}?target=support", headers=api.as_("sales")), 403, "target")
    assert_problem(api.http.get(f"{api.base}/audit", headers=api.as_("sales")), 403, "target", "target")
    assert api.http.get(f"{api.base}/audit?target=sales", headers=api.as_("sales")).is_success


def test_a_revoked_key_is_refused_within_a_second_and_named_in_the_log(api: Api) -> None:
    assert send(api, "GET /targets", "read").status_code == 200
    api.file.revoke(api.keys["read"].split("_")[1], NOW)
    api.now_s += 1.0
    assert_problem(send(api, "GET /targets", "read"), 401, "key")
    (line,) = api.audit.lines
    assert (line.outcome, line.key_name, line.status) == ("denied", "read", 401)


def test_a_wrong_secret_is_refused_and_the_key_that_it_claims_is_in_the_log(api: Api) -> None:
    wrong = api.http.get(f"{api.base}/targets", headers={"X-API-Key": api.keys["read"] + "x"})
    assert_problem(wrong, 401, "key")
    assert api.audit.lines[0].key_name == "read"
    assert api.keys["read"] not in repr(api.audit.lines)


def test_strangers_cannot_fill_the_audit_log(api: Api) -> None:
    answers = [api.http.get(f"{api.base}/targets").status_code for _ in range(int(BURST) + 20)]
    assert answers == [401] * int(BURST) + [429] * 20
    assert len(api.audit.lines) == int(BURST)
    assert send(api, "GET /targets", "read").status_code == 200
    api.now_s += 1.0
    assert api.http.get(f"{api.base}/targets").status_code == 401


def test_a_key_has_a_rate(api: Api) -> None:
    answers = [send(api, "GET /targets", "read") for _ in range(int(BURST) + 1)]
    assert {answer.status_code for answer in answers[:-1]} == {200}
    assert_problem(answers[-1], 429, "rate")
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert send(api, "GET /targets", "all").status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ("{", 400, "malformed", ""),
        ("", 422, "invalid", "target"),
        ("[]", 422, "invalid", ""),
        ("null", 422, "invalid", ""),
        (b"\xff\xfe", 400, "malformed", ""),
        ('{"target": "support", "reason": "x"} {}', 400, "malformed", ""),
        ("[" * 100_000, 422, "invalid", ""),
        ('{"target": "support", "reason": "x", "rationale": 1}', 422, "invalid", "rationale"),
        ('{"target": "support"}', 422, "invalid", "reason"),
        ('{"target": "support", "reason": ""}', 422, "invalid", "reason"),
        ('{"target": "support", "reason": "  "}', 422, "invalid", "reason"),
        ('{"target": "support", "reason": 7}', 422, "invalid", "reason"),
        ('{"target": "support", "reason": "a\\u0000b"}', 422, "invalid", "reason"),
        ('{"target": "support", "reason": "\\ud800"}', 400, "malformed", ""),
        ('{"target": "../x", "reason": "x"}', 422, "invalid", "target"),
        ('{"target": "support", "reason": "x", "kind": "A B"}', 422, "invalid", "kind"),
        ('{"target": "support", "reason": "x", "request_id": ""}', 422, "invalid", "request_id"),
        ('{"target": "support", "reason": "x", "examples": ["the text of a chat"]}', 422, "invalid", "examples[0]"),
        (json.dumps({**JOB, "reason": "x" * 2_001}), 422, "invalid", "reason"),
        (json.dumps({**JOB, "examples": ["a/b"] * 1_001}), 422, "invalid", "examples"),
    ],
)
def test_a_body_that_is_not_right_is_refused_with_the_field(
    api: Api, body: str | bytes, status: int, code: str, field: str
) -> None:
    headers = {**api.as_("fire"), "content-type": "application/json"}
    answer = api.http.post(f"{api.base}/jobs", content=body, headers=headers)
    assert_problem(answer, status, code, field)
    assert api.desk.calls == []
    assert api.audit.lines == []


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", '"0.5"', "true", "null"])
def test_a_measurement_is_a_finite_number(api: Api, value: str) -> None:
    headers = {**api.as_("fire"), "content-type": "application/json"}
    body = f'{{"metric": "f1", "value": {value}}}'
    answer = api.http.post(f"{api.base}/targets/support/measurements", content=body, headers=headers)
    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert api.desk.calls == []


def test_the_largest_right_body_is_taken_and_a_larger_one_is_not(api: Api) -> None:
    longest = {**JOB, "reason": "ü" * 2_000, "examples": [f"{'t' * 64}/{'i' * 256}"] * 1_000}
    assert api.http.post(f"{api.base}/jobs", json=longest, headers=api.as_("fire")).status_code == 202
    headers = {**api.as_("fire"), "content-type": "application/json"}
    full = b" " * (MAX_BODY_BYTES - 200)
    assert api.http.post(f"{api.base}/jobs", content=full + json.dumps(JOB).encode(), headers=headers).is_success
    over = b" " * MAX_BODY_BYTES + json.dumps(JOB).encode()
    assert_problem(api.http.post(f"{api.base}/jobs", content=over, headers=headers), 413, "too_large")
    pieces = (b" " * 65_536 for _ in range(20))  # without a length that announces it
    assert_problem(api.http.post(f"{api.base}/jobs", content=pieces, headers=headers), 413, "too_large")


def test_a_body_is_json(api: Api) -> None:
    headers = {**api.as_("fire"), "content-type": "text/plain"}
    answer = api.http.post(f"{api.base}/jobs", content=json.dumps(JOB), headers=headers)
    assert_problem(answer, 415, "media_type")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("before=1", "before"),
        ("after=nobody", "after"),
        ("limit=1&limit=2", ""),
        ("target=A%00", "target"),
    ],
)
def test_a_query_that_is_not_right_is_refused_with_the_field(api: Api, query: str, field: str) -> None:
    answer = api.http.get(f"{api.base}/jobs?{query}", headers=api.as_("read"))
    assert_problem(answer, 422, "unknown_cursor" if field == "after" else "invalid", field)


def test_pages_hold_each_job_once(api: Api) -> None:
    for number in range(5):
        api.desk.fire("support", "x", request_id=str(number))
    seen, after = [], ""
    while True:
        page = api.http.get(f"{api.base}/jobs?limit=2{after}", headers=api.as_("read")).json()
        seen += [job["id"] for job in page["data"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == list(api.desk.made)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/api/v1/fine-tuning/jobs/nobody", 404, "unknown_job"),
        ("GET", "/api/v1/fine-tuning/jobs/a%00b", 404, "not_found"),
        ("GET", "/api/v1/fine-tuning/models/nobody", 404, "unknown_model"),
        ("GET", "/api/v1/fine-tuning/decisions/nobody", 404, "unknown_decision"),
        ("GET", "/api/v1/fine-tuning/evaluations/nobody", 404, "unknown_evaluation"),
        ("GET", "/api/v1/fine-tuning/targets/nobody", 404, "unknown_target"),
        ("DELETE", "/api/v1/fine-tuning/jobs", 405, "method"),
        ("PUT", "/api/v1/fine-tuning/jobs/x", 405, "method"),
    ],
)
def test_what_is_not_there_is_a_problem_too(api: Api, method: str, path: str, status: int, code: str) -> None:
    answer = api.http.request(method, path, headers=api.as_("all"))
    assert_problem(answer, status, code)
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize("exc", [DatabaseUnavailable("postgresql://user:secret@host"), LakeUnavailable("secret")])
def test_what_is_away_is_asked_to_come_again_without_a_word_of_it(api: Api, exc: Exception) -> None:
    api.desk.fails = exc
    answer = send(api, "GET /targets", "read")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "secret" not in answer.text


def test_what_nobody_foresaw_is_in_the_log_and_not_in_the_answer(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    api.desk.fails = RuntimeError("secret words")
    with caplog.at_level(logging.ERROR):
        answer = send(api, "GET /targets", "read")
    assert_problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert caplog.records[0].exc_info is not None


def test_what_the_trigger_does_not_hear_is_said_in_its_words(api: Api) -> None:
    api.desk.fails = NotHeardError("no policy of support asks for 'incident'")
    answer = send(api, "POST /targets/{id}/fire", "fire")
    assert_problem(answer, 422, "not_heard")
    assert answer.json()["detail"] == "no policy of support asks for 'incident'"


def test_a_second_approval_is_a_conflict(api: Api) -> None:
    assert send(api, "POST /decisions/{id}/approve", "approve").status_code == 200
    assert_problem(send(api, "POST /decisions/{id}/approve", "approve"), 409, "not_waiting")


def test_no_cache_keeps_an_answer(api: Api) -> None:
    for who in ("read", "fire"):
        answer = send(api, "GET /targets", who)
        assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_liveness_and_readiness_need_no_key(api: Api) -> None:
    assert api.http.get("/healthz").text == "ok\n"
    assert api.http.get("/readyz").status_code == 200
