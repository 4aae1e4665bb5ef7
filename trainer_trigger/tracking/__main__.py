"""`python -m trainer_trigger.tracking mlflow|wandb`: a run as JSON on stdin, where to look at it on stdout.

Exit code 1: it was not told, and the last line of stderr says why.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

import msgspec

from trainer_trigger.tracking.run import Run

ADAPTERS = ("mlflow", "wandb")


def main(name: str) -> int:
    """The exit code."""
    if name not in ADAPTERS:
        sys.stderr.write(f"there is no tracker {name}\n")
        return 1
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is none of the answer
    run = msgspec.json.decode(sys.stdin.buffer.read(), type=Run)
    try:
        place = import_module(f"trainer_trigger.tracking.{name}").tell(run)
    except ModuleNotFoundError as exc:
        if exc.name != name:
            raise
        sys.stderr.write(f"{name} is not installed: pip install 'millrace[{name}]'\n")
        return 1
    except Exception as exc:
        sys.stderr.write(f"{type(exc).__name__}: {' '.join(str(exc).split())}\n")
        return 1
    answer.write(f"{place}\n")
    answer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
