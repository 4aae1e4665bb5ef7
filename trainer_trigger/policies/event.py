"""Event: somebody said that something happened, such as a product change or an incident."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from schemas import targets
from trainer_trigger.controls.records import MANUAL, Signal
from trainer_trigger.policies.facts import Facts, Finding

SHOWN: Final = 3


def event(rule: targets.Event, facts: Facts) -> Finding:
    """Holds while a signal of one of `rule.kinds` has led to nothing yet."""
    heard = [signal for signal in facts.signals if hears(rule, signal.kind)]
    if not heard:
        return Finding(policy="event", holds=False, words=f"nobody reported {' or '.join(rule.kinds) or 'an event'}")
    return Finding(policy="event", holds=True, words=told(heard), signals=tuple(signal.signal_id for signal in heard))


def hears(rule: targets.Event, kind: str) -> bool:
    """Whether the rule asks for events of this kind."""
    return kind != MANUAL and (not rule.kinds or kind in rule.kinds)


def told(signals: Sequence[Signal]) -> str:
    """Signals in words: the first three, and how many more there are."""
    words = " and ".join(said(signal) for signal in signals[:SHOWN])
    more = len(signals) - SHOWN
    return f"{words} and {more:,} more" if more > 0 else words


def said(signal: Signal) -> str:
    """A signal in words."""
    what = "fired it" if signal.kind == MANUAL else f"reported {signal.kind}"
    examples = f" ({len(signal.examples):,} examples)" if signal.examples else ""
    return f"{signal.who} {what}: {signal.reason}{examples}"
