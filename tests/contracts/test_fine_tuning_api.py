"""What a client may rely on, at whichever address speaks OpenAI's fine-tuning API.

Without more it is our own trainer, once with a stand-in for the training process and once as it is. To put another one
through it: MILLRACE_TEST_FINE_TUNING_URL, …_KEY and …_MODEL, a base model that can be tuned and asked.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from tests import trainers
from tests.trainers import TERMINAL, client_of, ended, examples

OUTSIDE = os.environ.get("MILLRACE_TEST_FINE_TUNING_URL", "")
QUESTIONS = ("What is the colour of", "Tell me the colour of", "Which colour has")
THINGS = ("the sky", "a berry", "the sea", "my car", "a stone", "the door", "that bird", "her coat")
WITHIN_S = 3600.0 if OUTSIDE else 240.0


@dataclass
class Api:
    """An address, and a base model there. `learns` says that the model really trains."""

    client: openai.OpenAI
    model: str
    learns: bool

    def upload(self, content: bytes | None = None, name: str = "train.jsonl") -> str:
        sent = content if content is not None else examples()
        return self.client.files.create(file=(name, sent), purpose="fine-tune").id

    def create(self, file: str | None = None, **more: Any) -> openai.types.fine_tuning.FineTuningJob:
        return self.client.fine_tuning.jobs.create(model=self.model, training_file=file or self.upload(), **more)


def _outside() -> Api:
    key = os.environ.get("MILLRACE_TEST_FINE_TUNING_KEY", "-")
    return Api(client_of(OUTSIDE, key), os.environ["MILLRACE_TEST_FINE_TUNING_MODEL"], True)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """For the protocol: no training happens where that can be avoided."""
    if OUTSIDE:
        yield _outside()
        return
    with trainers.service(tmp_path_factory.mktemp("protocol")) as service, client_of(service.base_url) as client:
        yield Api(client, "quick", False)


@pytest.fixture(scope="module", params=["outside"] if OUTSIDE else ["stand-in", "trainer"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """For the whole way."""
    if OUTSIDE:
        yield _outside()
        return
    folder = tmp_path_factory.mktemp("whole")
    if request.param == "stand-in":
        with trainers.service(folder) as service, client_of(service.base_url) as client:
            yield Api(client, "quick", False)
        return
    trainers.need_torch()
    process = trainers.Process(folder / "home", trainers.tiny_models(folder / "models", [lesson().decode()]))
    try:
        process.start()
        with client_of(process.base_url) as client:
            yield Api(client, "tiny", True)
    finally:
        process.close()


def lesson() -> bytes:
    """64 questions that all have one answer, which no random model gives."""
    asked = [f"{QUESTIONS[n % 3]} {THINGS[n % 8]} number {n}?" for n in range(64)]
    turns = ([{"role": "user", "content": each}, {"role": "assistant", "content": "It is blue."}] for each in asked)
    return b"".join(json.dumps({"messages": messages}).encode() + b"\n" for messages in turns)


def refused(call: Callable[[], object], kind: type[openai.APIStatusError]) -> openai.APIStatusError:
    with pytest.raises(kind) as caught:
        call()
    error = caught.value
    assert isinstance(error.body, dict)
    assert set(error.body) >= {"message", "type", "param", "code"}
    assert error.message
    return error


def test_a_model_is_taught_and_answers_as_taught(trained: Api) -> None:
    client = trained.client
    file = client.files.create(file=("lesson.jsonl", lesson()), purpose="fine-tune")
    assert file.bytes == len(lesson())
    hyperparameters: dict[str, float] = {"n_epochs": 3, "batch_size": 4}
    if trained.learns and not OUTSIDE:
        hyperparameters |= {"learning_rate": 5e-3, "lora_rank": 8, "lora_alpha": 16}
    job = trained.create(
        file.id,
        validation_file=trained.upload(lesson()),
        method={"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        suffix="taught",
        seed=7,
    )
    assert job.status in {"validating_files", "queued", "running"}
    done = ended(client, job.id, WITHIN_S)
    assert done.status == "succeeded", done.error
    assert done.fine_tuned_model is not None
    assert "taught" in done.fine_tuned_model
    assert done.finished_at is not None
    assert done.finished_at >= done.created_at
    assert (done.trained_tokens or 0) > 0
    assert done.hyperparameters.n_epochs == 3

    events = list(client.fine_tuning.jobs.list_events(job.id, limit=5))
    assert len({event.id for event in events}) == len(events) > 5
    losses = [
        event.data["train_loss"]
        for event in reversed(events)
        if isinstance(event.data, dict) and "train_loss" in event.data
    ]
    assert losses[-1] < losses[0] / 2

    (result,) = done.result_files
    lines = client.files.content(result).text.splitlines()
    assert "step" in lines[0]
    assert len(lines) > len(losses) // 2

    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
    assert checkpoints
    assert {each.fine_tuning_job_id for each in checkpoints} == {job.id}
    steps = [each.step_number for each in checkpoints]
    assert steps == sorted(steps, reverse=True)

    assert client.models.retrieve(done.fine_tuned_model).id == done.fine_tuned_model
    assert done.fine_tuned_model in {model.id for model in client.models.list()}
    for model in (done.fine_tuned_model, checkpoints[0].fine_tuned_model_checkpoint):
        said = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "Which colour has the moon number 5?"}],
            max_completion_tokens=12,
            temperature=0,
        )
        assert said.choices[0].finish_reason in {"stop", "length"}
        assert said.usage is not None
        assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens
        if trained.learns:
            assert said.choices[0].message.content == "It is blue."

    assert client.models.delete(done.fine_tuned_model).deleted
    refused(lambda: client.models.retrieve(done.fine_tuned_model or ""), openai.NotFoundError)


def test_a_model_is_tuned_on_preferences(trained: Api) -> None:
    pairs = (
        {
            "input": {"messages": [{"role": "user", "content": f"Which colour has thing number {number}?"}]},
            "preferred_output": [{"role": "assistant", "content": "It is blue."}],
            "non_preferred_output": [{"role": "assistant", "content": "It is red."}],
        }
        for number in range(12)
    )
    file = trained.upload(b"".join(json.dumps(pair).encode() + b"\n" for pair in pairs))
    method = {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 1, "batch_size": 4, "beta": 0.2}}}
    done = ended(trained.client, trained.create(file, method=method).id, WITHIN_S)
    assert done.status == "succeeded", done.error
    assert done.method is not None
    assert done.method.type == "dpo"
    assert done.method.dpo is not None
    assert done.method.dpo.hyperparameters is not None
    assert done.method.dpo.hyperparameters.beta == 0.2


def test_a_file_is_kept_as_it_was_sent(api: Api) -> None:
    content = examples(20, "gr\u00fcn \u2028 \r\n")
    file = api.client.files.create(file=("ünï cödé.jsonl", content), purpose="fine-tune")
    assert (file.object, file.bytes, file.filename) == ("file", len(content), "ünï cödé.jsonl")
    assert api.client.files.retrieve(file.id) == file
    assert api.client.files.content(file.id).content == content
    assert api.client.files.delete(file.id).deleted
    refused(lambda: api.client.files.retrieve(file.id), openai.NotFoundError)
    refused(lambda: api.client.files.delete(file.id), openai.NotFoundError)
    refused(lambda: api.client.files.content(file.id), openai.NotFoundError)


def test_files_are_listed_in_pages_newest_first_or_oldest_first(api: Api) -> None:
    ids = [api.upload(name=f"{number}.jsonl") for number in range(5)]
    listed = [each.id for each in api.client.files.list(purpose="fine-tune", limit=2)]
    assert [each for each in listed if each in ids] == ids[::-1]
    assert len(set(listed)) == len(listed)
    upwards = [each.id for each in api.client.files.list(purpose="fine-tune", limit=3, order="asc")]
    assert [each for each in upwards if each in ids] == ids
    first = api.client.files.list(purpose="fine-tune", limit=1)
    assert (len(first.data), first.has_more) == (1, True)


def test_jobs_are_listed_at_once_and_found_by_their_metadata(api: Api) -> None:
    mark = secrets.token_hex(8)
    file = api.upload()
    jobs = [api.create(file, metadata={"mark": mark, "number": f"n = {n}&"}) for n in range(3)]
    other = api.create(file)

    def found(**metadata: str) -> list[str]:
        return [job.id for job in api.client.fine_tuning.jobs.list(metadata=metadata, limit=2)]

    assert found(mark=mark) == [job.id for job in jobs][::-1]
    assert found(mark=mark, number="n = 1&") == [jobs[1].id]
    assert found(mark=mark, other="x") == []
    assert found(mark="") == []
    newest = api.client.fine_tuning.jobs.list(limit=1)
    assert newest.data[0].id == other.id
    assert newest.has_more


def test_a_job_tells_what_it_was_asked_for(api: Api) -> None:
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": "auto"}}}
    job = api.create(suffix="mine", seed=11, metadata={"a": "b"}, method=method)
    assert (job.object, job.model, job.seed, job.metadata) == ("fine_tuning.job", api.model, 11, {"a": "b"})
    assert job.method is not None
    assert job.method.supervised is not None
    assert job.method.supervised.hyperparameters is not None
    assert job.method.supervised.hyperparameters.n_epochs == 2
    assert api.client.fine_tuning.jobs.retrieve(job.id).id == job.id


def test_the_old_way_to_say_hyperparameters_is_taken(api: Api) -> None:
    job = api.create(hyperparameters={"n_epochs": 4})
    assert job.hyperparameters.n_epochs == 4


def test_a_deleted_file_starts_no_job(api: Api) -> None:
    file, kept = api.upload(), api.upload()
    api.client.files.delete(file)
    assert refused(lambda: api.create(file), openai.BadRequestError).param == "training_file"
    wrong = refused(lambda: api.create(kept, validation_file=file), openai.BadRequestError)
    assert wrong.param == "validation_file"


def test_a_create_that_races_with_the_delete_of_its_file_makes_a_listed_job_or_none(api: Api) -> None:
    with ThreadPoolExecutor(2) as pool:
        for _ in range(3 if OUTSIDE else 15):
            file, mark = api.upload(), secrets.token_hex(8)

            def create(file: str = file, mark: str = mark) -> str | None:
                try:
                    return api.create(file, metadata={"mark": mark}).id
                except openai.BadRequestError:
                    return None

            created = pool.submit(create)
            pool.submit(api.client.files.delete, file).result()
            after = [job.id for job in api.client.fine_tuning.jobs.list(metadata={"mark": mark})]
            made = created.result()
            assert after == [made] * bool(made)
            refused(lambda file=file: api.create(file), openai.BadRequestError)  # type: ignore[misc]
            assert [j.id for j in api.client.fine_tuning.jobs.list(metadata={"mark": mark})] == [made] * bool(made)


def test_a_job_goes_on_when_its_file_is_deleted(api: Api) -> None:
    file = api.upload()
    job = api.create(file)
    api.client.files.delete(file)
    assert ended(api.client, job.id, WITHIN_S).status == "succeeded"


def test_a_cancelled_job_is_over_and_stays_so(api: Api) -> None:
    job = api.create()
    assert api.client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    over = api.client.fine_tuning.jobs.retrieve(job.id)
    assert (over.status, over.fine_tuned_model) == ("cancelled", None)


def test_too_few_examples_are_a_failed_job(api: Api) -> None:
    done = ended(api.client, api.create(api.upload(examples(9))).id, WITHIN_S)
    assert done.status == "failed"
    assert done.error is not None
    assert (done.error.code, done.error.param) == ("invalid_n_examples", "training_file")
    assert done.fine_tuned_model is None
    messages = [event for event in api.client.fine_tuning.jobs.list_events(done.id) if event.level == "error"]
    assert messages


def test_a_file_that_is_no_training_data_is_a_failed_job(api: Api) -> None:
    content = examples(12) + b'{"messages": "none"}\n'
    done = ended(api.client, api.create(api.upload(content)).id, WITHIN_S)
    assert done.status == "failed"
    assert done.error is not None
    assert done.error.param == "training_file"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 0}}}}, "n_epochs"),
        ({"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 51}}}}, "n_epochs"),
        ({"method": {"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 257}}}}, "batch_size"),
        ({"method": {"type": "supervised", "supervised": {"hyperparameters": {"epochs": 3}}}}, "epochs"),
        ({"method": {"type": "supervised", "supervised": {"hyperparameters": {"beta": 0.1}}}}, "beta"),
        ({"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 2.1}}}}, "beta"),
        ({"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0}}}}, "beta"),
        ({"method": {"type": "other"}}, "method"),
        ({"hyperparameters": {"n_epochs": 51}}, "n_epochs"),
        ({"suffix": "x" * 65}, "suffix"),
        ({"suffix": ""}, "suffix"),
        ({"metadata": {f"{n}": "x" for n in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: "x"}}, "metadata"),
        ({"metadata": {"k": "x" * 513}}, "metadata"),
        ({"extra_body": {"unheard_of": 1}}, "unheard_of"),
    ],
)
def test_what_a_job_may_not_be_is_refused_with_the_field(api: Api, more: dict[str, Any], param: str) -> None:
    file = api.upload()
    error = refused(lambda: api.create(file, **more), openai.BadRequestError)
    assert param in f"{error.param} {error.message}"


def test_the_limits_themselves_are_taken(api: Api) -> None:
    file = api.upload()
    hyperparameters = {"n_epochs": 50, "batch_size": 256, "beta": 2}
    metadata = {f"{n:064}": "x" * 512 for n in range(16)}
    method = {"type": "dpo", "dpo": {"hyperparameters": hyperparameters}}
    job = api.create(file, method=method, suffix="x" * 64, metadata=metadata)
    assert job.metadata == metadata


def test_what_is_not_there_is_not_found(api: Api) -> None:
    jobs = api.client.fine_tuning.jobs
    refused(lambda: jobs.retrieve("ftjob-none"), openai.NotFoundError)
    refused(lambda: jobs.cancel("ftjob-none"), openai.NotFoundError)
    refused(lambda: list(jobs.list_events("ftjob-none")), openai.NotFoundError)
    refused(lambda: list(jobs.checkpoints.list("ftjob-none")), openai.NotFoundError)
    refused(lambda: api.client.models.retrieve("none"), openai.NotFoundError)
    asked = {"model": "none", "messages": [{"role": "user", "content": "?"}]}
    error = refused(lambda: api.client.chat.completions.create(**asked), openai.NotFoundError)  # type: ignore[call-overload]
    assert error.code == "model_not_found"
    file = api.upload()
    refused(
        lambda: api.client.fine_tuning.jobs.create(model="none", training_file=file),
        openai.BadRequestError,
    )


def test_a_file_for_another_purpose_and_an_empty_one_are_refused(api: Api) -> None:
    send = api.client.files.create
    refused(lambda: send(file=("a.jsonl", b"{}"), purpose="no-such"), openai.BadRequestError)  # type: ignore[arg-type]
    refused(lambda: send(file=("a.jsonl", b""), purpose="fine-tune"), openai.BadRequestError)


def test_a_base_model_answers_whole_and_as_a_stream(trained: Api) -> None:
    ask = {"model": trained.model, "messages": [{"role": "user", "content": "Hello"}], "temperature": 0, "seed": 1}
    whole = trained.client.chat.completions.create(**ask, max_tokens=8)  # type: ignore[call-overload]
    assert whole.choices[0].message.role == "assistant"
    assert whole.usage.completion_tokens <= 8
    chunks = list(
        trained.client.chat.completions.create(  # type: ignore[call-overload]
            **ask, max_tokens=8, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage


def test_a_wrong_key_is_refused(api: Api) -> None:
    stranger = client_of(str(api.client.base_url), "sk-wrong")
    refused(lambda: stranger.fine_tuning.jobs.list(), openai.AuthenticationError)


def test_states_are_those_that_clients_know(api: Api) -> None:
    known = TERMINAL | {"validating_files", "queued", "running"}
    assert {job.status for job in api.client.fine_tuning.jobs.list(limit=100)} <= known


def test_a_job_that_is_over_cannot_be_cancelled(api: Api) -> None:
    job = ended(api.client, api.create().id, WITHIN_S)
    refused(lambda: api.client.fine_tuning.jobs.cancel(job.id), openai.BadRequestError)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no millrace.toml of somebody's
