"""Performance: a production score or a reported measurement is below a threshold."""

from __future__ import annotations

from typing import Final

from schemas import targets
from trainer_trigger.policies.facts import Facts, Finding, ago, counted
from trainer_trigger.policies.time import DAY_MS
from trainer_trigger.watch import Production

SCORE: Final = "score"
"""The metric that is not reported: it is read from production."""


def performance(rule: targets.Performance, facts: Facts) -> Finding:
    """Holds strictly below `rule.below`, where there are enough scores or a measurement that is young enough.

    What was seen before the last model was made tells of another model, and does not count.
    """
    if rule.metric == SCORE:
        return _production(rule, facts.production.get(rule, Production(0, None)), facts.last_model_ms is not None)
    told = facts.measurements.get(rule.metric)
    if told is None:
        return _finding(False, f"nobody has measured {rule.metric}")
    age_ms = facts.now_ms - told.at_ms
    what = f"{rule.metric} is {told.value:.4g} by {told.who}, {ago(age_ms)} ago"
    if facts.last_model_ms is not None and told.at_ms <= facts.last_model_ms:
        return _finding(False, f"{what}; it was measured before the last run had made its model")
    if age_ms > rule.within_days * DAY_MS:
        return _finding(False, f"{what}; that is older than {counted(rule.within_days, 'day')}")
    return _compared(rule, told.value, what)


def _production(rule: targets.Performance, told: Production, since_run: bool) -> Finding:
    missing = rule.samples - told.clusters
    if missing > 0 or told.mean is None:
        since = " since the last model" if since_run else ""
        return _finding(False, f"{told.clusters:,} of {rule.samples:,} scored samples{since}, {missing:,} are missing")
    return _compared(rule, told.mean, f"the mean score of the last {rule.samples:,} samples is {told.mean:.3f}")


def _compared(rule: targets.Performance, value: float, what: str) -> Finding:
    holds = value < rule.below
    return _finding(holds, f"{what}, {'below' if holds else 'not below'} {rule.below:g}")


def _finding(holds: bool, words: str) -> Finding:
    return Finding(policy="performance", holds=holds, words=words)
