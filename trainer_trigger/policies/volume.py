"""Volume: enough new approved samples since the last training set, near duplicates counted once."""

from __future__ import annotations

from schemas import targets
from trainer_trigger.policies.facts import Facts, Finding


def volume(rule: targets.Volume, facts: Facts) -> Finding:
    """Holds from `rule.samples` fresh clusters on."""
    missing = rule.samples - facts.fresh
    if missing <= 0:
        words = f"{facts.fresh:,} new samples since the last training set, {rule.samples:,} are enough"
    else:
        words = f"{facts.fresh:,} of {rule.samples:,} new samples since the last training set, {missing:,} are missing"
    return Finding(policy="volume", holds=missing <= 0, words=words)
