"""The real trigger behind the real API over HTTP, on PostgreSQL."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from deploy.local.process import wait_until
from schemas.targets import Event, Performance, Policy, Volume
from streams.errors import KeyFileError, SettingError
from streams.settings import Settings
from tests.servers import Servers
from tests.trigger_parts import Stand, target
from trainer_trigger.api.desk import Desk
from trainer_trigger.api.keys import KeyFile
from trainer_trigger.api.server import serving
from trainer_trigger.database import Database
from trainer_trigger.views import TargetView

BASE = "/api/v1/fine-tuning"
ANY = Policy(
    any=(
        Policy(volume=Volume(samples=500)),
        Policy(event=Event(kinds=("incident",))),
        Policy(performance=Performance(metric="f1")),
    )
)


class Clients:
    """A client for each scope."""

    def __init__(self, url: str, keys: Mapping[str, str]) -> None:
        def client(scope: str) -> httpx2.Client:
            return httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {keys[scope]}"}, timeout=30)

        self.read, self.fire, self.approve, self.admin = (client(s) for s in ("read", "fire", "approve", "admin"))

    def close(self) -> None:
        for client in (self.read, self.fire, self.approve, self.admin):
            client.close()


@contextmanager
def running(desk: Desk, database: Database, folder: Path) -> Iterator[Clients]:
    settings = Settings(trigger_keys_file=str(folder / "keys.json"), trigger_port=0)
    file, now = KeyFile(folder / "keys.json"), datetime.now(UTC)
    keys = {scope: file.create(scope, [scope], [], now) for scope in ("read", "fire", "approve", "admin")}
    with serving(desk, database, settings) as (host, port):
        clients = Clients(f"http://{host}:{port}{BASE}", keys)
        try:
            yield clients
        finally:
            clients.close()


@pytest.fixture(params=["sqlite", "postgres"])
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stand]:
    servers: Servers | None = request.getfixturevalue("servers") if request.param == "postgres" else None
    url = f"sqlite:///{tmp_path}/trigger.sqlite" if servers is None else servers.fresh_database()
    stand = Stand(url, chat=target(policy=ANY), manual=target(policy=ANY, approval="manual"))
    stand.watch.fresh = 0
    yield stand
    stand.database.close()


def test_a_wish_becomes_a_model_whose_origin_is_told(stand: Stand, tmp_path: Path) -> None:
    with running(stand.trigger, stand.database, tmp_path) as clients:
        wish = {"target": "chat", "reason": "prompt v7 is out", "examples": ["acme/chat-1"], "request_id": "release-7"}
        made = [clients.fire.post("/jobs", json=wish) for _ in range(3)]
        assert {answer.status_code for answer in made} == {202}
        (job_id,) = {answer.json()["id"] for answer in made}
        assert clients.read.get(f"/jobs/{job_id}").json()["state"] == "queued"
        stand.until(lambda: bool(stand.trigger.models()))
        job = clients.read.get(f"/jobs/{job_id}").json()
        assert (job["state"], job["model"], job["id"]) == ("succeeded", "ft:job-1", job_id)
        assert [step["after"] for step in job["history"]][-1] == "succeeded"
        assert [each["id"] for each in clients.read.get("/jobs").json()["data"]] == [job_id]
        model = clients.read.get("/models/ft:job-1").json()
        assert (model["decision_id"], model["code"], model["dataset_hash"]) == (job_id, "c0de", job["dataset_hash"])
        assert set(model["versions"]) == {"samples", "rejected", "events"}
        assert (model["config_version"], len(model["config_hash"])) == ("v1", 64)
        asked = clients.fire.post("/evaluations", json={"model_id": "ft:job-1", "suite": "golden"})
        assert asked.status_code == 202
        evaluation = clients.read.get(asked.headers["location"].removeprefix(BASE)).json()
        assert (evaluation["model_id"], evaluation["suite"], evaluation["state"]) == ("ft:job-1", "golden", "queued")
        assert list(stand.provider.jobs) == ["job-1"]


def test_who_may_fire_may_not_approve_and_both_are_named_in_histories_and_audit(stand: Stand, tmp_path: Path) -> None:
    with running(stand.trigger, stand.database, tmp_path) as clients:
        fired = clients.fire.post("/targets/manual/fire", json={"kind": "incident", "reason": "it lies"})
        assert fired.status_code == 202, fired.text
        stand.ticks(3)
        job = clients.read.get(f"/jobs/{fired.json()['id']}").json()
        assert job["state"] == "waiting_for_approval"
        place = f"/decisions/{job['id']}"
        assert clients.fire.post(f"{place}/approve").status_code == 403
        assert clients.admin.post(f"{place}/approve").status_code == 403
        assert clients.read.get(place).json()["stage"] == "waiting_for_approval"
        assert clients.approve.post(f"{place}/approve", json={"note": "go"}).json()["stage"] == "building"
        assert clients.approve.post(f"{place}/approve").status_code == 409
        stand.until(lambda: bool(stand.trigger.models()))
        history = clients.read.get(f"/jobs/{job['id']}").json()["history"]
        assert any(step["who"].startswith("approve (key ") for step in history)
        lines = clients.admin.get("/audit?target=manual").json()["data"]
        told = [(line["key_name"], line["action"], line["outcome"], line["status"]) for line in reversed(lines)]
        assert told == [
            ("fire", "target.fire", "asked", 0),
            ("fire", "target.fire", "done", 202),
            ("approve", "decision.approve", "asked", 0),
            ("approve", "decision.approve", "done", 200),
            ("approve", "decision.approve", "asked", 0),
            ("approve", "decision.approve", "refused", 409),
        ]
        denied = [line for line in clients.admin.get("/audit").json()["data"] if line["status"] == 403]
        assert [(line["key_name"], line["action"], line["status"]) for line in denied] == [
            ("admin", "decision.approve", 403),
            ("fire", "decision.approve", 403),
        ]


def test_a_pause_a_measurement_an_explanation_and_a_cancel(stand: Stand, tmp_path: Path) -> None:
    with running(stand.trigger, stand.database, tmp_path) as clients:
        assert clients.admin.post("/targets/chat/pause", json={"why": "a freeze"}).json()["paused"]["why"] == "a freeze"
        told = clients.read.get("/targets/chat/explain").json()
        assert not told["fires"]
        assert "a freeze" in str(told["guards"])
        assert clients.fire.post("/targets/chat/measurements", json={"metric": "f1", "value": 0.3}).status_code == 202
        assert clients.fire.post("/targets/chat/measurements", json={"metric": "f2", "value": 0.3}).status_code == 422
        wish = clients.fire.post("/jobs", json={"target": "chat", "reason": "a slip"}).json()
        assert clients.fire.post(f"/jobs/{wish['id']}/cancel").json()["state"] == "withdrawn"
        assert clients.fire.post(f"/jobs/{wish['id']}/cancel").status_code == 409
        assert clients.admin.post("/targets/chat/resume").json()["paused"] is None
        stand.until(lambda: bool(stand.trigger.models()))  # the measurement is below the threshold
        assert clients.read.get("/decisions?target=chat").json()["data"]


def test_a_database_that_is_away_is_said_and_nothing_is_changed(servers: Servers, tmp_path: Path) -> None:
    stand = Stand(servers.fresh_database(), chat=target())
    with running(stand.trigger, stand.database, tmp_path) as clients:
        servers.postgres.stop()
        for answer in (
            clients.read.get("/targets"),
            clients.admin.post("/targets/chat/pause", json={"why": "never written"}),
            clients.admin.get("/audit"),
        ):
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
            assert int(answer.headers["retry-after"]) >= 1
            assert "psycopg" not in answer.text
        servers.postgres.start()
        assert wait_until(lambda: clients.read.get("/targets").is_success, 30)
        assert clients.read.get("/targets/chat").json()["paused"] is None
        assert clients.admin.get("/audit").json()["data"] == []
    stand.database.close()


def test_a_key_that_is_revoked_is_refused_within_a_second(tmp_path: Path) -> None:
    stand = Stand(f"sqlite:///{tmp_path}/trigger.sqlite")
    with running(stand.trigger, stand.database, tmp_path) as clients:
        file = KeyFile(tmp_path / "keys.json")
        (key,) = [key for key in file.listed() if key.name == "read"]
        file.revoke(key.id, datetime.now(UTC))
        began_s = time.monotonic()
        assert wait_until(lambda: clients.read.get("/targets").status_code == 401, 5)
        assert time.monotonic() - began_s < 1.5
    stand.database.close()


class Slow:
    """The trigger, whose targets take a while to tell."""

    def __init__(self, stand: Stand) -> None:
        self._trigger = stand.trigger
        self.asked, self.go = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._trigger, name)

    def target(self, name: str) -> TargetView:
        self.asked.set()
        assert self.go.wait(20)
        return self._trigger.target(name)


def test_what_is_asked_while_it_stops_is_answered_and_nothing_after(tmp_path: Path) -> None:
    stand = Stand(f"sqlite:///{tmp_path}/trigger.sqlite")
    slow = Slow(stand)
    file = KeyFile(tmp_path / "keys.json")
    key = file.create("all", ["read"], [], datetime.now(UTC))
    settings = Settings(trigger_keys_file=str(tmp_path / "keys.json"), trigger_port=0)
    with ThreadPoolExecutor() as pool:
        with serving(slow, stand.database, settings) as (host, port):  # type: ignore[arg-type]
            url = f"http://{host}:{port}{BASE}/targets/chat"
            answer = pool.submit(httpx2.get, url, headers={"X-API-Key": key}, timeout=30)
            assert slow.asked.wait(20)
            threading.Timer(0.3, slow.go.set).start()
        assert answer.result().json()["name"] == "chat"
        with pytest.raises(httpx2.TransportError):
            httpx2.get(url, headers={"X-API-Key": key})
    stand.database.close()


def test_a_wrong_setting_is_told_before_anything_starts(tmp_path: Path) -> None:
    stand = Stand()
    (tmp_path / "keys.json").write_text("{}")
    with (
        pytest.raises(KeyFileError, match=r"keys\.json"),
        serving(stand.trigger, stand.database, Settings(trigger_keys_file=str(tmp_path / "keys.json"))),
    ):
        pass
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(trigger_keys_file=str(tmp_path / "none.json"), trigger_port=taken.getsockname()[1])
        with (
            pytest.raises(SettingError, match="MILLRACE_TRIGGER_PORT"),
            serving(stand.trigger, stand.database, settings),
        ):
            pass
    stand.database.close()
