"""`millrace trainer` as a process, with real training on a tiny model: killed, stopped, cancelled, and driven by us."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from deploy.local.process import wait_until
from schemas.training import Training
from tests import trainers
from tests.trainers import KEY, Process, client_of, ended
from trainer_trigger.launchers import DataFile, LaunchRequest, Scheduler, Timing
from trainer_trigger.launchers.openai import OpenAILauncher, OpenAISettings
from trainer_trigger.ledger import State
from trainer_trigger.ledger.sql import SqlLedger
from trainer_trigger.trainer.processes import held, pid_of

TEACH = {"batch_size": 4, "learning_rate": 5e-3, "lora_rank": 8, "lora_alpha": 16}
WITHIN_S = 200


def lesson(count: int = 64) -> bytes:
    asked = (f"What colour has thing number {number}?" for number in range(count))
    turns = ([{"role": "user", "content": each}, {"role": "assistant", "content": "It is blue."}] for each in asked)
    return b"".join(json.dumps({"messages": messages}).encode() + b"\n" for messages in turns)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trainers.need_torch()
    return trainers.tiny_models(tmp_path_factory.mktemp("models"), [lesson().decode()])


@pytest.fixture
def trainer(models: Path, tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path / "home", models)
    try:
        process.start()
        yield process
    finally:
        process.close()


@pytest.fixture
def client(trainer: Process) -> Iterator[openai.OpenAI]:
    with client_of(trainer.base_url) as made:
        yield made


def create(client: openai.OpenAI, n_epochs: int) -> str:
    file = client.files.create(file=("lesson.jsonl", lesson()), purpose="fine-tune")
    method = {"type": "supervised", "supervised": {"hyperparameters": {**TEACH, "n_epochs": n_epochs}}}
    return client.fine_tuning.jobs.create(model="tiny", training_file=file.id, method=method, seed=3).id  # type: ignore[arg-type]


def steps_of(client: openai.OpenAI, job: str) -> list[int]:
    told = client.fine_tuning.jobs.list_events(job, limit=100)
    return [each.data["step"] for each in told if isinstance(each.data, dict) and "train_loss" in each.data][::-1]


def checkpoint_made(trainer: Process, job: str) -> bool:
    return any((trainer.home / "jobs" / job / "checkpoints").glob("step-*[0-9]"))


def test_a_job_survives_that_its_process_and_then_the_service_are_killed(
    trainer: Process, client: openai.OpenAI
) -> None:
    job = create(client, n_epochs=12)
    folder = trainer.home / "jobs" / job
    assert wait_until(lambda: checkpoint_made(trainer, job), WITHIN_S)
    first = pid_of(folder)
    assert first is not None
    os.killpg(first, signal.SIGKILL)
    assert wait_until(lambda: any("SIGKILL" in each.message for each in client.fine_tuning.jobs.list_events(job)), 30)
    assert wait_until(lambda: pid_of(folder) not in (None, first), WITHIN_S)
    again = len(steps_of(client, job))
    assert wait_until(lambda: len(steps_of(client, job)) > again, WITHIN_S)
    second = pid_of(folder)
    assert second is not None
    os.killpg(second, signal.SIGSTOP)  # so that it cannot end before the service is back
    trainer.end(signal.SIGKILL)
    assert held(folder)
    trainer.start()
    assert client.fine_tuning.jobs.retrieve(job).status == "running"
    os.killpg(second, signal.SIGCONT)
    done = ended(client, job, WITHIN_S)
    assert done.status == "succeeded", done.error
    assert [each.id for each in client.fine_tuning.jobs.list()] == [job]
    steps = steps_of(client, job)
    assert steps == sorted(set(steps))
    assert steps[-1] == 16 * 12
    said = client.chat.completions.create(
        model=done.fine_tuned_model or "",
        messages=[{"role": "user", "content": "What colour has thing number 99?"}],
        temperature=0,
        max_tokens=12,
    )
    assert said.choices[0].message.content == "It is blue."


def test_a_service_that_is_stopped_ends_with_0_and_its_job_goes_on_afterwards(
    trainer: Process, client: openai.OpenAI
) -> None:
    job = create(client, n_epochs=12)
    assert wait_until(lambda: checkpoint_made(trainer, job), WITHIN_S)
    assert trainer.end(signal.SIGTERM) == 0
    assert not held(trainer.home / "jobs" / job)
    trainer.start()
    done = ended(client, job, WITHIN_S)
    assert done.status == "succeeded", done.error
    steps = steps_of(client, job)
    assert steps == sorted(set(steps))
    assert steps[-1] == 16 * 12


def test_a_job_is_there_when_the_service_is_killed_right_after_the_answer(models: Path, tmp_path: Path) -> None:
    trainer = Process(tmp_path / "home", models)
    try:
        for round_ in range(3):
            trainer.start()
            with client_of(trainer.base_url) as client:
                file = client.files.create(file=("few.jsonl", lesson(4)), purpose="fine-tune")
                mark = {"round": str(round_)}
                job = client.fine_tuning.jobs.create(model="tiny", training_file=file.id, metadata=mark)
                trainer.end(signal.SIGKILL)
                trainer.start()
                assert [each.id for each in client.fine_tuning.jobs.list(metadata=mark)] == [job.id]
                failed = ended(client, job.id)  # 4 examples are too few
                assert failed.error is not None
                assert failed.error.code == "invalid_n_examples"
                client.files.delete(file.id)
                trainer.end(signal.SIGKILL)
                trainer.start()
                with pytest.raises(openai.BadRequestError):
                    client.fine_tuning.jobs.create(model="tiny", training_file=file.id)
            trainer.end(signal.SIGTERM)
    finally:
        trainer.close()


def test_a_training_that_is_cancelled_ends(trainer: Process, client: openai.OpenAI) -> None:
    job = create(client, n_epochs=50)
    assert wait_until(lambda: bool(steps_of(client, job)), WITHIN_S)
    assert client.fine_tuning.jobs.cancel(job).status == "cancelled"
    assert wait_until(lambda: not held(trainer.home / "jobs" / job), WITHIN_S)
    assert client.fine_tuning.jobs.retrieve(job).fine_tuned_model is None
    assert not (trainer.home / "jobs" / job / "adapter").exists()


def test_our_own_launch_runs_to_its_end_once_with_its_loss_curve_in_the_ledger(
    trainer: Process, client: openai.OpenAI, tmp_path: Path
) -> None:
    files = {}
    for name in ("train", "valid"):
        path = tmp_path / f"{name}.jsonl"
        path.write_bytes(lesson())
        digest = hashlib.sha256(lesson()).hexdigest()
        files[name] = DataFile(place=str(path), sha256=digest, size_bytes=len(lesson()), examples=64)
    training = Training(base_model="tiny", epochs=3, batch_size=4, learning_rate=5e-3, lora_rank=8, suffix="launched")
    request = LaunchRequest(
        target="chat",
        table_version=3,
        dataset_hash="abc",
        training=training,
        train_file=files["train"],
        validation_file=files["valid"],
    )
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    settings = OpenAISettings(base_url=trainer.base_url, api_key=KEY, provider="millrace", settles_s=0)
    launcher = OpenAILauncher(settings)
    try:
        lease = ledger.acquire("chat", "policy", 10_000)
        assert lease is not None
        key = ledger.intend(lease, request.intent("decision")).key
        ledger.release(lease)
        scheduler = Scheduler(ledger, {"chat": launcher}, "scheduler", Timing(retry_s=0.2, poll_s=0.2))

        def over() -> bool:
            scheduler.tick()
            return ledger.launch(key).state in {State.SUCCEEDED, State.FAILED, State.BLOCKED}

        assert wait_until(over, WITHIN_S)
        launch = ledger.launch(key)
        assert launch.state == State.SUCCEEDED, launch.note
        assert launch.model in {model.id for model in client.models.list()}
        assert [job.id for job in client.fine_tuning.jobs.list()] == [launch.job_id]
        losses = [point.value for point in ledger.curve(key, "train_loss")]
        assert losses[-1] < losses[0] / 2
        assert ledger.curve(key, "full_valid_loss")
    finally:
        launcher.close()
        ledger.close()
