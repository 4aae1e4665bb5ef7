"""A policy tree over the facts: `any` of several, `all` of them, or one."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.targets import Policy
from trainer_trigger.policies.drift import drift
from trainer_trigger.policies.event import event
from trainer_trigger.policies.facts import Facts, Finding
from trainer_trigger.policies.performance import performance
from trainer_trigger.policies.time import time
from trainer_trigger.policies.volume import volume


def evaluate(policy: Policy, facts: Facts) -> Finding:
    """What the policy finds; of several, each stands in `children`."""
    if policy.any is not None:
        return _several("any", policy.any, facts)
    if policy.all is not None:
        return _several("all", policy.all, facts)
    if policy.volume is not None:
        return volume(policy.volume, facts)
    if policy.drift is not None:
        return drift(policy.drift, facts)
    if policy.time is not None:
        return time(policy.time, facts)
    if policy.performance is not None:
        return performance(policy.performance, facts)
    assert policy.event is not None, "a policy is exactly one of these"
    return event(policy.event, facts)


def leaves(policy: Policy) -> Iterator[Policy]:
    """The policies of a tree that are no composition."""
    several = policy.any or policy.all
    if several is None:
        yield policy
    else:
        for each in several:
            yield from leaves(each)


def _several(name: str, policies: tuple[Policy, ...], facts: Facts) -> Finding:
    children = tuple(evaluate(each, facts) for each in policies)
    held = [child for child in children if child.holds]
    holds = bool(held) if name == "any" else len(held) == len(children)
    # What decided: those that hold, or those that do not.
    told = [child for child in children if child.holds == holds]
    words = "; ".join(child.words for child in told)
    signals = dict.fromkeys(signal for child in held for signal in child.signals)
    return Finding(policy=name, holds=holds, words=words, children=children, signals=tuple(signals))
