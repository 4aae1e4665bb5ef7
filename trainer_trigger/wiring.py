"""Puts the trigger together from the settings: database, lake, datasets, launchers."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct

from schemas.targets import Target
from streams import embedded
from streams.errors import SettingError
from streams.settings import Settings
from trainer_trigger import datasets, targets
from trainer_trigger.controls.sql import SqlControls
from trainer_trigger.database import Database
from trainer_trigger.datasets.service import LakeDatasets
from trainer_trigger.gather import LAUNCHES
from trainer_trigger.launchers import Launcher, Timing
from trainer_trigger.launchers.chosen import launcher_of, problem
from trainer_trigger.ledger import Ledger, State
from trainer_trigger.ledger.sql import SqlLedger
from trainer_trigger.service import Trigger
from trainer_trigger.tracking import Reporter
from trainer_trigger.tracking.sql import Reports
from trainer_trigger.watch.snapshots import Snapshot
from trainer_trigger.watch.watching import Watch

SQLITE: Final = "sqlite:///"
ALL_LAUNCHES: Final = 1_000_000
REPORTS: Final = "drift-reports"
"""Folder of the drift checks' reports, beside the datasets where these are in a folder."""


class Opened(Struct, frozen=True):
    """A trigger with what it works on. Close the database at the end."""

    trigger: Trigger
    database: Database
    ledger: Ledger
    reporter: Reporter


def open_trigger(settings: Settings, timing: Timing = Timing(), *, builds: bool = True) -> Opened:
    """Without `builds`, to look and to say something, no key is needed.

    Raises SettingError, also for a wrong targets file; DatabaseUnavailable.
    """
    configured = targets.load(settings.targets)
    settings.require("lake")
    key = _hash_key(settings) if builds else ""
    database = Database(settings.database_url)
    ledger, controls = SqlLedger(database), SqlControls(database)
    made = LakeDatasets(settings.lake, datasets.at(settings.datasets), key)
    launchers: dict[str, Launcher] = {}

    def launcher(name: str) -> Launcher:
        if name not in launchers:  # KeyError for a target that is not configured any more
            launchers[name] = launcher_of(configured[name], os.environ, datasets.opened)
        return launchers[name]

    trigger = Trigger(
        configured,
        ledger,
        controls,
        Watch(database, settings.lake, reports_of(settings.datasets), partial(_snapshot, ledger, made)),
        made,
        launcher,
        f"{socket.gethostname()}/{os.getpid()}",
        launcher_problem=lambda target: problem(target, os.environ),
        timing=timing,
    )
    trackers = {name: target.trackers for name, target in configured.items()}
    return Opened(trigger, database, ledger, Reporter(Reports(database), ledger, controls, trackers))


def launches_by_dataset(settings: Settings) -> dict[str, list[str]]:
    """Dataset hash → the models made of it, or the launch where none came of it; nothing where there is no ledger yet.

    Raises LedgerUnavailable.
    """
    url = settings.database_url
    if url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).exists():
        return {}
    found: dict[str, list[str]] = {}
    with closing(SqlLedger(url)) as ledger:
        for launch in ledger.launches(limit=ALL_LAUNCHES):
            if launch.job_id is not None:
                found.setdefault(launch.intent.dataset_hash, []).append(launch.model or launch.key)
    return found


def _snapshot(ledger: Ledger, made: LakeDatasets, name: str, target: Target) -> Snapshot | None:
    """The rows of the last training set that was trained on."""
    for launch in ledger.launches(name, limit=LAUNCHES):
        if launch.state == State.SUCCEEDED:
            return made.snapshot(name, target, launch.intent.dataset_hash)
    return None


def reports_of(datasets_at: str) -> str:
    """Where the drift checks' reports lie; they hold excerpts of samples."""
    return REPORTS if "://" in datasets_at else str(Path(datasets_at) / REPORTS)


def _hash_key(settings: Settings) -> str:
    """The setting, or an embedded lake's own."""
    if settings.hash_key:
        return settings.hash_key
    if "://" not in settings.lake and (Path(settings.lake) / "_millrace" / "keys.json").exists():
        return embedded.secrets_of(Path(settings.lake) / "_millrace").hash_key
    raise SettingError("MILLRACE_HASH_KEY", "", "is required: by it a holdout is chosen for good")
