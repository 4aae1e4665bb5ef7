from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.local.process import free_port, wait_until
from schemas.training import Training
from tests.fine_tuning_server import Fault, FineTuningServer
from tests.unit.trainer_trigger.launchers.requests import data_file, request_in
from trainer_trigger.launchers import JobState
from trainer_trigger.launchers.errors import (
    LauncherUnavailable,
    LaunchRefusedError,
    LaunchStateUnknownError,
    UnknownJobError,
)
from trainer_trigger.launchers.openai import OpenAILauncher, OpenAISettings
from trainer_trigger.launchers.providers import MAX_FILE_BYTES, TAKES, Provider
from trainer_trigger.ledger import Point

KEY = "0123456789abcdef"


@pytest.fixture
def server() -> Iterator[FineTuningServer]:
    with FineTuningServer() as server:
        yield server


@pytest.fixture
def launcher(server: FineTuningServer) -> Iterator[OpenAILauncher]:
    launcher = launcher_at(server.base_url)
    yield launcher
    launcher.close()


def launcher_at(base_url: str, **settings: object) -> OpenAILauncher:
    given = {"provider": "millrace", "settles_s": 0.0, "create_timeout_s": 0.3, "timeout_s": 5.0, **settings}
    return OpenAILauncher(msgspec.convert({"base_url": base_url, "api_key": "secret", **given}, OpenAISettings))


def test_the_job_is_created_with_everything_that_was_said(
    server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path
) -> None:
    training = Training(base_model="tiny", epochs=3, batch_size=4, learning_rate=2e-5, lora_rank=8, suffix="v1", seed=5)
    request = request_in(tmp_path, training)
    files = launcher.upload(request, KEY, 1)
    job = launcher.create(request, KEY, files)
    body = server.jobs[job].body
    assert body["method"] == {
        "type": "supervised",
        "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": 4, "learning_rate": 2e-5, "lora_rank": 8}},
    }
    assert (body["model"], body["suffix"], body["seed"]) == ("tiny", "v1", 5)
    assert (body["training_file"], body["validation_file"]) == files
    assert body["metadata"] == {"millrace_launch": KEY, "millrace_target": "chat", "millrace_dataset": "abc"}
    assert server.files[files[0]][1] == Path(request.train_file.place).read_bytes()


def test_dpo_sends_its_beta(server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path) -> None:
    request = request_in(tmp_path, Training(base_model="tiny", method="dpo", beta=0.1))
    job = launcher.create(request, KEY, launcher.upload(request, KEY, 1))
    assert server.jobs[job].body["method"] == {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1}}}


def test_a_file_that_is_there_is_not_sent_again_and_a_new_attempt_sends_its_own(
    server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path
) -> None:
    request = request_in(tmp_path)
    first = launcher.upload(request, KEY, 1)
    assert launcher.upload(request, KEY, 1) == first
    assert server.requests.count("POST files") == 2
    assert not set(launcher.upload(request, KEY, 2)) & set(first)
    assert not set(launcher.upload(request, "another", 1)) & set(first)


def test_a_dataset_that_was_changed_is_refused(launcher: OpenAILauncher, tmp_path: Path) -> None:
    request = request_in(tmp_path)
    Path(request.train_file.place).write_text("{}")
    with pytest.raises(LaunchRefusedError, match="has changed"):
        launcher.upload(request, KEY, 1)


@pytest.mark.parametrize(
    ("fault", "made"),
    [
        (Fault.ERROR_BEFORE, 0),
        (Fault.ERROR_AFTER, 1),
        (Fault.DROP_BEFORE, 0),
        (Fault.DROP_AFTER, 1),
        (Fault.SILENT_BEFORE, 0),
        (Fault.SILENT_AFTER, 1),
        (Fault.GARBLED, 1),
    ],
)
def test_what_became_of_create_is_unknown_by_name_and_create_is_sent_once(
    server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path, fault: Fault, made: int
) -> None:
    request = request_in(tmp_path)
    files = launcher.upload(request, KEY, 1)
    server.fail("POST jobs", fault)
    with pytest.raises(LaunchStateUnknownError):
        launcher.create(request, KEY, files)
    assert server.requests.count("POST jobs") == 1
    assert len(launcher.find(KEY)) == len(server.jobs) == made


def test_a_429_created_nothing_and_says_when_to_come_again(
    server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path
) -> None:
    request = request_in(tmp_path)
    files = launcher.upload(request, KEY, 1)
    server.fail("POST jobs", Fault.RATE_LIMITED)
    with pytest.raises(LauncherUnavailable) as caught:
        launcher.create(request, KEY, files)
    assert caught.value.retry_after_s == 0.01
    assert server.jobs == {}


def test_where_nobody_listens_nothing_was_created(tmp_path: Path) -> None:
    launcher = launcher_at(f"http://127.0.0.1:{free_port()}/v1")
    request = request_in(tmp_path)
    with pytest.raises(LauncherUnavailable):
        launcher.create(request, KEY, ("a", "b"))
    with pytest.raises(LauncherUnavailable):
        launcher.upload(request, KEY, 1)
    launcher.close()


def test_a_clear_no_is_a_refusal_that_names_the_field(launcher: OpenAILauncher, tmp_path: Path) -> None:
    with pytest.raises(LaunchRefusedError) as caught:
        launcher.create(request_in(tmp_path), KEY, ("none", "none"))
    assert caught.value.field == "training_file"


def test_no_job_can_be_created_with_files_that_were_revoked(
    server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path
) -> None:
    request = request_in(tmp_path)
    files = launcher.upload(request, KEY, 1)
    launcher.revoke(files)
    launcher.revoke(files)
    with pytest.raises(LaunchRefusedError):
        launcher.create(request, KEY, files)
    assert server.jobs == {}


def test_jobs_are_found_over_all_pages_by_their_key_only(
    server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path
) -> None:
    request = request_in(tmp_path)
    files = launcher.upload(request, KEY, 1)
    made = [launcher.create(request, KEY, files) for _ in range(103)]
    launcher.create(request, "another", files)
    assert sorted(launcher.find(KEY)) == sorted(made)
    assert launcher.find("none") == []


def test_a_server_that_ignores_the_filter_changes_nothing(
    server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path
) -> None:
    request = request_in(tmp_path)
    files = launcher.upload(request, KEY, 1)
    job = launcher.create(request, KEY, files)
    launcher.create(request, "another", files)
    listed = server._list
    server._list = lambda query: listed({"limit": query["limit"]})  # type: ignore[method-assign]
    assert launcher.find(KEY) == [job]


@pytest.mark.parametrize("call", ["GET jobs", "GET files"])
@pytest.mark.parametrize("fault", [Fault.ERROR_BEFORE, Fault.DROP_BEFORE, Fault.GARBLED, Fault.RATE_LIMITED])
def test_what_only_reads_can_be_asked_again(
    server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path, call: str, fault: Fault
) -> None:
    server.fail(call, fault)
    with pytest.raises(LauncherUnavailable):
        launcher.find(KEY) if call == "GET jobs" else launcher.upload(request_in(tmp_path), KEY, 1)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("validating_files", JobState.RUNNING),
        ("queued", JobState.QUEUED),
        ("running", JobState.RUNNING),
        ("paused", JobState.RUNNING),
        ("succeeded", JobState.SUCCEEDED),
        ("failed", JobState.FAILED),
        ("cancelled", JobState.CANCELLED),
    ],
)
def test_only_the_three_terminal_words_end_a_job(
    server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path, said: str, state: JobState
) -> None:
    request = request_in(tmp_path)
    job = launcher.create(request, KEY, launcher.upload(request, KEY, 1))
    server.jobs[job].status = said
    progress = launcher.progress(job)
    assert progress.state == state
    assert (progress.model is not None) == (said == "succeeded")
    assert (progress.message == "it broke") == (said == "failed")


def test_events_and_their_curves_are_read_over_all_pages(
    server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path
) -> None:
    request = request_in(tmp_path)
    job = launcher.create(request, KEY, launcher.upload(request, KEY, 1))
    server.jobs[job].events = [
        {
            "id": f"e{step}",
            "object": "fine_tuning.job.event",
            "created_at": step,
            "level": "info",
            "message": f"step {step}",
            "type": "metrics",
            "data": {"step": step, "train_loss": 1 / step, "other": "x"},
        }
        for step in range(1, 151)
    ]
    progress = launcher.progress(job)
    assert len(progress.events) == 150
    assert sorted(progress.points, key=lambda each: each.step)[1] == Point(2, "train_loss", 0.5)
    assert len(progress.points) == 150


def test_a_job_that_nobody_knows_is_named(launcher: OpenAILauncher) -> None:
    with pytest.raises(UnknownJobError, match="ftjob-9"):
        launcher.progress("ftjob-9")
    with pytest.raises(UnknownJobError):
        launcher.cancel("ftjob-9")


def test_a_cancelled_job_says_so(server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path) -> None:
    request = request_in(tmp_path)
    job = launcher.create(request, KEY, launcher.upload(request, KEY, 1))
    launcher.cancel(job)
    assert launcher.progress(job).state == JobState.CANCELLED


FIELDS = {
    "learning_rate": 1e-4,
    "lr_scheduler": "cosine",
    "warmup_steps": 5,
    "weight_decay": 0.1,
    "gradient_accumulation_steps": 2,
    "lora_rank": 8,
    "lora_alpha": 16,
    "early_stopping": {"patience": 3},
    "epochs": 3,
    "batch_size": 4,
    "learning_rate_multiplier": 2.0,
    "suffix": "v1",
    "seed": 1,
}


@pytest.mark.parametrize("provider", ["openai", "azure", "millrace"])
@pytest.mark.parametrize("field", FIELDS)
def test_what_a_provider_does_not_take_is_refused_before_any_call_by_its_name(
    server: FineTuningServer, tmp_path: Path, provider: Provider, field: str
) -> None:
    launcher = launcher_at(server.base_url, provider=provider)
    request = request_in(tmp_path, msgspec.convert({"base_model": "tiny", field: FIELDS[field]}, Training))
    if field in TAKES[provider]:
        launcher.check(request)
    else:
        with pytest.raises(LaunchRefusedError) as caught:
            launcher.check(request)
        assert caught.value.field == f"training.{field}"
    assert server.requests == []
    launcher.close()


def test_every_field_of_the_configuration_is_somebody_s() -> None:
    named = set(Training.__struct_fields__) - {"version", "base_model", "method"}
    assert TAKES["millrace"] == named
    assert named == {*FIELDS, "beta"}


def test_few_examples_and_large_files_are_refused(launcher: OpenAILauncher, tmp_path: Path) -> None:
    request = request_in(tmp_path)
    for examples, size_bytes in ((10, MAX_FILE_BYTES), (9, 1), (10, MAX_FILE_BYTES + 1)):
        file = msgspec.structs.replace(data_file(tmp_path / "x"), examples=examples, size_bytes=size_bytes)
        changed = msgspec.structs.replace(request, train_file=file)
        if (examples, size_bytes) == (10, MAX_FILE_BYTES):
            launcher.check(changed)
            continue
        with pytest.raises(LaunchRefusedError) as caught:
            launcher.check(changed)
        assert caught.value.field == "train_file"


def test_an_azure_endpoint_is_spoken_to_in_its_own_way() -> None:
    launcher = launcher_at("http://127.0.0.1:1", provider="azure", api_version="2025-04-01")
    client = launcher._client
    assert str(client.base_url) == "http://127.0.0.1:1/openai/"
    assert dict(client.default_query) == {"api-version": "2025-04-01"}
    launcher.close()


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(OpenAISettings(base_url="http://x", api_key="secret"))


def test_a_late_create_is_refused_when_its_file_is_gone(
    server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path
) -> None:
    server.late_s = 0.6
    request = request_in(tmp_path)
    files = launcher.upload(request, KEY, 1)
    server.fail("POST jobs", Fault.LATE)
    with pytest.raises(LaunchStateUnknownError):
        launcher.create(request, KEY, files)
    launcher.revoke(files)
    acted = server.act
    answers: list[int] = []
    server.act = lambda *given: answers.append(acted(*given)[0]) or (0, {})  # type: ignore[method-assign,func-returns-value]
    assert wait_until(lambda: bool(answers), 10)
    assert answers == [400]
    assert server.jobs == {}


def test_a_dataset_that_cannot_be_read_is_asked_for_again_and_one_that_is_gone_is_refused(
    launcher: OpenAILauncher, tmp_path: Path
) -> None:
    request = request_in(tmp_path)
    train = Path(request.train_file.place)
    train.unlink()
    with pytest.raises(LaunchRefusedError, match=r"is gone: .*train\.jsonl"):
        launcher.upload(request, KEY, 1)
    train.mkdir()
    with pytest.raises(LauncherUnavailable, match=r"train\.jsonl"):
        launcher.upload(request, KEY, 1)


def answers(server: FineTuningServer, method: str, end: str, status: int) -> None:
    """From now on such requests are answered so."""
    act = server.act

    def acted(asked: str, path: str, *rest: Any) -> tuple[int, dict[str, Any]]:
        if asked == method and path.endswith(end):
            return status, {"error": {"message": "no, not you", "type": "x", "param": None, "code": None}}
        return act(asked, path, *rest)

    server.act = acted  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_clear_no_to_an_upload_is_a_refusal_in_the_provider_s_words(
    server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path, method: str, status: int
) -> None:
    answers(server, method, "files", status)
    with pytest.raises(LaunchRefusedError, match=f"HTTP {status}: .*no, not you"):
        launcher.upload(request_in(tmp_path), KEY, 1)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_clear_no_to_a_look_says_nothing_of_the_job(
    server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path, status: int
) -> None:
    request = request_in(tmp_path)
    job = launcher.create(request, KEY, launcher.upload(request, KEY, 1))
    answers(server, "GET", "jobs", status)
    answers(server, "GET", "events", 403)
    with pytest.raises(LauncherUnavailable):
        launcher.find(KEY)
    with pytest.raises(LauncherUnavailable):
        launcher.progress(job)


def test_a_job_that_may_not_be_cancelled_says_so(
    server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path
) -> None:
    request = request_in(tmp_path)
    job = launcher.create(request, KEY, launcher.upload(request, KEY, 1))
    answers(server, "POST", "cancel", 400)
    with pytest.raises(LaunchRefusedError, match="no, not you"):
        launcher.cancel(job)


def test_a_number_that_no_curve_can_hold_stays_an_event_only(
    server: FineTuningServer, launcher: OpenAILauncher, tmp_path: Path
) -> None:
    request = request_in(tmp_path)
    job = launcher.create(request, KEY, launcher.upload(request, KEY, 1))
    wrong = [(1, float("nan")), (2, float("inf")), (3, 10**400), (2**63, 0.5), (4, True), (-1, 0.5), (5, 0.25)]
    server.jobs[job].events = [
        {
            "id": f"e{number}",
            "object": "fine_tuning.job.event",
            "created_at": [1, 1e300, None, float("nan"), -5, "soon", 7][number],
            "level": "info",
            "message": f"number {number}",
            "type": "metrics",
            "data": {"step": step, "train_loss": value},
        }
        for number, (step, value) in enumerate(wrong)
    ]
    progress = launcher.progress(job)
    assert progress.points == (Point(5, "train_loss", 0.25),)
    assert {(each.message, each.at_ms) for each in progress.events} == {
        ("number 0", 1_000),
        *((f"number {number}", 0) for number in range(1, 6)),
        ("number 6", 7_000),
    }
