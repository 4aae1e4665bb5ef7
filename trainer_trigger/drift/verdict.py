"""Two windows in a row: the rule that makes false alarms rare."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from trainer_trigger.drift.check import Outcome

Kind = Literal["drift", "suspected", "steady", "not enough data", "overlap"]

_HASH_BYTES = 8


class Verdict(Struct, frozen=True, kw_only=True):
    """What to do, why, and what to keep for the next window."""

    kind: Kind
    features: tuple[str, ...] = ()
    """That moved: in both windows for drift, in this one if suspected."""
    reason: str
    """In words."""
    history: Outcome | None
    """The last whole window, for the next call."""


def judge(history: Outcome | None, window: Outcome) -> Verdict:
    """Drift is what moved the same feature in this window and in the one before, against the same reference.

    1. Too few rows: the window is not whole yet, and what came before stays.
    2. Rows that the window before had too: they would be counted twice, so nothing is said.
    3. Another reference or method: what came before says nothing about it.
    4. Drift if the same feature moved twice, suspected if one did now, else steady.
    """
    if window.shortages:
        lacking = " and ".join(
            f"the {each.side} has {each.rows} rows, {each.missing} fewer than the {each.needed} that are needed"
            for each in window.shortages
        )
        return Verdict(kind="not enough data", reason=lacking, history=history)
    comparable = history is not None and (history.reference, history.method) == (window.reference, window.method)
    before = history if comparable else None
    if before is not None and (shared := len(_hashes(before) & _hashes(window))):
        reason = f"{shared} or more rows were in the last window too; two windows must share none"
        return Verdict(kind="overlap", reason=reason, history=history)
    twice = tuple(name for name in window.moved if before is not None and name in before.moved)
    if twice:
        reason = f"{_named(twice)} moved in two windows in a row"
        return Verdict(kind="drift", features=twice, reason=reason, history=window)
    if window.moved:
        reason = f"{_named(window.moved)} moved in this window; drift if it does in the next one too"
        return Verdict(kind="suspected", features=window.moved, reason=reason, history=window)
    lowest = min(window.tests, key=lambda test: test.adjusted)
    reason = f"nothing moved; the nearest to it is {lowest.feature}, p = {lowest.adjusted:.3g} after Holm"
    return Verdict(kind="steady", reason=reason, history=window)


def _hashes(outcome: Outcome) -> set[bytes]:
    packed = outcome.members
    return {packed[start : start + _HASH_BYTES] for start in range(0, len(packed), _HASH_BYTES)}


def _named(features: tuple[str, ...]) -> str:
    return " and ".join(features).replace("_", " ")
