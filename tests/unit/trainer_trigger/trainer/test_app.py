"""The service over real HTTP, with a stand-in for the training process: what no client of OpenAI's shows."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from deploy.local.process import wait_until
from tests import trainers
from tests.trainers import KEY, Service, client_of, ended, examples

FIELDS = {"message", "type", "param", "code"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with trainers.service(tmp_path_factory.mktemp("app")) as running:
        yield running


@pytest.fixture(scope="module")
def http_(service: Service) -> Iterator[httpx2.Client]:
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx2.Client(base_url=service.base_url.removesuffix("/v1"), headers=headers, timeout=30) as client:
        yield client


def error(answer: httpx2.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    assert set(told) == {"error"}
    assert set(told["error"]) == FIELDS
    assert answer.headers["x-request-id"].startswith("req_")
    return dict(told["error"])


def upload(http_: httpx2.Client, content: bytes = b"{}\n", more: dict[str, str] | None = None) -> httpx2.Response:
    return http_.post("/v1/files", files={"file": ("a", content)}, data={"purpose": "fine-tune", **(more or {})})


def test_every_error_has_the_same_shape(http_: httpx2.Client) -> None:
    assert error(http_.get("/v1/nothing"), 404)["code"] == "unknown_url"
    assert error(http_.get("/"), 404)["code"] == "unknown_url"
    assert error(http_.put("/v1/files"), 405)["code"] == "method_not_allowed"
    assert error(http_.post("/v1/files", json={}), 415)["code"] == "unsupported_media_type"
    assert error(http_.post("/v1/fine_tuning/jobs", content=b"{"), 400)["code"] == "invalid_json"
    assert error(http_.post("/v1/fine_tuning/jobs", content=b'{"model": "\xff"}'), 400)["code"] == "invalid_json"
    assert error(http_.post("/v1/fine_tuning/jobs", content=b"[" * 100_000), 400)["code"] == "invalid_json"
    assert error(http_.post("/v1/fine_tuning/jobs", content=b""), 400)["code"] == "invalid_json"
    large = b'{"model": "' + b"x" * 5_000_000 + b'"}'
    assert error(http_.post("/v1/fine_tuning/jobs", content=large), 413)["code"] == "request_too_large"


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=-1", "order=up", "after=no", "page=2"])
def test_a_page_that_cannot_be_is_refused(http_: httpx2.Client, query: str) -> None:
    wrong = error(http_.get(f"/v1/fine_tuning/jobs?{query}"), 400)
    assert wrong["param"] == query.partition("=")[0]


def test_without_the_key_only_health_is_told(http_: httpx2.Client, service: Service) -> None:
    base = service.base_url.removesuffix("/v1")
    for headers in ({}, {"Authorization": KEY}, {"Authorization": "Bearer"}, {"Authorization": "Bearer \xe4"}):
        raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
        answer = httpx2.get(f"{base}/v1/files", headers=raw)
        assert error(answer, 401)["code"] == "invalid_api_key"
        assert answer.headers["www-authenticate"] == "Bearer"
    assert httpx2.get(f"{base}/healthz").text == "ok\n"
    assert httpx2.get(f"{base}/readyz").text == "ready\n"
    assert httpx2.get(f"{base}/metrics").status_code == 200


def test_the_metrics_count_jobs_and_tokens(service: Service, http_: httpx2.Client) -> None:
    client = client_of(service.base_url)
    file = client.files.create(file=("a.jsonl", examples()), purpose="fine-tune")
    ended(client, client.fine_tuning.jobs.create(model="quick", training_file=file.id).id)
    told = http_.get("/metrics").text
    assert 'millrace_trainer_jobs{state="succeeded"} 1.0' in told
    assert 'millrace_trainer_jobs{state="failed"} 0.0' in told
    assert "millrace_trainer_trained_tokens 1234.0" in told


def test_openapi_names_every_route(http_: httpx2.Client) -> None:
    paths = http_.get("/openapi.json").json()["paths"]
    assert {"/v1/files", "/v1/fine_tuning/jobs/{job_id}/cancel", "/v1/chat/completions"} <= set(paths)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("..", ".."),
        ("C:\\data\\a.jsonl", "a.jsonl"),
        ("", "file"),
        ("x" * 400, "x" * 255),
        ("train \u202e\u0007 1.jsonl", "train  1.jsonl"),
    ],
)
def test_a_files_name_is_only_shown_and_never_a_path(
    service: Service, http_: httpx2.Client, tmp_path: Path, sent: str, shown: str
) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="'
        + sent.replace("\\", "\\\\").encode()
        + b'"\r\n\r\n{}\r\n--b--\r\n'
    )
    answer = http_.post("/v1/files", content=body, headers={"content-type": "multipart/form-data; boundary=b"})
    file = answer.json()
    assert file["filename"] == shown
    home = service.trainer.jobs.folder("x").parent.parent
    assert (home / "files" / file["id"]).read_bytes() == b"{}"
    assert {path.name for path in home.iterdir()} <= {"files", "jobs", "lock"} | {
        f"trainer.sqlite{end}" for end in ("", "-wal", "-shm")
    }


@pytest.mark.parametrize("file_id", ["..%2F..%2Ftrainer.sqlite", "..%2Flock", "%00", "%2Fetc%2Fpasswd"])
def test_an_id_that_is_a_path_is_an_unknown_id(http_: httpx2.Client, file_id: str) -> None:
    for address in (f"/v1/files/{file_id}", f"/v1/files/{file_id}/content", f"/v1/models/{file_id}"):
        error(http_.get(address), 404)
    error(http_.delete(f"/v1/models/{file_id}"), 404)


def test_a_job_of_a_file_or_a_model_that_is_a_path_is_refused(http_: httpx2.Client) -> None:
    file = upload(http_).json()["id"]
    for asked in (
        {"model": "quick", "training_file": "../trainer.sqlite"},
        {"model": "../models/quick", "training_file": file},
        {"model": "quick/..", "training_file": file},
        {"model": "/etc", "training_file": file},
        {"model": "ft:quick:x::1", "training_file": file},
    ):
        error(http_.post("/v1/fine_tuning/jobs", json=asked), 400)


def test_the_largest_file_is_taken_and_one_byte_more_is_not(service: Service, http_: httpx2.Client) -> None:
    folder = service.trainer.files.path("x").parent
    assert upload(http_, b"x" * 3_000_000).status_code == 200
    before = set(folder.iterdir())
    wrong = error(upload(http_, b"x" * 3_000_001), 413)
    assert (wrong["code"], wrong["param"]) == ("file_too_large", "file")
    announced = error(upload(http_, b"x" * 5_000_000), 413)
    assert announced["code"] == "file_too_large"
    assert set(folder.iterdir()) == before


def test_an_upload_that_breaks_off_leaves_nothing(service: Service, http_: httpx2.Client) -> None:
    folder = service.trainer.files.path("x").parent
    before, listed = set(folder.iterdir()), http_.get("/v1/files").json()
    host = urlsplit(service.base_url)
    with socket.create_connection((host.hostname or "", host.port or 0)) as wire:
        wire.sendall(
            f"POST /v1/files HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 2900000\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'.encode()
            + b"x" * 2_500_000
        )
        assert wait_until(lambda: len(set(folder.iterdir()) - before) == 1, 10)
    assert wait_until(lambda: set(folder.iterdir()) == before, 10)
    assert http_.get("/v1/files").json() == listed


def test_fields_that_mean_nothing_here_are_refused(http_: httpx2.Client) -> None:
    assert error(upload(http_, more={"purpose": "batch"}), 400)["param"] == "purpose"
    assert error(http_.post("/v1/files", files={"file": ("a", b"x")}), 400)["param"] == "purpose"
    assert error(upload(http_, more={"expires_after[anchor]": "created_at"}), 400)["param"] == "expires_after"
    assert error(upload(http_, more={"other": "x"}), 400)["param"] == "other"
    no_file = http_.post("/v1/files", files={"purpose": (None, "fine-tune")})
    assert error(no_file, 400)["param"] == "file"


def test_a_file_tells_its_sha256(http_: httpx2.Client) -> None:
    told = upload(http_, b"abc").json()
    assert told["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_jobs_without_metadata_are_found_by_null(http_: httpx2.Client) -> None:
    file = upload(http_, examples()).json()["id"]
    asked = {"model": "quick", "training_file": file}
    bare = http_.post("/v1/fine_tuning/jobs", json=asked).json()["id"]
    full = http_.post("/v1/fine_tuning/jobs", json={**asked, "metadata": {"a": "b"}}).json()["id"]
    found = {job["id"] for job in http_.get("/v1/fine_tuning/jobs?metadata=null&limit=100").json()["data"]}
    assert bare in found
    assert full not in found


def test_pause_and_resume_are_refused_in_words(http_: httpx2.Client) -> None:
    file = upload(http_, examples()).json()["id"]
    job = http_.post("/v1/fine_tuning/jobs", json={"model": "quick", "training_file": file}).json()["id"]
    for what in ("pause", "resume"):
        assert error(http_.post(f"/v1/fine_tuning/jobs/{job}/{what}"), 400)["code"] == "unsupported_operation"
        error(http_.post(f"/v1/fine_tuning/jobs/none/{what}"), 404)


def test_a_base_model_cannot_be_deleted(http_: httpx2.Client) -> None:
    assert error(http_.delete("/v1/models/quick"), 403)["code"] == "not_deletable"


def test_models_of_an_owner_and_nothing_else_are_listed(service: Service, http_: httpx2.Client) -> None:
    models = service.trainer.models.bases()["quick"].parent
    (models / "owner" / "inner").mkdir(parents=True)
    (models / "owner" / "inner" / "config.json").write_text("{}")
    (models / "owner" / "inner" / "model.safetensors").touch()
    (models / "pickled").mkdir()
    (models / "pickled" / "config.json").write_text("{}")
    (models / "pickled" / "pytorch_model.bin").touch()
    (models / ".hidden").mkdir()
    listed = {model["id"] for model in http_.get("/v1/models").json()["data"] if not model["id"].startswith("ft:")}
    assert listed == {*trainers.BEHAVIOURS, "owner/inner"}
    assert http_.get("/v1/models/owner/inner").json()["id"] == "owner/inner"


def test_an_answer_that_breaks_is_an_error_that_says_nothing_of_the_inside(
    service: Service, http_: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(service.trainer.models, "listed", broken)
    answer = http_.get("/v1/models")
    assert error(answer, 500)["type"] == "server_error"
    assert "secret" not in answer.text
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(service.trainer.models, "listed", lambda: (_ for _ in ()).throw(full))
    assert "No space left" in error(http_.get("/v1/models"), 507)["message"]


def test_without_a_key_a_web_page_and_a_foreign_name_are_refused(tmp_path: Path) -> None:
    with trainers.service(tmp_path, trainer_key="") as running:
        address = urlsplit(running.base_url)

        def status(**headers: str) -> int:
            connection = http.client.HTTPConnection(address.hostname or "", address.port)
            connection.request("GET", "/v1/files", headers=headers)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            return answer.status

        assert status() == 200
        assert status(Host="localhost") == 200
        assert status(Host="[::1]:8090", Origin="http://localhost:3000") == 200
        assert status(Origin="https://evil.example") == 403
        assert status(Origin="null") == 403
        assert status(Host="evil.example") == 403
        assert status(Host="127.0.0.1.evil.example") == 403


ASK = {"model": "quick", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"surprise": 1}, "surprise"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"seed": 2**63}, "seed"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_field(http_: httpx2.Client, more: dict[str, Any], param: str) -> None:
    wrong = error(http_.post("/v1/chat/completions", json=ASK | more), 400)
    assert (wrong["param"] or "").startswith(param)


def test_what_asks_for_nothing_is_taken(service: Service, http_: httpx2.Client) -> None:
    neutral = {"n": 1, "logprobs": False, "tools": [], "presence_penalty": 0, "user": "u", "stop": None, "store": None}
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    asked = ASK | neutral | {"messages": [{"role": "developer", "content": "Be"}, {"role": "user", "content": parts}]}
    answer = http_.post("/v1/chat/completions", json=asked)
    assert answer.json()["choices"][0]["message"]["content"] == "base: Hello"
    assert service.parrot.asked[2][0] == {"role": "system", "content": "Be"}
    options = {"temperature": 0, "top_p": 0.5, "seed": 3, "stop": "x", "max_tokens": 9, "max_completion_tokens": 5}
    http_.post("/v1/chat/completions", json=ASK | options)
    given = {name: value for name, value in service.parrot.asked[3].items() if name != "stopping"}
    assert given == {"temperature": 0, "top_p": 0.5, "seed": 3, "stop": ["x"], "max_tokens": 5}


class Endless:
    """Answers until nobody waits."""

    def __init__(self) -> None:
        self.asked, self.ended = threading.Event(), threading.Event()

    def complete(self, *_: object, stopping: Callable[[], bool], **__: object) -> trainers.Said:
        self.asked.set()
        assert wait_until(stopping, 20)
        self.ended.set()
        return trainers.Said("", 1, 1, "length")


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_ends_when_its_client_has_gone(service: Service, http_: httpx2.Client, stream: bool) -> None:
    endless, chat = Endless(), service.trainer.chat
    parrot, chat._answering = chat._answering, endless  # type: ignore[assignment]
    try:
        with pytest.raises(httpx2.ReadTimeout):
            http_.post("/v1/chat/completions", json=ASK | {"stream": stream}, timeout=0.3)
        assert endless.ended.wait(10)
    finally:
        chat._answering = parrot
    assert http_.post("/v1/chat/completions", json=ASK).status_code == 200


def test_a_stream_is_server_sent_events_to_the_last_word(http_: httpx2.Client) -> None:
    answer = http_.post("/v1/chat/completions", json=ASK | {"stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "base: Hello"
    error(http_.post("/v1/chat/completions", json=ASK | {"stream": True, "model": "none"}), 404)
