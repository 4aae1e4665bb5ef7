"""What becomes of jobs, with a stand-in for the training process that behaves as its base model is called."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import openai
import pytest

from deploy.local.process import wait_until
from streams.settings import Settings
from tests import trainers
from tests.trainers import KEY, Service, client_of, ended, examples
from trainer_trigger.trainer.processes import Process, held, pid_of
from trainer_trigger.trainer.supervisor import curves
from trainer_trigger.trainer.tables import Status


class Bench:
    """A service that can be stopped and started again on its home."""

    def __init__(self, folder: Path) -> None:
        self.models = trainers.stand_in_models(folder / "models")
        self.home = folder / "home"
        self.service: Service | None = None
        self.orphans: list[Process] = []
        self.start()

    def start(self, jobs: int = 1, grace_s: float = 20.0, retry_s: float = 0.05) -> None:
        home, models = str(self.home), str(self.models)
        self.service = Service(Settings(trainer_home=home, trainer_models=models, trainer_key=KEY, trainer_jobs=jobs))
        self.service.trainer.supervisor._grace_s = grace_s
        self.service.trainer.supervisor._retry_s = retry_s
        self.service.start()
        self.client = client_of(self.service.base_url)

    def stop(self) -> None:
        if self.service is not None:
            self.client.close()
            self.service.stop()
            self.service = None

    def die(self) -> None:
        """End as kill -9 does: the training processes go on, and nothing is written."""
        assert self.service is not None
        supervisor = self.service.trainer.supervisor
        supervisor._stopping.set()
        supervisor._thread.join()
        self.orphans += supervisor._processes.values()
        supervisor._processes.clear()
        self.stop()

    def create(self, model: str, content: bytes | None = None, **more: Any) -> str:
        file = self.client.files.create(file=("a.jsonl", content or examples()), purpose="fine-tune")
        return self.client.fine_tuning.jobs.create(model=model, training_file=file.id, **more).id

    def status(self, job_id: str) -> str:
        return self.client.fine_tuning.jobs.retrieve(job_id).status

    def folder(self, job_id: str) -> Path:
        return self.home / "jobs" / job_id

    def words(self, job_id: str) -> list[str]:
        return [event.message for event in self.client.fine_tuning.jobs.list_events(job_id)][::-1]

    def trains(self, job_id: str) -> bool:
        """Whether the slow one waits for its `go`."""
        return any("Step 3/" in each for each in self.words(job_id))

    def go(self, model: str = "slow") -> None:
        (self.models / model / "go").touch()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for model in ("slow", "deaf"):
        made.go(model)
    made.stop()
    assert all(process.wait(20) for process in made.orphans)
    assert not any(held(folder) for folder in made.home.glob("jobs/*"))


def error_of(job: openai.types.fine_tuning.FineTuningJob) -> openai.types.fine_tuning.fine_tuning_job.Error:
    assert job.error is not None
    return job.error


def test_a_process_that_is_always_killed_at_the_same_step_is_started_again_three_times_then_the_job_fails(
    bench: Bench,
) -> None:
    job = ended(bench.client, bench.create("dies"))
    assert job.status == "failed"
    assert error_of(job).code == "training_process_died"
    assert not list(bench.folder(job.id).glob("*.jsonl"))
    assert "killed by SIGKILL (out of memory?), 4 times without progress" in error_of(job).message
    assert sum("killed by SIGKILL" in each for each in bench.words(job.id)[:-1]) == 3
    assert job.fine_tuned_model is None


def test_a_job_whose_process_died_keeps_its_checkpoints(bench: Bench) -> None:
    job = ended(bench.client, bench.create("dies"))
    assert [path.name for path in sorted(bench.folder(job.id).glob("checkpoints/*"))] == ["step-1", "step-2"]


def test_a_process_that_comes_further_each_time_is_started_again_as_often_as_it_takes(bench: Bench) -> None:
    job = ended(bench.client, bench.create("dies-often"))
    assert sum("killed by SIGKILL" in each for each in bench.words(job.id)) == 6
    assert job.status == "succeeded"


def test_starts_are_counted_anew_after_progress(bench: Bench) -> None:
    job = ended(bench.client, bench.create("dies-late"))
    assert sum("killed by SIGKILL" in each for each in bench.words(job.id)[:-1]) == 4 + 2
    assert "4 times without progress" in error_of(job).message


def test_a_full_disk_is_waited_for_and_counts_as_no_start(bench: Bench) -> None:
    job = bench.create("full")
    told = "The disk is full. Training goes on when there is room."
    assert wait_until(lambda: bench.words(job).count(told) > 6, 20)
    assert bench.status(job) == "running"
    assert (bench.folder(job) / "checkpoints" / "step-2").is_dir()
    (bench.models / "full" / "room").touch()
    assert ended(bench.client, job).status == "succeeded"
    assert bench.service is not None
    assert bench.service.trainer.jobs.find(job).starts == 1


def test_a_job_that_waits_for_room_keeps_its_place_and_can_be_cancelled(bench: Bench) -> None:
    bench.stop()
    bench.start(retry_s=3600)
    job, waiting = bench.create("full"), bench.create("quick")
    assert wait_until(lambda: any("disk is full" in each for each in bench.words(job)), 20)
    assert wait_until(lambda: bench.status(waiting) == "queued", 20)
    assert bench.words(job).count("Training goes on from its last checkpoint.") == 0
    assert bench.status(waiting) == "queued"
    bench.client.fine_tuning.jobs.cancel(job)
    assert ended(bench.client, waiting).status == "succeeded"
    assert bench.status(job) == "cancelled"
    assert not (bench.folder(job) / "checkpoints").exists()


def test_a_process_that_is_killed_once_goes_on_where_it_was(bench: Bench) -> None:
    job = ended(bench.client, bench.create("dies-once"))
    assert job.status == "succeeded"
    told = [each for each in bench.words(job.id) if each.startswith("Step")]
    assert [each.partition(":")[0] for each in told] == [f"Step {n}/6" for n in range(1, 7)]
    assert "Training goes on from its last checkpoint." in bench.words(job.id)


def test_a_training_that_fails_says_why(bench: Bench) -> None:
    job = ended(bench.client, bench.create("diverges"))
    assert (job.status, error_of(job).code) == ("failed", "training_diverged")


def test_jobs_run_in_the_order_of_their_creation_one_at_a_time(bench: Bench) -> None:
    first, second, third = bench.create("slow"), bench.create("quick"), bench.create("quick")
    assert wait_until(lambda: bench.trains(first), 20)
    assert wait_until(lambda: bench.status(third) == "queued", 20)
    assert bench.status(second) == "queued"
    bench.go()
    done = [ended(bench.client, job) for job in (first, second, third)]
    assert [job.status for job in done] == ["succeeded"] * 3
    finished = [bench.service.trainer.jobs.find(job.id) for job in done]  # type: ignore[union-attr]
    assert all(a.finished_ms <= (b.begun_ms or 0) for a, b in pairwise(finished))  # type: ignore[operator]


def test_as_many_jobs_run_at_once_as_are_set(bench: Bench) -> None:
    bench.stop()
    bench.start(jobs=2)
    jobs = [bench.create("slow") for _ in range(3)]
    assert wait_until(lambda: bench.trains(jobs[0]) and bench.trains(jobs[1]), 20)
    assert bench.status(jobs[2]) == "queued"
    bench.go()
    assert {ended(bench.client, job).status for job in jobs} == {"succeeded"}


def test_a_running_job_that_is_cancelled_ends_and_makes_room(bench: Bench) -> None:
    job, waiting = bench.create("slow"), bench.create("quick")
    assert wait_until(lambda: bench.trains(job), 20)
    assert bench.client.fine_tuning.jobs.cancel(job).status == "cancelled"
    assert bench.client.fine_tuning.jobs.cancel(job).status == "cancelled"
    assert ended(bench.client, waiting).status == "succeeded"
    over = bench.client.fine_tuning.jobs.retrieve(job)
    assert (over.status, over.fine_tuned_model, over.trained_tokens) == ("cancelled", None, 7)
    assert not (bench.folder(job) / "checkpoints").exists()
    assert not list(bench.folder(job).glob("*.jsonl"))
    assert not held(bench.folder(job))


def test_a_process_that_does_not_hear_the_cancel_is_killed(bench: Bench) -> None:
    bench.stop()
    bench.start(grace_s=0.5)
    job = bench.create("deaf")
    assert wait_until(lambda: bench.trains(job), 20)
    bench.client.fine_tuning.jobs.cancel(job)
    assert wait_until(lambda: not held(bench.folder(job)), 20)
    assert bench.status(job) == "cancelled"


def test_a_queued_job_keeps_its_data_when_the_file_is_deleted(bench: Bench) -> None:
    first, second = bench.create("slow"), bench.create("quick")
    assert wait_until(lambda: bench.trains(first) and bench.status(second) == "queued", 20)
    bench.client.files.delete(bench.client.fine_tuning.jobs.retrieve(second).training_file)
    bench.go()
    assert ended(bench.client, second).status == "succeeded"


def test_a_queued_job_that_is_cancelled_never_starts(bench: Bench) -> None:
    first, second = bench.create("slow"), bench.create("quick")
    assert wait_until(lambda: bench.trains(first) and bench.status(second) == "queued", 20)
    bench.client.fine_tuning.jobs.cancel(second)
    bench.go()
    ended(bench.client, first)
    assert bench.status(second) == "cancelled"
    assert not (bench.folder(second) / "events.ndjson").exists()


def test_a_restarted_service_waits_for_the_process_that_still_trains(bench: Bench) -> None:
    job = bench.create("slow")
    assert wait_until(lambda: bench.trains(job), 20)
    bench.die()
    assert held(bench.folder(job))
    bench.start()
    assert bench.status(job) == "running"
    bench.go()
    done = ended(bench.client, job)
    assert done.status == "succeeded"
    assert sum("Training" in each for each in bench.words(job)) == 1
    steps = [each for each in bench.words(job) if each.startswith("Step")]
    assert len(steps) == len(set(steps)) == 6


def test_a_service_that_is_stopped_ends_the_processes_that_it_found_too(bench: Bench) -> None:
    job = bench.create("slow")
    assert wait_until(lambda: bench.trains(job), 20)
    bench.die()
    bench.start()
    assert bench.service is not None
    assert wait_until(lambda: job in bench.service.trainer.supervisor._processes, 20)  # type: ignore[union-attr]
    bench.stop()
    assert not held(bench.folder(job))
    bench.start()
    bench.go()
    assert ended(bench.client, job).status == "succeeded"


def test_a_file_that_is_deleted_while_a_job_is_made_of_it_makes_none(bench: Bench) -> None:
    assert bench.service is not None
    trainer = bench.service.trainer
    prepared = trainer.jobs._prepare

    def then_deleted(job_id: str, asked: Any, *others: Any) -> None:
        prepared(job_id, asked, *others)
        bench.client.files.delete(asked.training_file)

    trainer.jobs._prepare = then_deleted  # type: ignore[method-assign,assignment]
    with pytest.raises(openai.BadRequestError) as refused:
        bench.create("quick")
    assert (refused.value.param, refused.value.code) == ("training_file", "file_not_found")
    assert bench.client.fine_tuning.jobs.list().data == []
    assert list((bench.home / "jobs").iterdir()) == []


def test_a_job_whose_process_died_with_the_service_goes_on(bench: Bench) -> None:
    job = bench.create("slow")
    assert wait_until(lambda: bench.trains(job), 20)
    os.killpg(int((bench.folder(job) / "pid").read_text()), signal.SIGKILL)
    bench.die()
    bench.go()
    bench.start()
    assert ended(bench.client, job).status == "succeeded"
    assert "Training goes on from its last checkpoint." in bench.words(job)


def test_a_process_that_finds_the_folder_taken_is_none(bench: Bench) -> None:
    with (bench.models / "slow" / "taken").open("wb") as lock:  # a lock of somebody else's, in the place of the job's
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert bench.service is not None
        prepared = bench.service.trainer.jobs._prepare

        def with_lock(job_id: str, *others: Any) -> None:
            prepared(job_id, *others)
            os.link(lock.name, bench.folder(job_id) / "lock")

        bench.service.trainer.jobs._prepare = with_lock  # type: ignore[method-assign,assignment]
        job = bench.create("quick")
        assert wait_until(lambda: bench.status(job) == "running", 20)
        find = bench.service.trainer.jobs.find
        assert wait_until(lambda: find(job).starts == 0, 20)
        assert bench.status(job) == "running"
    done = ended(bench.client, job)
    assert done.status == "succeeded"
    assert bench.service.trainer.jobs.find(job).starts == 1


def test_a_job_that_ended_while_the_service_was_away_is_found_ended(bench: Bench) -> None:
    job = bench.create("slow")
    assert wait_until(lambda: bench.trains(job), 20)
    bench.die()
    bench.go()
    assert wait_until(lambda: (bench.folder(job) / "result.json").exists(), 20)
    bench.start()
    assert ended(bench.client, job).status == "succeeded"


def test_a_service_that_is_stopped_ends_its_processes_and_that_is_no_failure(bench: Bench) -> None:
    job = bench.create("slow")
    for _ in range(5):  # more often than a process may die
        assert wait_until(lambda: bench.status(job) == "running" and pid_of(bench.folder(job)) is not None, 20)
        bench.stop()
        assert not held(bench.folder(job))
        bench.start()
    bench.go()
    assert ended(bench.client, job).status == "succeeded"


def test_a_cancel_that_the_service_did_not_live_to_see_through_is_seen_through(bench: Bench) -> None:
    job = bench.create("slow")
    assert wait_until(lambda: bench.trains(job), 20)
    assert bench.service is not None
    bench.service.trainer.supervisor._stopping.set()
    bench.service.trainer.supervisor._thread.join()
    bench.client.fine_tuning.jobs.cancel(job)
    bench.die()
    assert held(bench.folder(job))
    bench.start()
    assert wait_until(lambda: not held(bench.folder(job)), 20)
    assert bench.status(job) == "cancelled"


def test_a_job_whose_folder_is_gone_fails_and_holds_up_nobody(bench: Bench) -> None:
    first, second, third = bench.create("slow"), bench.create("quick"), bench.create("quick")
    assert wait_until(lambda: bench.trains(first) and bench.status(second) == "queued", 20)
    shutil.rmtree(bench.folder(second))
    assert error_of(ended(bench.client, second)).code == "job_lost"
    bench.go()
    assert ended(bench.client, third).status == "succeeded"


def test_files_are_swept_of_what_no_row_knows_and_data_goes_with_the_end_of_its_job(bench: Bench) -> None:
    job = bench.create("quick")
    assert ended(bench.client, job).status == "succeeded"
    assert not list(bench.folder(job).glob("*.jsonl"))
    bench.stop()
    (bench.home / "files" / ".half.part").write_bytes(b"x")
    (bench.home / "files" / "file-orphan").write_bytes(b"x")
    (bench.home / "jobs" / "ftjob-never").mkdir()
    bench.start()
    kept = {path.name for path in (bench.home / "files").iterdir()}
    assert kept == {file.id for file in bench.client.files.list()}
    assert [path.name for path in (bench.home / "jobs").iterdir()] == [job]


def test_a_tuned_model_answers_after_a_restart_and_is_gone_after_its_delete(bench: Bench) -> None:
    job = ended(bench.client, bench.create("quick", suffix="mine"))
    model = job.fine_tuned_model or ""
    bench.stop()
    bench.start()
    asked = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
    said = bench.client.chat.completions.create(**asked)  # type: ignore[call-overload]
    assert said.choices[0].message.content == "tuned: Hi"
    assert bench.service is not None
    base, adapter = bench.service.parrot.asked[:2]
    assert (base, adapter) == (bench.models / "quick", bench.folder(job.id) / "adapter")
    bench.client.models.delete(model)
    with pytest.raises(openai.NotFoundError):
        bench.client.chat.completions.create(**asked)  # type: ignore[call-overload]
    assert not bench.folder(job.id).exists()
    assert bench.status(job.id) == "succeeded"


def test_a_deleted_model_that_a_crash_left_on_the_disk_goes_at_the_next_start(bench: Bench) -> None:
    job, kept = (ended(bench.client, bench.create("quick")) for _ in range(2))
    assert bench.service is not None
    bench.service.trainer.store.move(job.id, {Status.SUCCEEDED}, {"deleted": True})  # and there the service dies
    bench.die()
    assert (bench.folder(job.id) / "adapter").is_dir()
    bench.start()
    assert not bench.folder(job.id).exists()
    assert (bench.folder(kept.id) / "adapter").is_dir()


def test_the_time_of_the_end_is_estimated_while_a_job_trains(bench: Bench) -> None:
    job = bench.create("slow")
    assert wait_until(lambda: bench.trains(job), 20)
    shown = bench.client.fine_tuning.jobs.retrieve(job)
    assert shown.estimated_finish is not None
    assert shown.estimated_finish >= shown.created_at
    bench.go()
    assert ended(bench.client, job).estimated_finish is None


def test_hyperparameters_are_told_once_the_files_are_known(bench: Bench) -> None:
    job = bench.create("slow", examples(40))
    assert wait_until(lambda: bench.trains(job), 20)
    told = bench.client.fine_tuning.jobs.retrieve(job).hyperparameters
    assert (told.n_epochs, told.batch_size, told.learning_rate_multiplier) == (3, 4, 1.0)


def test_curves_have_a_row_a_step_and_the_last_word_counts() -> None:
    told: list[dict[str, Any]] = [
        {"step": 2, "train_loss": 1.0},
        {"step": 1, "train_loss": 2.0},
        {"step": 2, "valid_loss": 0.5},
        {"note": 1},
    ]
    assert curves(told).decode().splitlines() == [
        "step,train_loss,train_mean_token_accuracy,valid_loss,full_valid_loss,full_valid_mean_token_accuracy",
        "1,2.0,,,,",
        "2,1.0,,0.5,,",
    ]
