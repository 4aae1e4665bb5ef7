"""From a real lake to a job at a provider, on PostgreSQL, with processes that are killed and a provider that fails."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.local.process import free_port, wait_until
from millrace.made_up import events
from schemas.intake import event_to_json
from streams import embedded
from streams.lake.query import connect
from streams.settings import Settings
from streams.settings import environment as environment_of
from tests.fine_tuning_server import Fault, FineTuningServer
from tests.servers import Servers
from trainer_trigger.launchers import Timing
from trainer_trigger.launchers.openai import LAUNCH_KEY
from trainer_trigger.service import Trigger
from trainer_trigger.wiring import open_trigger

REPOSITORY = Path(__file__).parents[2]
INTERACTIONS = 400
KEY = "k" * 32
SOON = Timing(lease_s=30.0, retry_s=0.05, poll_s=0.05)
KILLS = 3


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Made by the real agents and sink."""
    folder = tmp_path_factory.mktemp("trigger")
    source = folder / "made-up.jsonl"
    source.write_bytes(b"".join(event_to_json(event) + b"\n" for event in events(INTERACTIONS)))
    root = str(folder / "lake")
    done = embedded.run([embedded.Input(source, "events", "demo")], Settings(lake=root), lambda *_: None)
    assert done.balance.adds_up
    return root


@pytest.fixture
def server() -> Iterator[FineTuningServer]:
    with FineTuningServer() as server:
        server.ends_as = "succeeded"
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/trigger.sqlite"
    servers: Servers = request.getfixturevalue("servers")
    return servers.fresh_database()


def settings(lake: str, folder: Path, base_url: str, database: str = "", **changes: Any) -> Settings:
    """One target, `chat`, that fires at 150 samples."""
    dataset = {"min_score": 0.5, "golden": "none", "harm": "none", **changes.pop("dataset", {})}
    chat = {
        "policy": {"volume": {"samples": 150}},
        "dataset": dataset,
        "training": {"base_model": "tiny", "epochs": 1},
        "launcher": {"openai": {"base_url": base_url, "provider": "millrace"}},
        "cooldown_hours": 0,
        **changes,
    }
    path = folder / "targets.yaml"
    path.write_text(json.dumps({"version": 1, "targets": {"chat": chat}}))  # JSON is YAML
    return Settings(
        lake=lake,
        targets=str(path),
        datasets=str(folder / "datasets"),
        hash_key=KEY,
        database_url=database or f"sqlite:///{folder}/trigger.sqlite",
    )


def environment(configured: Settings) -> dict[str, str]:
    """Of a process with these settings."""
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "client")])
    return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore", **environment_of(configured)}


@contextmanager
def opened(configured: Settings) -> Iterator[Trigger]:
    made = open_trigger(configured, SOON)
    try:
        yield made.trigger
    finally:
        made.database.close()


def until(trigger: Trigger, holds: Callable[[], bool]) -> None:
    def ticked() -> bool:
        trigger.tick()
        return holds()

    assert wait_until(ticked, 60), trigger.jobs() or trigger.explain("chat")


def ended(trigger: Trigger) -> Callable[[], bool]:
    return lambda: bool(trigger.jobs()) and trigger.jobs()[0].state in {"succeeded", "failed", "refused"}


def test_enough_samples_in_a_real_lake_become_a_dataset_and_one_job(
    lake: str, server: FineTuningServer, database: str, tmp_path: Path
) -> None:
    with opened(settings(lake, tmp_path, server.base_url, database)) as trigger:
        until(trigger, ended(trigger))
        (model,) = trigger.models()
        (job,) = server.jobs.values()
        assert (job.body["model"], job.body["metadata"][LAUNCH_KEY]) == ("tiny", model.key)
        assert model.model_id == f"ft:tiny:{job.id}"
        uploaded = server.uploads[job.body["training_file"]]
        assert uploaded == (Path(model.dataset_place) / "train.jsonl").read_bytes()
        manifest = json.loads((Path(model.dataset_place) / "manifest.json").read_bytes())
        assert manifest["dataset_hash"] == model.dataset_hash
        assert manifest["table_versions"]["samples"] == model.versions.samples >= 0
        until(trigger, lambda: trigger.target("chat").fresh == 0)
        assert "are missing" in trigger.explain("chat").words
        trigger.tick()
        assert len(server.jobs) == 1


@pytest.mark.timeout(600)
def test_processes_that_are_killed_at_any_moment_leave_one_job(
    lake: str, server: FineTuningServer, servers: Servers, tmp_path: Path
) -> None:
    configured = settings(lake, tmp_path, server.base_url, servers.fresh_database())
    environ = environment(configured)
    alive: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, str(REPOSITORY / "tests/integration/trigger_process.py")]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE)
        alive.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    chance = random.Random(7)
    server.fail("POST jobs", Fault.DROP_AFTER, Fault.ERROR_AFTER)
    with opened(configured) as looks:
        try:
            for _ in range(KILLS):
                victim = start()
                time.sleep(chance.uniform(0, 0.8))  # somewhere in its first rounds
                victim.kill()
            start(), start()
            assert wait_until(lambda: bool(looks.models()), 120), looks.jobs()
        finally:
            for process in alive:
                process.kill()
                process.communicate()
        assert len(looks.jobs()) == 1
        assert [job.body["metadata"][LAUNCH_KEY] for job in server.jobs.values()] == [looks.models()[0].key]


def test_a_person_approves_before_anything_is_built(lake: str, server: FineTuningServer, tmp_path: Path) -> None:
    with opened(settings(lake, tmp_path, server.base_url, approval="manual")) as trigger:
        trigger.tick()
        (waiting,) = trigger.jobs()
        assert waiting.state == "waiting_for_approval"
        assert not (tmp_path / "datasets" / "chat").exists()
        trigger.approve(waiting.id, "bea")
        until(trigger, ended(trigger))
        assert (trigger.job(waiting.id).state, len(server.jobs)) == ("succeeded", 1)


def test_a_spent_budget_is_a_no_that_says_so(lake: str, server: FineTuningServer, tmp_path: Path) -> None:
    with opened(settings(lake, tmp_path, server.base_url, budget_cents=50, cost_cents=60)) as trigger:
        trigger.tick()
        trigger.tick()
        assert "a run costs 60 cents, 50 of 50 are left in" in trigger.explain("chat").words
        (only,) = trigger.decisions("chat")
        assert (only.stage, only.times, server.jobs) == ("no", 2, {})


def test_a_golden_set_that_leaks_refuses_by_name_and_is_not_built_again_every_tick(
    lake: str, server: FineTuningServer, tmp_path: Path
) -> None:
    with connect(lake) as connection:
        query = "SELECT instruction FROM samples_current WHERE score >= 0.5 ORDER BY sample_id LIMIT 1"
        prompt = connection.execute(query).fetchall()[0][0]
    (tmp_path / "golden.jsonl").write_text(json.dumps({"prompt": prompt}) + "\n")
    with opened(settings(lake, tmp_path, server.base_url, dataset={"golden": "golden.jsonl"})) as trigger:
        until(trigger, ended(trigger))
        trigger.tick()
        (refused,) = trigger.jobs()
        assert refused.state == "refused"
        assert "golden.jsonl" in refused.note and "line 1" in refused.note
        assert "golden.jsonl" in trigger.explain("chat").words
        assert server.jobs == {}


@pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.ERROR_BEFORE, Fault.ERROR_AFTER, Fault.DROP_AFTER])
def test_a_provider_that_fails_for_a_moment_makes_one_job_all_the_same(
    lake: str, server: FineTuningServer, tmp_path: Path, fault: Fault
) -> None:
    server.fail("POST jobs", fault)
    with opened(settings(lake, tmp_path, server.base_url)) as trigger:
        until(trigger, ended(trigger))
        assert (trigger.jobs()[0].state, len(server.jobs)) == ("succeeded", 1)


def test_a_provider_that_is_closed_is_a_clear_state_and_nothing_is_lost(lake: str, tmp_path: Path) -> None:
    with FineTuningServer() as gone:
        base_url = gone.base_url
    with opened(settings(lake, tmp_path, base_url)) as trigger:
        until(trigger, lambda: "onnection" in trigger.jobs()[0].note)
        assert trigger.jobs()[0].state == "launching"
        assert "is launching (APIConnectionError" in trigger.explain("chat").words


def test_a_lake_that_is_not_there_yet_is_a_no_that_says_so(server: FineTuningServer, tmp_path: Path) -> None:
    with opened(settings(str(tmp_path / "lake"), tmp_path, server.base_url)) as trigger:
        trigger.tick()
        assert "the lake has no samples yet" in trigger.explain("chat").words


def test_the_role_is_ready_works_and_ends_on_sigterm(lake: str, server: FineTuningServer, tmp_path: Path) -> None:
    configured = settings(lake, tmp_path, server.base_url)
    metrics_port = free_port()
    port = free_port([metrics_port])
    environ = {
        **environment(configured),
        "MILLRACE_TRIGGER_EVERY_S": "0.2",
        "MILLRACE_METRICS_PORT": str(metrics_port),
        "MILLRACE_TRIGGER_PORT": str(port),
        "MILLRACE_TRIGGER_KEYS_FILE": str(tmp_path / "keys.json"),
    }
    role = subprocess.Popen([sys.executable, "-m", "millrace", "trigger", "run"], env=environ, stderr=subprocess.PIPE)
    try:
        assert wait_until(lambda: answer(metrics_port, "/readyz")[0] == 200, 120)
        assert wait_until(lambda: answer(port, "/healthz")[0] == 200, 10)
        assert wait_until(lambda: len(server.jobs) == 1, 60)
        assert 'millrace_trigger_decisions_total{kind="fires",target="chat"} 1.0' in answer(metrics_port, "/metrics")[1]
        role.send_signal(signal.SIGTERM)
        assert role.wait(60) == 0
    finally:
        role.kill()
        role.communicate()


def answer(port: int, path: str) -> tuple[int, str]:
    """Status and body; status 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as told:
            return told.status, told.read().decode()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, ""
    except OSError:
        return 0, ""
