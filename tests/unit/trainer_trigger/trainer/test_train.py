"""Real training runs of the tiny base, in this process."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.training import EarlyStopping
from tests import tuning
from tests.trainers import need_torch
from trainer_trigger.trainer import checkpoints
from trainer_trigger.trainer.adapters import verify
from trainer_trigger.trainer.job import (
    ADAPTER,
    DISK_FULL,
    JOB,
    RESULT,
    STOPPED,
    Hyperparameters,
    Result,
    ask_to_cancel,
    read_events,
    read_job,
    read_result,
)
from trainer_trigger.trainer.serving import Serving
from trainer_trigger.trainer.tiny import TEMPLATE
from trainer_trigger.trainer.train import work

pytestmark = pytest.mark.filterwarnings("ignore")

TAUGHT, VALID, HELD_OUT = tuning.prompts()[:64], tuning.prompts()[64:84], tuning.prompts()[120:140]
SHORT = Hyperparameters(n_epochs=2, batch_size=8, learning_rate=5e-3)
STEPS = 16


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_torch()
    return tuning.make_base(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def short(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job that ran through, with checkpoints at its two epochs."""
    folder = tuning.job(
        tmp_path_factory.mktemp("jobs") / "short", base, tuning.sft(TAUGHT), hyperparameters=SHORT, seed=1
    )
    assert _run(folder).status == "succeeded"
    return folder


def _run(folder: Path) -> Result:
    assert work(folder, lambda: False) == 0
    return _result(folder)


def _result(folder: Path) -> Result:
    result = read_result(folder)
    assert result is not None
    return result


def _curve(folder: Path, name: str) -> list[tuple[int, float]]:
    told = [each.data for each in read_events(folder)[0] if each.type == "metrics"]
    return [(data["step"], data[name]) for data in told if name in data]


def _adapter(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / ADAPTER).iterdir()}


def _again(short: Path, folder: Path) -> Path:
    """The short job as if it had been killed just before it ended."""
    shutil.copytree(short, folder)
    (folder / RESULT).unlink()
    shutil.rmtree(folder / ADAPTER)
    return folder


def test_the_loss_falls_and_the_adapter_answers_as_taught(base: Path, tmp_path: Path) -> None:
    folder = tuning.job(tmp_path / "sft", base, tuning.sft(TAUGHT), valid=tuning.sft(VALID))
    result = _run(folder)
    assert (result.status, result.error, result.steps) == ("succeeded", None, 128)
    assert result.trained_tokens == 8 * _tokens(base, tuning.sft(TAUGHT))
    losses = [loss for _, loss in _curve(folder, "train_loss")]
    assert len(losses) == 128
    assert losses[0] > 3
    assert sum(losses[-8:]) / 8 < 0.4
    valid = _curve(folder, "full_valid_loss")
    assert [step for step, _ in valid] == [16 * epoch for epoch in range(1, 9)]
    assert valid == _curve(folder, "valid_loss")
    assert valid[-1][1] < valid[0][1]
    assert _curve(folder, "full_valid_mean_token_accuracy")[-1][1] > 0.9
    assert [each.step for each in result.checkpoints] == [96, 112, 128]
    assert result.checkpoints[-1].metrics["full_valid_loss"] == valid[-1][1]
    assert result.hyperparameters is not None
    assert result.hyperparameters.warmup_steps == 6
    verify(folder / ADAPTER)
    serving = Serving()
    answers = [
        [
            serving.complete(base, adapter, tuning.said(asked), temperature=0, max_tokens=24).text
            for asked, _ in HELD_OUT
        ]
        for adapter in (folder / ADAPTER, None)
    ]
    right = [sum(said == taught for said, (_, taught) in zip(said, HELD_OUT, strict=True)) for said in answers]
    assert right[0] >= 0.8 * len(HELD_OUT)
    assert right[1] == 0


def _tokens(base: Path, lines: list[dict[str, Any]]) -> int:
    from trainer_trigger.trainer import data, train_base
    from trainer_trigger.trainer.train_chat import Chat

    return sum(data.tokenized(lines, "supervised", Chat(train_base.tokenizer(base)), 512).lengths)


def test_what_has_weight_zero_is_not_learnt(base: Path, tmp_path: Path) -> None:
    lines = [
        {"messages": [*tuning.said(asked, tuning.WRONG, weight=0), *tuning.said(asked, answer)]}
        for asked, answer in TAUGHT
    ]
    folder = tuning.job(tmp_path / "weights", base, lines)
    assert _run(folder).status == "succeeded"
    serving = Serving()
    said = [
        serving.complete(base, folder / ADAPTER, tuning.said(asked), temperature=0, max_tokens=24).text
        for asked, _ in HELD_OUT
    ]
    assert tuning.WRONG not in said


def test_dpo_raises_what_is_preferred_over_what_is_not(base: Path, tmp_path: Path) -> None:
    folder = tuning.job(
        tmp_path / "dpo",
        base,
        tuning.dpo(TAUGHT),
        valid=tuning.dpo(VALID),
        method="dpo",
        hyperparameters=Hyperparameters(n_epochs=2, batch_size=4, learning_rate=5e-3, beta=0.1),
    )
    result = _run(folder)
    assert (result.status, result.steps) == ("succeeded", 32)
    assert result.hyperparameters is not None
    assert result.hyperparameters.beta == 0.1
    margins = [margin for _, margin in _curve(folder, "train_reward_margin")]
    assert abs(margins[0]) < 1e-6  # the reference is the base, and the adapter begins as nothing
    assert margins[-1] > 0.5
    assert _curve(folder, "full_valid_loss")[-1][1] < _curve(folder, "full_valid_loss")[0][1]
    before, after = (_margin(base, adapter) for adapter in (None, folder / ADAPTER))
    assert after > before + 5


def _margin(base: Path, adapter: Path | None) -> float:
    """How much likelier, in nats, the preferred answers of held-out prompts are than the others, on average."""
    import torch
    from peft import PeftModel

    from trainer_trigger.trainer import train_base
    from trainer_trigger.trainer.train_chat import Chat

    chat, model = Chat(train_base.tokenizer(base)), train_base.model(base, gpu=False)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter))

    def likelihood(asked: str, answer: str) -> float:
        prompt, _ = chat.tokens(chat.text(tuning.said(asked), prompts=True))
        said, _ = chat.tokens(answer)
        with torch.no_grad():
            chances = torch.log_softmax(model(input_ids=torch.tensor([prompt + said])).logits[0], -1)
        return sum(float(chances[len(prompt) - 1 + place, token]) for place, token in enumerate(said))

    return sum(likelihood(*pair) - likelihood(pair[0], tuning.WRONG) for pair in HELD_OUT) / len(HELD_OUT)


@pytest.mark.parametrize("method", ["supervised", "dpo"])
def test_the_validation_is_the_same_whatever_the_batch_size(base: Path, tmp_path: Path, method: str) -> None:
    own = Serving().complete(base, None, tuning.said(VALID[0][0]), temperature=0, max_tokens=12).text
    lines: dict[str, list[dict[str, Any]]] = {
        "supervised": tuning.sft([(VALID[0][0], own)])
        + tuning.sft((asked, said * (1 + 6 * (place % 3))) for place, (asked, said) in enumerate(VALID)),
        "dpo": tuning.dpo((asked, said * (1 + 6 * (place % 3))) for place, (asked, said) in enumerate(VALID)),
    }
    taught = tuning.sft(TAUGHT) if method == "supervised" else tuning.dpo(TAUGHT)
    found = []
    for size in (1, 3, 16):
        folder = tuning.job(
            tmp_path / str(size),
            base,
            taught,
            valid=lines[method],
            method=method,
            hyperparameters=Hyperparameters(n_epochs=1, batch_size=size, learning_rate=1e-12),
        )
        assert _run(folder).status == "succeeded"
        names = ("full_valid_loss", "full_valid_mean_token_accuracy")
        found.append([_curve(folder, name)[-1][1] for name in names])
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[0] == pytest.approx(found[2], rel=1e-5)
    if method == "supervised":
        assert found[0][1] > 0  # the base knows its own answer
        assert found[0][0] == pytest.approx(_nats_a_token(base, lines[method]), rel=1e-5)


def _nats_a_token(base: Path, lines: list[dict[str, Any]]) -> float:
    import torch

    from trainer_trigger.trainer import data, train_base
    from trainer_trigger.trainer.train_chat import Chat

    model, nats, tokens = train_base.model(base, gpu=False), 0.0, 0
    for example in data.tokenized(lines, "supervised", Chat(train_base.tokenizer(base)), 512).examples:
        learnt = sum(label != data.NOT_LEARNT for label in example["labels"][1:])
        with torch.no_grad():
            batch = {name: torch.tensor([values]) for name, values in example.items()}
            nats += float(model(**batch).loss) * learnt
        tokens += learnt
    return nats / tokens


def test_accumulation_takes_fewer_steps_over_the_same_examples(base: Path, tmp_path: Path) -> None:
    given = Hyperparameters(n_epochs=3, batch_size=4, gradient_accumulation_steps=3, learning_rate=5e-3)
    result = _run(tuning.job(tmp_path / "job", base, tuning.sft(TAUGHT[:40]), hyperparameters=given))
    assert (result.status, result.steps) == ("succeeded", 10)
    assert result.trained_tokens == 3 * _tokens(base, tuning.sft(TAUGHT[:40]))


def test_it_stops_when_validation_gets_no_better_and_the_best_adapter_is_the_result(base: Path, tmp_path: Path) -> None:
    given = Hyperparameters(
        n_epochs=10,
        batch_size=4,
        learning_rate=5e-3,
        lr_scheduler="constant",
        early_stopping=EarlyStopping(patience=2, min_delta=0),
    )
    # Validated on other answers than those taught: what is learnt soon makes these less likely.
    swapped = tuning.sft([(asked, tuning.WRONG) for asked, _ in VALID])
    folder = tuning.job(tmp_path / "job", base, tuning.sft(TAUGHT), valid=swapped, hyperparameters=given)
    result = _run(folder)
    losses = _curve(folder, "full_valid_loss")
    best, last = min(losses, key=lambda point: point[1])[0], losses[-1][0]
    assert result.status == "succeeded"
    assert result.steps == last < 160
    assert best == losses[-3][0]
    assert verify(folder / ADAPTER).step == best
    assert (folder / ADAPTER / "adapter_model.safetensors").read_bytes() == (
        checkpoints.place(folder, best) / "adapter_model.safetensors"
    ).read_bytes()
    assert best in [each.step for each in result.checkpoints]
    before = _adapter(folder)
    (folder / RESULT).unlink()
    shutil.rmtree(folder / ADAPTER)
    assert _run(folder).steps == last  # killed before it published: it is not trained on
    assert _adapter(folder) == before


@pytest.mark.parametrize(
    "harm",
    [
        lambda last: (last / "optimizer.pt").write_bytes((last / "optimizer.pt").read_bytes()[:-100]),
        lambda last: (last / "rng_state.pth").unlink(),
        lambda last: shutil.rmtree(last),
    ],
    ids=["truncated", "missing", "none"],
)
def test_a_run_goes_on_from_the_last_whole_checkpoint_to_the_same_bytes(
    short: Path, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    folder = _again(short, tmp_path / "short")
    told = len(read_events(folder)[0])
    harm(checkpoints.place(folder, STEPS))
    result = _run(folder)
    messages = [each.message for each in read_events(folder)[0][told:]]
    assert "Resumed from step 8" in messages
    assert _adapter(folder) == _adapter(short)
    assert result == read_result(short)
    assert [step for step, _ in _curve(folder, "train_loss")] == list(range(1, STEPS + 1))


def test_a_run_that_was_killed_before_it_published_does_not_train_again(short: Path, tmp_path: Path) -> None:
    folder = _again(short, tmp_path / "short")
    (folder / "adapter.part").mkdir()
    (folder / "adapter.part" / "adapter_model.safetensors").write_bytes(b"half")
    assert _run(folder) == read_result(short)
    assert _adapter(folder) == _adapter(short)
    assert not (folder / "adapter.part").exists()


def test_an_ended_job_is_left_as_it_is(short: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in short.rglob("*")}
    assert work(short, lambda: False) == 0
    assert {path: path.stat().st_mtime_ns for path in short.rglob("*")} == before


def test_another_seed_makes_another_adapter(base: Path, short: Path, tmp_path: Path) -> None:
    folder = tuning.job(tmp_path / "other", base, tuning.sft(TAUGHT), hyperparameters=SHORT, seed=2)
    assert _run(folder).status == "succeeded"
    assert _adapter(folder)["adapter_model.safetensors"] != _adapter(short)["adapter_model.safetensors"]


def test_a_cancelled_job_ends_without_an_adapter_and_with_its_checkpoints(base: Path, tmp_path: Path) -> None:
    folder = tuning.job(tmp_path / "job", base, tuning.sft(TAUGHT), hyperparameters=SHORT)
    seen: list[None] = []

    def cancels_after_eleven_steps() -> bool:
        seen.append(None)
        if len(seen) == 11:
            ask_to_cancel(folder)
        return False

    assert work(folder, cancels_after_eleven_steps) == 0
    result = _result(folder)
    assert (result.status, result.steps, result.error) == ("cancelled", 12, None)
    assert [each.step for each in result.checkpoints] == [8]
    assert 0 < result.trained_tokens < 2 * _tokens(base, tuning.sft(TAUGHT))
    assert not (folder / ADAPTER).exists()
    at_once = tuning.job(tmp_path / "at-once", base, tuning.sft(TAUGHT))
    ask_to_cancel(at_once)
    assert _run(at_once) == Result(status="cancelled")


def test_a_stopped_run_leaves_a_checkpoint_and_goes_on_to_the_same_bytes(
    base: Path, short: Path, tmp_path: Path
) -> None:
    folder = tuning.job(tmp_path / "job", base, tuning.sft(TAUGHT), hyperparameters=SHORT, job_id="short")
    steps = itertools.count(1)
    assert work(folder, lambda: next(steps) == 11) == STOPPED
    assert read_result(folder) is None
    assert checkpoints.steps(folder) == [8, 11]
    assert _run(folder).status == "succeeded"
    assert _adapter(folder) == _adapter(short)
    assert _curve(folder, "train_loss") == _curve(short, "train_loss")


def _failure(folder: Path) -> tuple[str, str | None]:
    result = _run(folder)
    assert result.status == "failed"
    assert not (folder / ADAPTER).exists()
    assert result.error is not None
    assert "Traceback" not in result.error.message
    return result.error.code, result.error.param


def test_what_is_wrong_with_a_job_is_its_result(base: Path, tmp_path: Path) -> None:
    lines = tuning.sft(TAUGHT)
    pickled = tmp_path / "pickled"
    shutil.copytree(base, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    (broken / "model.safetensors").write_bytes(b"no weights at all")
    wordless = tmp_path / "wordless"
    shutil.copytree(base, wordless)
    (wordless / "tokenizer.json").write_text("{")
    wrong: list[tuple[str, str, Path, list[dict[str, Any]], dict[str, Any]]] = [
        ("model_not_found", "model", tmp_path / "none", lines, {}),
        ("unsafe_model", "model", pickled, lines, {}),
        ("unsupported_model", "model", broken, lines, {}),
        ("unsupported_model", "model", wordless, lines, {}),
        ("invalid_n_examples", "training_file", base, lines[:9], {}),
        ("invalid_training_file", "training_file", base, [*lines, {"x": 1}], {}),
        ("invalid_training_file", "training_file", base, lines, {"method": "dpo"}),
        ("invalid_training_file", "training_file", base, lines, {"max_length": 5}),
        ("invalid_validation_file", "validation_file", base, lines, {"valid": [{"x": 1}]}),
        (
            "training_diverged",
            "learning_rate",
            base,
            lines,
            {"hyperparameters": Hyperparameters(learning_rate=1e30)},
        ),
    ]
    for number, (code, param, model, given, more) in enumerate(wrong):
        assert _failure(tuning.job(tmp_path / str(number), model, given, **more)) == (code, param), number
    told = read_events(tmp_path / "9")[0][-1]
    assert (told.level, told.data["code"]) == ("error", "training_diverged")


def test_code_that_a_base_brings_along_is_never_run(base: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for kind, status, code in (("llama", "succeeded", None), ("evil", "failed", "unsupported_model")):
        own = tmp_path / kind
        shutil.copytree(base, own)
        (own / "evil.py").write_text(f"open({str(ran)!r}, 'w')\n")
        config = json.loads((own / "config.json").read_text())
        config |= {"model_type": kind, "auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}}
        (own / "config.json").write_text(json.dumps(config))
        given = Hyperparameters(n_epochs=1, batch_size=32)
        result = _run(tuning.job(tmp_path / f"{kind}-job", own, tuning.sft(TAUGHT), hyperparameters=given))
        assert result.status == status
        assert (result.error.code if result.error else None) == code
    assert not ran.exists()


def test_a_base_with_several_templates_is_trained_with_them_and_they_are_kept(base: Path, tmp_path: Path) -> None:
    several = tmp_path / "several"
    shutil.copytree(base, several)
    (several / "additional_chat_templates").mkdir()
    (several / "additional_chat_templates" / "tool_use.jinja").write_text("{{ tools }}" + TEMPLATE)
    folder = tuning.job(tmp_path / "job", several, tuning.sft(TAUGHT), hyperparameters=SHORT)
    assert _run(folder).status == "succeeded"
    assert not [each.message for each in read_events(folder)[0] if "no chat template" in each.message]
    for kept in (folder / ADAPTER, checkpoints.place(folder, STEPS)):
        assert (kept / "chat_template.jinja").read_text() == TEMPLATE
        assert (kept / "chat_template_tool_use.jinja").read_text() == "{{ tools }}" + TEMPLATE


def test_a_half_written_checkpoint_is_a_full_disk_where_there_is_no_room(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598")

    monkeypatch.setattr(checkpoints, "publish", full)
    for free, status in ((0, DISK_FULL), (1 << 40, 0)):
        folder = tuning.job(tmp_path / str(free), base, tuning.sft(TAUGHT), hyperparameters=SHORT)
        usage = shutil.disk_usage(folder)._replace(free=free)
        with monkeypatch.context() as patched:
            patched.setattr(shutil, "disk_usage", lambda _folder, usage=usage: usage)
            assert work(folder, lambda: False) == status


def test_what_the_machine_lacks_is_the_result_too(base: Path, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert _failure(tuning.job(tmp_path / "4bit", base, tuning.sft(TAUGHT), load_in_4bit=True))[0] == "not_available"
    assert _failure(tuning.job(tmp_path / "gpu", base, tuning.sft(TAUGHT), device="cuda"))[0] == "not_available"


def test_no_memory_and_what_nobody_thought_of_are_told_and_traced(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    from trainer_trigger.trainer import train_run

    for number, (raised, code) in enumerate(
        [
            (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
            (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
            (MemoryError(), "out_of_memory"),
            (ZeroDivisionError("a value"), "internal_error"),
        ]
    ):

        def raises(*_: object, raised: Exception = raised, **__: object) -> None:
            raise raised

        monkeypatch.setattr(train_run, "_trainer", raises)
        assert _failure(tuning.job(tmp_path / str(number), base, tuning.sft(TAUGHT)))[0] == code
        assert "Traceback" in capsys.readouterr().err
    assert "a value" not in str(_result(tmp_path / "3").error)


def test_a_full_disk_leaves_the_job_to_be_tried_again(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: Path
) -> None:
    folder = tuning.job(tmp_path / "job", base, tuning.sft(TAUGHT), hyperparameters=SHORT, job_id="short")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "publish", full)
        assert work(folder, lambda: False) == DISK_FULL
    assert read_result(folder) is None
    assert _run(folder).status == "succeeded"
    assert _adapter(folder) == _adapter(short)


def test_a_job_that_cannot_be_read_fails(tmp_path: Path) -> None:
    (tmp_path / JOB).write_text(json.dumps({"job_id": 3}))
    result = _run(tmp_path)
    assert (result.status, result.error and result.error.code) == ("failed", "invalid_job")


def test_defaults_alone_teach_something(base: Path, tmp_path: Path) -> None:
    folder = tuning.job(tmp_path / "job", base, tuning.sft(TAUGHT), hyperparameters=Hyperparameters())
    result = _run(folder)
    assert result.status == "succeeded"
    losses = _curve(folder, "train_loss")
    assert losses[-1][1] < losses[0][1] / 3
    assert msgspec.to_builtins(read_job(folder).hyperparameters) == {}
