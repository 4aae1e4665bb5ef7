"""Drift: what is sent has moved since the last training set, twice in a row."""

from __future__ import annotations

from schemas import targets
from trainer_trigger.policies.facts import Facts, Finding


def drift(rule: targets.Drift, facts: Facts) -> Finding:
    """Holds when the last check of this rule said drift; a suspicion alone does not."""
    told = facts.drift.get(rule)
    if told is None:
        return Finding(policy="drift", holds=False, words="drift was not checked yet")
    report = "" if told.place is None else f"; see {told.place}"
    match told.kind:
        case "drift":
            words = f"drift: {told.reason}{report}"
        case "suspected":
            words = f"drift is only suspected: {told.reason}{report}"
        case "steady":
            words = f"no drift: {told.reason}"
        case _:
            words = f"drift cannot be told yet: {told.reason}"
    return Finding(policy="drift", holds=told.kind == "drift", words=words)
