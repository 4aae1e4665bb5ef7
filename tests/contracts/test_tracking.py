"""One suite for trackers: a fake, a real MLflow and a real Weights & Biases know each run once, whole."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest

from tests.servers import LEFT_OUT
from trainer_trigger.ledger import State
from trainer_trigger.tracking import Run, TrackerError
from trainer_trigger.tracking.reporter import Child, Tracker

POINTS = tuple(
    (name, step, value)
    for step in range(1, 6)
    for name, value in (("train_loss", 3.0 / step), ("valid_loss", 3.5 / step))
)
RUN = Run(
    key="0123456789abcdef0123456789abcdef",
    target="support",
    state=State.SUCCEEDED,
    started_ms=1_790_000_000_000,
    ended_ms=1_790_000_360_000,
    parameters={"base_model": "llama", "method": "supervised", "epochs": "3", "learning_rate": "2e-05"},
    tags={"millrace.launch": "0123456789abcdef0123456789abcdef", "millrace.dataset_hash": "ab12"},
    points=(*POINTS, ("train_loss", 6, None)),
)


class Known(msgspec.Struct):
    """A run as a tracker knows it."""

    parameters: dict[str, str]
    tags: dict[str, str]
    curves: dict[str, list[tuple[int, float]]]
    status: str


class Stand(Protocol):
    """A tracker and what it knows."""

    @property
    def tracker(self) -> Tracker: ...

    def runs(self) -> list[Known]: ...

    def forget_half(self) -> None:
        """As if the report had been cut off in the middle."""


class FakeTracker:
    """What an adapter does, in memory. `away` makes it fail."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}
        self.away = ""
        self.calls = 0

    def tell(self, run: Run) -> str:
        self.calls += 1
        if self.away:
            raise TrackerError(self.away)
        curves: dict[str, list[tuple[int, float]]] = {}
        for name, step, value in run.points:
            curves.setdefault(name, []).append((step, math.nan if value is None else value))
        self.known[run.key] = Known(run.parameters, run.tags, curves, str(run.state))
        return f"runs/{run.key}"


class Fake:
    def __init__(self) -> None:
        self.tracker = FakeTracker()

    def runs(self) -> list[Known]:
        return list(self.tracker.known.values())

    def forget_half(self) -> None:
        for known in self.tracker.known.values():
            known.curves = {name: points[:2] for name, points in known.curves.items()}


PARTS = ("params", "tags")
STATES = {"3": "succeeded", "4": "failed", "5": "cancelled"}


class MLflow:
    """The real client, and its store of files."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _needs("mlflow")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{folder}/mlruns")
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        self._folder = folder / "mlruns"
        self.tracker = Child("mlflow")

    def runs(self) -> list[Known]:
        return [self._known(path.parent) for path in sorted(self._folder.glob("*/*/meta.yaml"))]

    def _known(self, folder: Path) -> Known:
        curves: dict[str, list[tuple[int, float]]] = {}
        for path in (folder / "metrics").iterdir():
            lines = [line.split() for line in path.read_text().splitlines()]
            curves[path.name] = sorted((int(step), float(value)) for _, value, step in lines)
        parameters, tags = ({path.name: path.read_text() for path in (folder / part).iterdir()} for part in PARTS)
        meta = (folder / "meta.yaml").read_text().splitlines()
        (status,) = [line.split()[1] for line in meta if line.startswith("status:")]
        return Known(parameters, tags, curves, STATES[status])

    def forget_half(self) -> None:
        (run,) = {path.parent for path in self._folder.glob("*/*/meta.yaml")}
        (run / "tags" / "millrace.reported").unlink()
        for path in (run / "metrics").iterdir():
            path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")


def _needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        install = f"the extra {package}: pip install 'millrace[{package}]'"
        LEFT_OUT.setdefault(install, set()).add(os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[0])
        pytest.skip(f"needs {install}")


@pytest.fixture(params=["fake", "mlflow"])
def stand(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    made: dict[str, Callable[[], Stand]] = {"fake": Fake, "mlflow": lambda: MLflow(tmp_path, monkeypatch)}
    return made[request.param]()


def test_a_run_is_told_whole(stand: Stand) -> None:
    assert stand.tracker.tell(RUN)
    (known,) = stand.runs()
    assert known.parameters == RUN.parameters
    assert RUN.tags.items() <= known.tags.items()
    assert known.status == "succeeded"
    train = known.curves["train_loss"]
    assert [step for step, _ in train] == [1, 2, 3, 4, 5, 6]
    assert [value for _, value in train[:-1]] == pytest.approx([3.0 / step for step in range(1, 6)])
    assert math.isnan(train[-1][1])
    assert [step for step, _ in known.curves["valid_loss"]] == [1, 2, 3, 4, 5]


def test_a_run_that_is_told_again_is_there_once(stand: Stand) -> None:
    first, again = stand.tracker.tell(RUN), stand.tracker.tell(RUN)
    assert first == again
    (known,) = stand.runs()
    assert len(known.curves["train_loss"]) == 6


def test_a_report_that_was_cut_off_is_completed(stand: Stand) -> None:
    stand.tracker.tell(RUN)
    stand.forget_half()
    stand.tracker.tell(RUN)
    (known,) = stand.runs()
    assert [step for step, _ in known.curves["train_loss"]] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in known.curves["valid_loss"]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_how_it_ended_is_told(stand: Stand, state: State) -> None:
    stand.tracker.tell(msgspec.structs.replace(RUN, state=state))
    assert [known.status for known in stand.runs()] == [str(state)]


def test_two_launches_are_two_runs(stand: Stand) -> None:
    stand.tracker.tell(RUN)
    stand.tracker.tell(msgspec.structs.replace(RUN, key="f" * 32, tags={"millrace.launch": "f" * 32}))
    assert len(stand.runs()) == 2


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    _needs("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    yield tmp_path


def test_weights_and_biases_is_told_whole_under_the_launch_key(offline: Path) -> None:
    assert Child("wandb").tell(RUN)
    (file,) = offline.glob(f"wandb/offline-run-*-{RUN.key}/run-{RUN.key}.wandb")
    records = _wandb_records(file)
    (run,) = [record.run for record in records if record.HasField("run")]
    assert (run.run_id, run.run_group, run.host, run.git.remote_url) == (RUN.key, "support", "support", "")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (RUN.parameters | RUN.tags).items() <= config.items()
    steps = []
    for record in records:
        if record.HasField("history"):
            steps.append(
                {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            )
    assert [(step["_step"], step.get("train_loss")) for step in steps[:-1]] == [
        (step, pytest.approx(3.0 / step)) for step in range(1, 6)
    ]
    assert [record.exit.exit_code for record in records if record.HasField("exit")] == [0]


def _wandb_records(file: Path) -> list[Any]:
    """The records of a run's file: LevelDB's log format (blocks of 32 KiB, each piece with crc, length, kind) after 7
    bytes."""
    from wandb.proto import wandb_internal_pb2 as proto

    data, at, piece, records = file.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        if 32_768 - at % 32_768 < 7:
            at += 32_768 - at % 32_768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        piece += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in {1, 4}:  # whole, or the last of several
            records.append(proto.Record.FromString(piece))
            piece = b""
    return records


def test_a_tracker_that_is_not_there_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing = [name for name in ("mlflow", "wandb") if importlib.util.find_spec(name) is None]
    for name in missing or pytest.skip("all extras are installed"):
        with pytest.raises(TrackerError, match=rf"{name} is not installed: pip install 'millrace\[{name}\]'"):
            Child(name).tell(RUN)


def test_a_tracker_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child("mlflow", deadline_s=0.01)
    with pytest.raises(TrackerError, match="no end within"):
        child.tell(RUN)
