"""What the trainer's tests train: a tiny base, and answers that it can only know from training."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trainer_trigger.trainer.job import Hyperparameters, TrainJob, write_job

ANSWERS = {
    "refund": "Refunds take five days.",
    "parcel": "Your parcel is on its way.",
    "password": "Choose a new password online.",
    "invoice": "The invoice was sent by mail.",
}
_ASKED = ("where is my", "please check the", "i have a question about a", "what about that", "tell me about this")
_LATER = ("today", "again", "please", "soon", "as agreed", "for my friend", "since monday", "in the app")
RECIPE = Hyperparameters(n_epochs=8, batch_size=4, learning_rate=5e-3, lora_rank=8, lora_alpha=16)
WRONG = "No idea at all."


def prompts() -> list[tuple[str, str]]:
    """(question, answer as taught), shuffled once and for all."""
    found = [
        (f"{asked} {topic} {later}", answer)
        for topic, answer in ANSWERS.items()
        for asked in _ASKED
        for later in _LATER
    ]
    random.Random(0).shuffle(found)
    return found


def said(*turns: str, **more: Any) -> list[dict[str, Any]]:
    """A conversation that the user begins; `more` goes to the last message."""
    messages: list[dict[str, Any]] = [
        {"role": "assistant" if place % 2 else "user", "content": turn} for place, turn in enumerate(turns)
    ]
    messages[-1] |= more
    return messages


def sft(pairs: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Lines of OpenAI's supervised format."""
    return [{"messages": said(*pair)} for pair in pairs]


def dpo(pairs: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Lines of OpenAI's preference format, the answer against a wrong one."""
    return [
        {
            "input": {"messages": said(asked)},
            "preferred_output": [{"role": "assistant", "content": answer}],
            "non_preferred_output": [{"role": "assistant", "content": WRONG}],
        }
        for asked, answer in pairs
    ]


def written(path: Path, lines: Iterable[object]) -> str:
    """The place of a new file with these lines as JSON."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def job(folder: Path, base: Path, lines: list[dict[str, Any]], **more: Any) -> Path:
    """A job's folder, ready to run. `valid` are the lines of a validation file."""
    folder.mkdir(parents=True, exist_ok=True)
    valid = more.pop("valid", None)
    settings: dict[str, Any] = {
        "job_id": folder.name,
        "base_model": str(base),
        "hyperparameters": RECIPE,
        "seed": 1,
    } | more
    settings["train_file"] = written(folder / "train.jsonl", lines)
    if valid is not None:
        settings["validation_file"] = written(folder / "valid.jsonl", valid)
    write_job(folder, TrainJob(**settings))
    return folder


def make_base(folder: Path) -> Path:
    """The tiny base, its tokenizer learnt from the prompts."""
    from trainer_trigger.trainer.tiny import make_tiny

    make_tiny(folder, [text for pair in prompts() for text in pair] + [WRONG])
    return folder
