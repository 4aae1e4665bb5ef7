from __future__ import annotations

import functools
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

from deploy.local.process import free_port, wait_until
from streams.errors import SettingError
from streams.settings import Settings
from tests import trainers
from trainer_trigger.trainer import server
from trainer_trigger.trainer.processes import held
from trainer_trigger.trainer.server import Trainer, serve


def test_an_address_beyond_loopback_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(SettingError) as wrong:
        serve(Settings(trainer_host="0.0.0.0", trainer_home=str(tmp_path)))
    assert wrong.value.variable == "MILLRACE_TRAINER_KEY"


def test_a_home_has_one_service(tmp_path: Path) -> None:
    settings = Settings(trainer_home=str(tmp_path / "home"), trainer_models=str(tmp_path))
    first = Trainer(settings)
    with pytest.raises(SettingError) as wrong:
        Trainer(settings)
    assert "another trainer" in str(wrong.value)
    first.close(1)
    Trainer(settings).close(1)


def test_a_home_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError) as wrong:
        Trainer(Settings(trainer_home=str(tmp_path / "file")))
    assert wrong.value.variable == "MILLRACE_TRAINER_HOME"


def test_it_is_not_ready_without_base_models_or_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = tmp_path / "models"
    trainer = Trainer(Settings(trainer_home=str(tmp_path / "home"), trainer_models=str(models)))
    try:
        monkeypatch.setattr(server, "find_spec", lambda name: None if name == "peft" else object())
        assert trainer.problem() == "peft not installed: pip install 'millrace[trainer]'"
        monkeypatch.setattr(server, "find_spec", lambda _name: object())
        assert "MILLRACE_TRAINER_MODELS" in (trainer.problem() or "")
        trainers.stand_in_models(models)
        assert trainer.problem() is None
    finally:
        trainer.close(1)


SERVING = """
import functools, os, sys, time
from streams.settings import Settings
from tests.trainers import KEY, STAND_IN
from trainer_trigger.trainer import server

class Deaf:
    def complete(self, *_, **__):
        open(sys.argv[1] + "/asked", "w").close()
        time.sleep(120)

server.Trainer = functools.partial(server.Trainer, command=STAND_IN, answering=Deaf())
folder, port = sys.argv[1:]
server.serve(Settings(trainer_home=folder + "/home", trainer_models=folder + "/models", trainer_key=KEY,
                      trainer_port=int(port), drain_s=6.0))
"""


def test_a_stop_waits_for_no_long_answer_and_ends_the_training(tmp_path: Path) -> None:
    trainers.stand_in_models(tmp_path / "models")
    port = free_port(taken=())
    command = [sys.executable, "-c", SERVING, str(tmp_path), str(port)]
    with (tmp_path / "log").open("wb") as log, ThreadPoolExecutor(2) as pool:
        process = subprocess.Popen(command, cwd=trainers.REPOSITORY, stderr=log)
        try:
            client = trainers.client_of(f"http://127.0.0.1:{port}/v1")
            assert wait_until(lambda: _listens(port), 20), (tmp_path / "log").read_text()
            file = client.files.create(file=("a.jsonl", trainers.examples()), purpose="fine-tune")
            job = client.fine_tuning.jobs.create(model="slow", training_file=file.id).id
            folder = tmp_path / "home" / "jobs" / job
            assert wait_until(lambda: (folder / "checkpoints" / "step-2").exists(), 20)
            ask = functools.partial(
                client.chat.completions.create, model="quick", messages=[{"role": "user", "content": "x"}]
            )
            answers = [pool.submit(ask) for _ in range(2)]  # one is made, the other waits for it
            assert wait_until((tmp_path / "asked").exists, 20)
            begun_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            assert time.monotonic() - begun_s < 6
            assert not held(folder)
            for answer in answers:
                error = answer.exception(20)
                assert isinstance(error, openai.InternalServerError), error
                assert (error.status_code, error.code, error.type) == (503, "stopping", "server_error")
        finally:
            (tmp_path / "models" / "slow" / "go").touch()
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_service_loads_no_pytorch() -> None:
    heavy = ("torch", "transformers", "peft", "trl", "accelerate", "datasets")
    code = (
        f"import sys, trainer_trigger.trainer.server, trainer_trigger.trainer.supervisor; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=trainers.REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
