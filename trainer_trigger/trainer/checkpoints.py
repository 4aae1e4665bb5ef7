"""Checkpoints of a job: `checkpoints/step-N`, each whole or not there, the damaged ones passed over.

Resuming with the optimizer's or the random state missing would run on without an error and end elsewhere; so a
checkpoint counts only when all its hashes agree and all that training needs is in it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from trainer_trigger.trainer.adapters import CONFIG, WEIGHTS, publish, verify
from trainer_trigger.trainer.errors import BrokenAdapterError
from trainer_trigger.trainer.job import CHECKPOINTS

STATE: Final = "trainer_state.json"
NEEDED: Final = frozenset({WEIGHTS, CONFIG, STATE, "optimizer.pt", "scheduler.pt", "rng_state.pth"})
NOT_KEPT: Final = frozenset(
    {"training_args.bin", "README.md", "tokenizer.json", "tokenizer_config.json", "additional_chat_templates"}
)
"""A pickle that nothing reads again, a page about nothing, and what is the base's."""

KEPT: Final = 3
"""So many of the newest, as OpenAI keeps; each is about three times an adapter."""

_NAME: Final = re.compile(r"step-(\d+)")


def place(job: Path, step: int) -> Path:
    """Where the checkpoint of this step is."""
    return job / CHECKPOINTS / f"step-{step}"


def keep(
    job: Path, written: Path, step: int, job_id: str, base_model: str, also: Callable[[Path], None] = lambda _: None
) -> None:
    """Publish what the training library wrote to a folder of its own, which is gone then; and what `also` writes."""

    def moved(folder: Path) -> None:
        for path in written.iterdir():
            if path.name not in NOT_KEPT:
                path.rename(folder / path.name)
        _sort(folder / CONFIG)
        also(folder)

    target = place(job, step)
    if target.exists():  # a damaged one, which was passed over
        shutil.rmtree(target)
    publish(target, moved, job_id, base_model, step)
    shutil.rmtree(written)


def steps(job: Path) -> list[int]:
    """The steps with a checkpoint, oldest first, damaged ones included."""
    folder = job / CHECKPOINTS
    names = (_NAME.fullmatch(path.name) for path in folder.iterdir()) if folder.is_dir() else iter(())
    return sorted(int(name[1]) for name in names if name)


def damage(job: Path, step: int) -> str | None:
    """What is wrong with this checkpoint; None when training can go on from it."""
    try:
        missing = NEEDED - verify(place(job, step)).files.keys()
    except BrokenAdapterError as exc:
        return exc.message
    return f"step-{step} lacks {', '.join(sorted(missing))}" if missing else None


def history(job: Path, step: int) -> list[dict[str, Any]]:
    """What was logged up to this step: `step` with `loss` or `eval_loss`, and more."""
    state: dict[str, Any] = msgspec.json.decode((place(job, step) / STATE).read_bytes())
    logged: list[dict[str, Any]] = state["log_history"]
    return logged


def tokens(job: Path, step: int) -> int:
    """The tokens seen up to this step."""
    return int(msgspec.json.decode((place(job, step) / STATE).read_bytes())["num_input_tokens_seen"])


def newest(job: Path) -> tuple[int | None, list[str]]:
    """The last step to go on from, and what is wrong with the later ones."""
    problems: list[str] = []
    for step in reversed(steps(job)):
        problem = damage(job, step)
        if problem is None:
            return step, problems
        problems.append(problem)
    return None, problems


def prune(job: Path, best: int | None) -> None:
    """Leave the newest and the best."""
    for step in _old(job, best):
        shutil.rmtree(place(job, step))


def _sort(config: Path) -> None:
    """Write the modules in order: the library has them as a set, so that the same run would end with other bytes."""
    given = msgspec.json.decode(config.read_bytes())
    ordered = {name: sorted(value) if name == "target_modules" else value for name, value in sorted(given.items())}
    config.write_bytes(msgspec.json.format(msgspec.json.encode(ordered), indent=2))


def _old(job: Path, best: int | None) -> Iterator[int]:
    return (step for step in steps(job)[:-KEPT] if step != best)
