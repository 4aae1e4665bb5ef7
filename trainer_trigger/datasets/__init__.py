"""Training sets: made out of the lake, published once, verified, erased. docs/datasets.md tells the rules."""

from trainer_trigger.datasets.build import Request, assess, build
from trainer_trigger.datasets.erase import erase, erase_withdrawn
from trainer_trigger.datasets.published import Built, data_file, every, find, snapshot, verify
from trainer_trigger.datasets.store import Store, at, opened

__all__ = [
    "Built",
    "Request",
    "Store",
    "assess",
    "at",
    "build",
    "data_file",
    "erase",
    "erase_withdrawn",
    "every",
    "find",
    "opened",
    "snapshot",
    "verify",
]
