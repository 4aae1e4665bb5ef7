"""Time: so many days since the last run. However many ticks were missed, they are one."""

from __future__ import annotations

from schemas import targets
from trainer_trigger.policies.facts import Facts, Finding, ago, counted

DAY_MS = 86_400_000


def time(rule: targets.Time, facts: Facts) -> Finding:
    """Holds from `every_days` on since the last run began, or since the target was first seen."""
    since_ms = facts.first_seen_ms if facts.last_run_ms is None else facts.last_run_ms
    passed_ms = facts.now_ms - since_ms
    every_ms = round(rule.every_days * DAY_MS)
    what = "the target was first seen" if facts.last_run_ms is None else "the last run began"
    begun = f"{what} {ago(passed_ms)} ago"
    if passed_ms < every_ms:
        return Finding(policy="time", holds=False, words=f"{begun}, a run is due in {ago(every_ms - passed_ms)}")
    missed = passed_ms // every_ms - 1
    late = f"; {missed:,} that were missed count as this one" if missed else ""
    words = f"{begun}, and one is due every {counted(rule.every_days, 'day')}{late}"
    return Finding(policy="time", holds=True, words=words)
