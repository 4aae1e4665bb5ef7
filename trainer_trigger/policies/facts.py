"""What policies and guards are asked about, and what a policy answers."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from schemas import targets
from trainer_trigger.controls.records import Measurement, Signal
from trainer_trigger.watch import DriftState, Production


class Facts(Struct, frozen=True, kw_only=True):
    """All that policies look at. Times in epoch milliseconds; `fresh` and `total` count clusters that qualify.

    `drift` and `production` hold an answer for each rule that asks. `signals` are those that led to nothing yet.
    """

    now_ms: int
    first_seen_ms: int
    last_run_ms: int | None = None
    """When the last run began that was not in vain: it goes on, or has succeeded."""
    last_model_ms: int | None = None
    """When the last run that succeeded had its model; what was seen before tells of the model before."""
    fresh: int = 0
    total: int = 0
    drift: Mapping[targets.Drift, DriftState] = {}
    production: Mapping[targets.Performance, Production] = {}
    measurements: Mapping[str, Measurement] = {}
    signals: tuple[Signal, ...] = ()


class Finding(Struct, frozen=True, kw_only=True):
    """What a policy found: whether it holds, and in words what is there and what is missing.

    `signals`: the ids of those that it heard.
    """

    policy: str
    holds: bool
    words: str
    children: tuple[Finding, ...] = ()
    signals: tuple[str, ...] = ()


def ago(milliseconds: int) -> str:
    """A stretch of time in words, e.g. `3 days`, `2.5 hours`, `1 minute`; below a minute in seconds."""
    seconds = max(0.0, milliseconds / 1000)
    for unit, size in (("day", 86_400.0), ("hour", 3_600.0), ("minute", 60.0)):
        if seconds >= size:
            return counted(seconds / size, unit)
    return counted(float(round(seconds)), "second")


def counted(number: float, unit: str) -> str:
    """E.g. `1 day`, `2.5 days`; one decimal."""
    shown = f"{number:,.1f}".removesuffix(".0")
    return f"{shown} {unit}" if shown == "1" else f"{shown} {unit}s"
