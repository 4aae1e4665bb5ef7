"""The pure stages: redact, then join → normalise → score → gate → dedup.

A stage decides and nothing else: no clock, log, randomness or I/O; state comes in as a value and goes out as one.
The runner counts, routes and acknowledges.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct

from schemas.outcomes import GateOutcome
from schemas.reasons import Reason

T = TypeVar("T")


class Keep(Struct, Generic[T], frozen=True):
    """The record goes on."""

    record: T


class Drop(Struct, frozen=True):
    """The record leaves here, for a reason out of the closed enum."""

    reason: Reason
    gates: tuple[GateOutcome, ...] = ()


class Wait(Struct, frozen=True):
    """There is nothing to decide yet: an interaction without feedback, or feedback without its interaction."""
