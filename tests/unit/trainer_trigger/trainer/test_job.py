"""The contract of a job's folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer_trigger.trainer.job import (
    EVENTS,
    Hyperparameters,
    Method,
    Resolved,
    TrainJob,
    read_events,
    read_job,
    read_result,
    requested,
    resolve,
    write_job,
    write_whole,
)

REPOSITORY = Path(__file__).parents[4]


@given(
    st.builds(
        Hyperparameters,
        n_epochs=st.none() | st.integers(1, 50),
        batch_size=st.none() | st.integers(1, 256),
        learning_rate_multiplier=st.none() | st.floats(0.1, 10),
        gradient_accumulation_steps=st.none() | st.integers(1, 8),
    ),
    st.sampled_from(["supervised", "dpo"]),
    st.integers(10, 100_000),
    st.integers(1, 16_384),
)
def test_defaults_applied_twice_change_nothing(
    asked: Hyperparameters, method: Method, examples: int, hidden: int
) -> None:
    once = resolve(asked, method, examples, hidden)
    again = {name: value for name, value in msgspec.to_builtins(once).items() if value is not None}
    assert resolve(requested(again), method, examples, hidden) == once


def test_what_is_asked_is_kept_and_the_rest_are_the_documented_defaults() -> None:
    assert resolve(Hyperparameters(), "supervised", 1000, 2000) == Resolved(
        n_epochs=3,
        batch_size=16,
        learning_rate=5e-4,
        lr_scheduler="linear",
        warmup_steps=9,
        weight_decay=0.0,
        gradient_accumulation_steps=1,
        lora_rank=8,
        lora_alpha=16,
        beta=None,
        early_stopping=None,
    )
    small = resolve(Hyperparameters(lora_rank=4), "dpo", 50, 2000)
    assert (small.batch_size, small.lora_alpha, small.beta) == (5, 8, 0.1)
    assert small.learning_rate == pytest.approx(5e-5)
    assert resolve(Hyperparameters(learning_rate_multiplier=2), "dpo", 50, 2000).learning_rate == pytest.approx(1e-4)


def test_auto_is_our_default_and_a_wrong_value_is_named() -> None:
    assert requested({"n_epochs": "auto", "batch_size": 4}) == Hyperparameters(batch_size=4)
    with pytest.raises(msgspec.ValidationError, match="n_epochs"):
        requested({"n_epochs": 51})
    with pytest.raises(msgspec.ValidationError, match="unknown field `epochs`"):
        requested({"epochs": 3})
    with pytest.raises(msgspec.ValidationError, match="exclude each other"):
        requested({"learning_rate": 1e-4, "learning_rate_multiplier": 2})


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    job = TrainJob(job_id="j", base_model="/base", train_file="/t.jsonl", hyperparameters=Hyperparameters(n_epochs=2))
    write_job(tmp_path / "j", job)
    assert read_job(tmp_path / "j") == job
    assert read_result(tmp_path / "j") is None


def test_only_whole_lines_of_the_events_are_read(tmp_path: Path) -> None:
    assert read_events(tmp_path) == ([], 0)
    line = b'{"at_ms":1,"message":"a"}\n'
    (tmp_path / EVENTS).write_bytes(line + b'{"at_ms":2,"mes')
    events, offset = read_events(tmp_path)
    assert [each.message for each in events] == ["a"]
    assert offset == len(line)
    with open(tmp_path / EVENTS, "ab") as file:
        file.write(b'sage":"b"}\n')
    assert [each.message for each in read_events(tmp_path, offset)[0]] == ["b"]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        write_whole(tmp_path / "file", content)
        assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", content)]


def test_nothing_but_a_run_itself_imports_torch() -> None:
    code = (
        "import importlib, pkgutil, sys\n"
        "heavy = ('torch', 'transformers', 'peft', 'trl', 'datasets', 'accelerate', 'tokenizers')\n"
        "for name in heavy:\n"
        "    sys.modules[name] = None\n"  # whoever imports it gets an ImportError
        "import millrace, streams, trainer_trigger\n"
        "for package in (millrace, streams, trainer_trigger):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if module.name.endswith(('.train_run', '.train_loops', '.train_watch', '.train_head', '.__main__')):\n"
        "            continue\n"
        "        try:\n"
        "            importlib.import_module(module.name)\n"
        "        except ModuleNotFoundError as exc:\n"  # another optional extra is missing
        "            if exc.name.partition('.')[0] in heavy:\n"
        "                raise\n"
        "import millrace.__main__\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
