from __future__ import annotations

import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from deploy.local.process import wait_until
from tests.unit.trainer_trigger.launchers.requests import request_in
from trainer_trigger.launchers import JobState, LaunchRequest, Progress
from trainer_trigger.launchers.command import CommandLauncher
from trainer_trigger.launchers.errors import LauncherUnavailable, LaunchRefusedError, UnknownJobError
from trainer_trigger.ledger import Event, Point

KEY = "0123456789abcdef"

TRAIN = """
import json, os, sys
manifest = json.load(sys.stdin)
with open("ran", "a") as ran:
    ran.write(manifest["key"] + os.environ["MILLRACE_LAUNCH_KEY"])
print(json.dumps({"message": manifest["request"]["target"], "level": "warn"}))
print(json.dumps({"step": 1, "train_loss": 2.5}))
print("plain words")
print(json.dumps({"model": "adapter-1"}))
print("half a li", end="")
"""


TELLS_ITS_PIDS = """
import os, time
with open("pids", "w") as out:
    out.write(f"{os.getppid()} {os.getpid()}")
os.rename("pids", "up")
time.sleep(600)
"""


def launcher_of(folder: Path, script: str) -> CommandLauncher:
    return CommandLauncher([sys.executable, "-c", script], folder / "runs")


def ended(launcher: CommandLauncher) -> Progress:
    assert wait_until(lambda: launcher.progress(KEY).state not in {JobState.RUNNING, JobState.QUEUED}, 30)
    return launcher.progress(KEY)


def created(launcher: CommandLauncher, request: LaunchRequest) -> str:
    return launcher.create(request, KEY, launcher.upload(request, KEY, 1))


def test_a_command_reads_the_manifest_and_its_lines_are_the_progress(tmp_path: Path) -> None:
    launcher = launcher_of(tmp_path, TRAIN)
    request = request_in(tmp_path)
    launcher.check(request)
    assert created(launcher, request) == KEY
    progress = ended(launcher)
    assert (progress.state, progress.model, progress.message) == (JobState.SUCCEEDED, "adapter-1", "")
    assert [(each.level, each.message) for each in progress.events] == [("warn", "chat"), ("info", "plain words")]
    assert progress.points == (Point(1, "train_loss", 2.5),)
    assert isinstance(progress.events[0], Event)
    manifest = json.loads((tmp_path / "runs" / KEY / "manifest.json").read_bytes())
    assert msgspec.convert(manifest["request"], LaunchRequest) == request


def test_the_same_key_runs_once_however_often_and_by_whom_it_is_created(tmp_path: Path) -> None:
    request = request_in(tmp_path)
    launchers = [launcher_of(tmp_path, TRAIN) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: created(each, request), launchers))
    ended(launchers[0])
    created(launchers[0], request)
    assert (tmp_path / "runs" / KEY / "ran").read_text() == KEY + KEY
    assert launchers[1].find(KEY) == [KEY]
    assert launchers[1].find("other") == []


def test_a_folder_that_was_made_without_a_run_is_run(tmp_path: Path) -> None:
    launcher = launcher_of(tmp_path, TRAIN)
    (tmp_path / "runs" / KEY).mkdir(parents=True)
    assert launcher.find(KEY) == []
    created(launcher, request_in(tmp_path))
    assert ended(launcher).state == JobState.SUCCEEDED


def test_a_failed_command_tells_its_status(tmp_path: Path) -> None:
    launcher = launcher_of(tmp_path, "import sys; sys.exit('no memory')")
    created(launcher, request_in(tmp_path))
    progress = ended(launcher)
    assert progress.state == JobState.FAILED
    assert "ended with 1" in progress.message
    assert (tmp_path / "runs" / KEY / "stderr.log").read_text() == "no memory\n"


def test_a_command_that_is_not_there_fails_with_its_name(tmp_path: Path) -> None:
    launcher = CommandLauncher(["/nowhere/train"], tmp_path / "runs")
    created(launcher, request_in(tmp_path))
    assert ended(launcher).state == JobState.FAILED
    assert "/nowhere/train" in (tmp_path / "runs" / KEY / "stderr.log").read_text()


def test_a_run_is_cancelled(tmp_path: Path) -> None:
    launcher = launcher_of(tmp_path, "import time; time.sleep(600)")
    created(launcher, request_in(tmp_path))
    assert launcher.progress(KEY).state == JobState.RUNNING
    launcher.cancel(KEY)
    assert ended(launcher).state == JobState.CANCELLED


def test_a_run_whose_supervisor_died_is_failed_and_never_run_again(tmp_path: Path) -> None:
    launcher = launcher_of(tmp_path, TELLS_ITS_PIDS)
    request = request_in(tmp_path)
    created(launcher, request)
    up = tmp_path / "runs" / KEY / "up"
    assert wait_until(up.exists, 30)
    supervisor, child = map(int, up.read_text().split())
    for each in (supervisor, child):
        os.kill(each, signal.SIGKILL)
    progress = ended(launcher)
    assert progress.state == JobState.FAILED and "not known" in progress.message
    up.unlink()
    created(launcher, request)
    assert launcher.progress(KEY).state == JobState.FAILED
    assert not up.exists()


def test_an_unknown_run_is_named(tmp_path: Path) -> None:
    launcher = launcher_of(tmp_path, TRAIN)
    for call in (launcher.progress, launcher.cancel):
        with pytest.raises(UnknownJobError, match=KEY):
            call(KEY)


def test_a_line_with_a_number_that_no_curve_can_hold_is_an_event(tmp_path: Path) -> None:
    lines = [
        '{"step": 1, "train_loss": NaN, "valid_loss": 2.0}',
        '{"step": 2, "train_loss": Infinity, "message": "it diverges"}',
        f'{{"step": {2**63}, "train_loss": 1.0}}',
        '{"step": 3, "train_loss": 0.5, "done": true}',
    ]
    launcher = launcher_of(tmp_path, f"print({chr(10).join(lines)!r})")
    created(launcher, request_in(tmp_path))
    progress = ended(launcher)
    assert progress.points == (Point(1, "valid_loss", 2.0), Point(3, "train_loss", 0.5))
    assert [each.message for each in progress.events] == [lines[0], "it diverges", lines[1], lines[2]]
    assert len({each.event_id for each in progress.events}) == 4


def test_a_run_folder_that_cannot_be_read_is_looked_at_again(tmp_path: Path) -> None:
    launcher = launcher_of(tmp_path, "print('{}')")
    created(launcher, request_in(tmp_path))
    ended(launcher)
    events = tmp_path / "runs" / KEY / "events.ndjson"
    events.unlink()
    events.mkdir()
    with pytest.raises(LauncherUnavailable, match="events"):
        launcher.progress(KEY)
    (tmp_path / "others").touch()
    lost = CommandLauncher(["true"], tmp_path / "others")
    for call in (lost.find, lost.progress, lost.cancel):
        with pytest.raises(LauncherUnavailable, match="others"):
            call(KEY)


def test_a_dataset_without_examples_is_refused(tmp_path: Path) -> None:
    request = request_in(tmp_path)
    empty = msgspec.structs.replace(request, train_file=msgspec.structs.replace(request.train_file, examples=0))
    with pytest.raises(LaunchRefusedError, match="train_file"):
        launcher_of(tmp_path, TRAIN).check(empty)
