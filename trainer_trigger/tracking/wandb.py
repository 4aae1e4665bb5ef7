"""Weights & Biases, as WANDB_API_KEY, WANDB_PROJECT and its other variables say.

The run's id is the launch key, so a second report goes on with the same run; steps that are there are not taken again.
Nothing is sent of this machine, its code or its output.
"""

from __future__ import annotations

import math
import os
import tempfile
from contextlib import ExitStack
from itertools import groupby
from typing import Final

import wandb

from trainer_trigger.ledger import State
from trainer_trigger.tracking.run import PREFIX, Run

PROJECT: Final = "millrace"
WHOLE: Final = PREFIX + "reported"
INIT_S: Final = 60.0


def tell(run: Run) -> str:
    """As in `Tracker`; raises what wandb raises."""
    with ExitStack() as stack:
        offline = os.environ.get("WANDB_MODE") == "offline"  # then the files are the report
        kept = os.environ.get("WANDB_DIR") or (os.getcwd() if offline else None)
        told = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=run.key,
            name=run.name,
            group=run.target,
            job_type="fine-tune",
            config={**run.parameters, **run.tags},
            dir=kept or stack.enter_context(tempfile.TemporaryDirectory()),
            resume=None if offline else "allow",
            settings=wandb.Settings(
                console="off",
                disable_git=True,
                host=run.target,  # not this machine's name
                init_timeout=INIT_S,
                save_code=False,
                silent=True,
                x_disable_meta=True,
                x_disable_stats=True,
            ),
        )
        if told.summary.get(WHOLE) is None:
            for step, points in groupby(run.points, key=lambda point: point[1]):
                told.log({name: math.nan if value is None else value for name, _, value in points}, step=step)
            told.summary.update({WHOLE: True, PREFIX + "state": str(run.state)})
        told.finish(exit_code=0 if run.state == State.SUCCEEDED else 1)
        return told.url or f"{told.project}/{told.id}"
