"""When to train: each policy is a pure function from facts to a finding, and a tree of them is one too."""

from trainer_trigger.policies.compose import evaluate, leaves
from trainer_trigger.policies.facts import Facts, Finding

__all__ = ["Facts", "Finding", "evaluate", "leaves"]
