"""MLflow, as MLFLOW_TRACKING_URI and its other variables say.

A target is an experiment (MLFLOW_EXPERIMENT_NAME puts all into one). The run is found by its launch key; what is
missing of it is added, and the last thing is a tag that says that it is whole.
"""

from __future__ import annotations

import math
import os
from typing import Final

from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

from trainer_trigger.ledger import State
from trainer_trigger.tracking.run import LAUNCH, PREFIX, Run

WHOLE: Final = PREFIX + "reported"
STATUS: Final = {State.SUCCEEDED: "FINISHED", State.FAILED: "FAILED", State.CANCELLED: "KILLED"}
BATCH: Final = 500
"""Metrics in one request; MLflow takes 1,000."""

MAX_TAG_CHARS: Final = 5_000
MAX_PARAM_CHARS: Final = 6_000


def tell(run: Run) -> str:
    """As in `Tracker`; raises what MLflow raises."""
    client = MlflowClient()
    experiment = _experiment(client, os.environ.get("MLFLOW_EXPERIMENT_NAME") or f"millrace-{run.target}")
    mine = f"tags.`{LAUNCH}` = '{run.key}'"
    found = client.search_runs(
        [experiment.experiment_id], mine, run_view_type=ViewType.ALL, max_results=1, order_by=["attributes.start_time"]
    )
    if found:
        there = found[0]
        if WHOLE in there.data.tags or there.info.lifecycle_stage == "deleted":  # somebody did not want it
            return _place(experiment, there.info.run_id)
    else:
        tags = {name: value[:MAX_TAG_CHARS] for name, value in run.tags.items()}
        there = client.create_run(experiment.experiment_id, run.started_ms, tags, run.name)
    run_id = there.info.run_id
    parameters = [Param(name, value[:MAX_PARAM_CHARS]) for name, value in run.parameters.items()]
    client.log_batch(run_id, params=parameters)
    known = {
        (name, point.step)
        for name in (there.data.metrics if found else ())
        for point in client.get_metric_history(run_id, name)
    }
    missing = [
        Metric(name, math.nan if value is None else value, run.ended_ms, step)
        for name, step, value in run.points
        if (name, step) not in known
    ]
    for first in range(0, len(missing), BATCH):
        client.log_batch(run_id, metrics=missing[first : first + BATCH])
    client.set_terminated(run_id, STATUS[run.state], run.ended_ms)
    client.log_batch(run_id, tags=[RunTag(WHOLE, "true")])
    return _place(experiment, run_id)


def _experiment(client: MlflowClient, name: str) -> Experiment:
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            client.create_experiment(name)
        except MlflowException as exc:
            if exc.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.get_experiment_by_name(name)
    assert found is not None
    return found


def _place(experiment: Experiment, run_id: str) -> str:
    return f"experiments/{experiment.experiment_id}/runs/{run_id}"
