"""What is decided about a run without training: which examples meet in a batch, and when to stop.

The whole order is laid out at the start from the seed alone, so that a run which resumes at a step sees what the
uninterrupted one would have seen.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from schemas.training import EarlyStopping

GROUPED: Final = 50
"""So many batches are shuffled together and then sorted by length, which leaves little padding and much chance."""

EVALUATIONS: Final = 4
"""An epoch, where early stopping is asked for; else one."""


def batches(lengths: Sequence[int], batch_size: int, n_epochs: int, seed: int) -> list[list[int]]:
    """The indices of each batch, over all epochs. Every epoch has every example once, the longest batch first.

    First, so that what does not fit into memory fails at once.
    """
    planned = []
    for epoch in range(n_epochs):
        chance = random.Random(f"{seed}-{epoch}")
        order = list(range(len(lengths)))
        chance.shuffle(order)
        group = batch_size * GROUPED
        ordered = [
            index
            for start in range(0, len(order), group)
            for index in sorted(order[start : start + group], key=lambda index: -lengths[index])
        ]
        cut = [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]
        chance.shuffle(cut)
        longest = max(range(len(cut)), key=lambda place: max(lengths[index] for index in cut[place]))
        cut.insert(0, cut.pop(longest))
        planned += cut
    return planned


def epoch_ends(total_steps: int, n_epochs: int) -> list[int]:
    """The step in which each epoch ends."""
    return [-(-total_steps * epoch // n_epochs) for epoch in range(1, n_epochs + 1)]


def evaluations(total_steps: int, n_epochs: int, often: bool) -> frozenset[int]:
    """The steps after which the validation file is asked."""
    return frozenset(epoch_ends(total_steps, n_epochs * EVALUATIONS if often else n_epochs)) - {0}


def valid_losses(history: Sequence[dict[str, Any]]) -> list[tuple[int, float]]:
    """(step, validation loss) of each evaluation."""
    return [(entry["step"], entry["eval_loss"]) for entry in history if "eval_loss" in entry]


def stops(losses: Sequence[float], stopping: EarlyStopping | None) -> bool:
    """Whether the last `patience` evaluations were not better by `min_delta` than the best before them."""
    if stopping is None:
        return False
    best, waited = float("inf"), 0
    for loss in losses:
        if loss < best - stopping.min_delta:
            best, waited = loss, 0
        else:
            waited += 1
    return waited >= stopping.patience


def best_step(losses: Sequence[tuple[int, float]]) -> int | None:
    """The step with the lowest validation loss, the first of equals; None without an evaluation."""
    return min(losses, key=lambda entry: entry[1])[0] if losses else None
