"""Prometheus metrics of the trigger. Labels are target names of the configuration, and names from closed sets."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

DECISIONS: Final = Counter("millrace_trigger_decisions", "Decisions, also every no.", ("target", "kind"))
LAUNCHES: Final = Gauge("millrace_trigger_launches", "The last launches by state.", ("state",))
WATCH_LAG_SECONDS: Final = Gauge(
    "millrace_trigger_watch_lag_seconds", "Since the lake was last read to its end for a target.", ("target",)
)
BUDGET_LEFT_CENTS: Final = Gauge("millrace_trigger_budget_left_cents", "Left of the month's budget.", ("target",))
PROBLEM: Final = Gauge("millrace_trigger_problem", "1 while a target cannot be looked at.", ("target",))
