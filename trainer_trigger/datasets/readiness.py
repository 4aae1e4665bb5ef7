"""How ready a training set is: words and numbers, and what is missing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from schemas.datasets import Check, Counts, Exclusion, Readiness
from schemas.targets import READINESS_SAMPLES

MOST_DROPPED: Final = 0.05
"""Share of the candidates that may fall out of their format before somebody should look."""

LARGEST_TASK: Final = 0.6
LEAST_HOLDOUT: Final = 50
MOST_DUPLICATES: Final = 0.5
LONG_CHARS: Final = 32_000
"""About 8,000 tokens, which many endpoints cut off at."""

MOST_LONG: Final = 0.01


class Measured(Struct, frozen=True):
    """Of the lines that are trained on. `chars`: of a whole line; `scores`: NaN where there is none; shape (lines,)."""

    chars: NDArray[np.int64]
    scores: NDArray[np.float64]
    duplicates: int
    shared_prompts: int
    """Lines of the holdout that ask what a training line asks, with another answer."""


def report(counts: Counts, excluded: Mapping[Exclusion, int], minimum: int, measured: Measured) -> Readiness:
    """The report of a training set; `minimum` is the target's."""
    checks = (
        _size(counts, minimum),
        _format(counts, excluded),
        _balance(counts),
        _duplicates(counts, excluded, measured),
        _holdout(counts, measured),
        _lengths(measured),
        _scores(measured),
    )
    return Readiness(
        ready=all(check.ok for check in checks),
        checks=checks,
        missing=tuple(f"{check.name}: {check.words}" for check in checks if not check.ok),
    )


def _size(counts: Counts, minimum: int) -> Check:
    ok = counts.train >= READINESS_SAMPLES
    words = f"{counts.train:,} lines to train on"
    if not ok:
        words += (
            f"; fine-tuning is recommended from {READINESS_SAMPLES:,} on, {READINESS_SAMPLES - counts.train:,} more"
        )
    return Check("size", ok, words, {"train": counts.train, "minimum": minimum, "recommended": READINESS_SAMPLES})


def _format(counts: Counts, excluded: Mapping[Exclusion, int]) -> Check:
    dropped = excluded.get(Exclusion.NOT_IN_FORMAT, 0)
    tried = dropped + counts.train + counts.validation + counts.holdout
    share = dropped / tried if tried else 0.0
    words = f"every line passed its format's check; {dropped:,} samples have no room in it ({share:.1%})"
    return Check("format", share <= MOST_DROPPED, words, {"dropped": dropped, "share": share})


def _balance(counts: Counts) -> Check:
    named = {name: count for name, count in counts.by_task_type.items() if count}
    total = sum(named.values())
    if len(named) < 2:
        words = f"one task type only: {next(iter(named), '') or 'none is named'}"
        return Check("balance", True, words, {"task_types": len(named), "largest_share": 1.0 if named else 0.0})
    name, most = max(named.items(), key=lambda item: (item[1], item[0]))
    share = most / total
    words = f"{len(named)} task types; {name or 'those without'} are {share:.0%} of all"
    if share > LARGEST_TASK:
        words += "; more of the others, or dataset.balance.max_share"
    return Check("balance", share <= LARGEST_TASK, words, {"task_types": len(named), "largest_share": share})


def _duplicates(counts: Counts, excluded: Mapping[Exclusion, int], measured: Measured) -> Check:
    left_out = excluded.get(Exclusion.NEAR_DUPLICATE, 0)
    lines = counts.train + counts.validation
    per_line = measured.duplicates / lines if lines else 0.0
    share = left_out / (left_out + lines) if lines else 0.0
    words = f"no near duplicates among the lines; {left_out:,} were left out, {per_line:.2f} a line"
    if share > MOST_DUPLICATES:
        words += "; most of what came in says the same"
    return Check("duplicates", share <= MOST_DUPLICATES, words, {"left_out": left_out, "per_line": per_line})


def _holdout(counts: Counts, measured: Measured) -> Check:
    ok = counts.holdout >= LEAST_HOLDOUT
    words = f"{counts.holdout:,} lines are never trained on"
    if not ok:
        words += f"; {LEAST_HOLDOUT} tell models apart"
    if measured.shared_prompts:
        words += f"; {measured.shared_prompts:,} of them ask what a training line asks, with another answer"
    return Check("holdout", ok, words, {"holdout": counts.holdout, "shared_prompts": measured.shared_prompts})


def _lengths(measured: Measured) -> Check:
    if not len(measured.chars):
        return Check("lengths", False, "there are no lines", {})
    low, middle, high = (float(value) for value in np.percentile(measured.chars, (5, 50, 95)))
    long = float(np.mean(measured.chars > LONG_CHARS))
    words = f"half of the lines have up to {middle:,.0f} characters, 95 % up to {high:,.0f}"
    if long > MOST_LONG:
        words += f"; {long:.1%} have more than {LONG_CHARS:,}, which may be cut off"
    numbers = {"p5": low, "p50": middle, "p95": high, "most": float(measured.chars.max()), "long_share": long}
    return Check("lengths", long <= MOST_LONG, words, numbers)


def _scores(measured: Measured) -> Check:
    scored = measured.scores[~np.isnan(measured.scores)]
    share = len(scored) / len(measured.scores) if len(measured.scores) else 0.0
    if not len(scored):
        return Check("scores", True, "no line has a score: all were written or ranked by people", {"scored": 0.0})
    mean, low = float(scored.mean()), float(np.percentile(scored, 10))
    words = f"{share:.0%} of the lines have a score: on average {mean:.2f}, nine of ten from {low:.2f}"
    return Check("scores", True, words, {"scored": share, "mean": mean, "p10": low})
