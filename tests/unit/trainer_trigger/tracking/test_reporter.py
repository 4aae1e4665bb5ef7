from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from deploy.local.process import wait_until
from tests.servers import Servers
from tests.unit.trainer_trigger.launchers.requests import request_in
from trainer_trigger.controls.sql import SqlControls
from trainer_trigger.database import Database
from trainer_trigger.errors import DatabaseUnavailable
from trainer_trigger.ledger import TERMINAL, Change, Point, State
from trainer_trigger.ledger.sql import SqlLedger
from trainer_trigger.tracking import Reporter, Run, TrackerError
from trainer_trigger.tracking.reporter import DEADLINE_S
from trainer_trigger.tracking.sql import Reports


class FakeTracker:
    """Takes runs; `away` says why it does not, `slow` holds it up."""

    def __init__(self) -> None:
        self.told: list[Run] = []
        self.away = ""
        self.slow: threading.Event | None = None

    def tell(self, run: Run) -> str:
        if self.slow is not None:
            self.slow.wait(30)
        if self.away:
            raise TrackerError(self.away)
        self.told.append(run)
        return f"runs/{run.key}"


class Stand:
    """A ledger with what trackers are told of it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.database = Database(url)
        self.ledger, self.controls = SqlLedger(self.database), SqlControls(self.database)
        self.reports = Reports(self.database)
        self.mlflow, self.wandb = FakeTracker(), FakeTracker()
        self.folder = folder

    def reporter(self, wanted: Sequence[str] = ("mlflow",)) -> Reporter:
        trackers = {"mlflow": self.mlflow, "wandb": self.wandb}
        return Reporter(self.reports, self.ledger, self.controls, {"chat": wanted, "other": ()}, trackers)

    def launched(self, end: State | None = State.SUCCEEDED, generation: int = 0) -> str:
        """The key of a launch that has ended so, or goes on."""
        request = msgspec.structs.replace(request_in(self.folder), generation=generation)
        lease = self.ledger.acquire("chat", "test", 60_000)
        assert lease is not None
        launch = self.ledger.intend(lease, request.intent(f"decision-{generation}", 7))
        launch = self.ledger.move(lease, launch, State.LAUNCHING)
        launch = self.ledger.move(lease, launch, State.LAUNCHED, change=Change(job_id=f"job-{generation}"))
        points = [Point(step, "train_loss", 3.0 / step) for step in (1, 2)] + [Point(3, "train_loss", float("inf"))]
        self.ledger.progress(lease, launch.key, [], points)
        if end is not None:
            self.ledger.move(lease, launch, end, "it is over", Change(model="ft:tiny"))
        self.ledger.release(lease)
        return launch.key

    def wait_is_over(self) -> None:
        with self.database.transaction() as connection:
            connection.execute(text("UPDATE trigger_reports SET not_before_ms = 0 WHERE NOT done"))


@pytest.fixture(params=["file", "postgres"])
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stand]:
    servers: Servers | None = request.getfixturevalue("servers") if request.param == "postgres" else None
    url = f"sqlite:///{tmp_path}/x.sqlite" if servers is None else servers.fresh_database()
    stand = Stand(url, tmp_path)
    yield stand
    stand.database.close()


@pytest.mark.parametrize("end", sorted(TERMINAL))
def test_a_launch_that_has_ended_is_told_with_its_parameters_curve_and_lineage(stand: Stand, end: State) -> None:
    key = stand.launched(end)
    assert stand.reporter().tell_due() == 1
    (run,) = stand.mlflow.told
    assert (run.key, run.target, run.state) == (key, "chat", end)
    assert run.parameters == {"base_model": "tiny", "method": "supervised"}
    assert run.points == (("train_loss", 1, 3.0), ("train_loss", 2, 1.5), ("train_loss", 3, None))
    told = {"launch": key, "dataset_hash": "abc", "model": "ft:tiny", "job": "job-0", "decision": "decision-0"}
    assert {f"millrace.{name}": value for name, value in told.items()}.items() <= run.tags.items()
    (report,) = stand.reports.all(key)
    assert (report.done, report.attempts, report.place) == (True, 1, f"runs/{key}")


def test_a_launch_that_goes_on_is_not_told(stand: Stand) -> None:
    stand.launched(None)
    assert stand.reporter().tell_due() == 0
    assert stand.mlflow.told == []


def test_it_is_told_once_whoever_asks_and_after_a_restart(stand: Stand) -> None:
    stand.launched()
    for _ in range(3):
        stand.reporter().tell_due()
    assert len(stand.mlflow.told) == 1
    assert stand.reports.due("chat", "mlflow") == []


def test_two_processes_at_once_tell_it_once(stand: Stand) -> None:
    for generation in range(5):
        stand.launched(generation=generation)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: stand.reporter().tell_due(), range(4)))
    assert sum(made) == 5
    assert len({run.key for run in stand.mlflow.told}) == len(stand.mlflow.told) == 5


def test_a_tracker_that_is_away_is_told_later_and_holds_up_no_other(stand: Stand) -> None:
    key = stand.launched()
    stand.mlflow.away = "HTTPError: http://user:secret@tracker is away"
    reporter = stand.reporter(("mlflow", "wandb"))
    assert reporter.tell_due() == 1
    away, told = stand.reports.all(key)
    assert (away.done, away.attempts, away.note) == (False, 1, "HTTPError: http://…@tracker is away")
    assert told.done
    assert reporter.tell_due() == 0  # not before its time
    stand.wait_is_over()
    assert reporter.tell_due() == 0
    assert stand.reports.all(key)[0].attempts == 2
    stand.mlflow.away = ""
    stand.wait_is_over()
    assert reporter.tell_due() == 1
    assert [run.key for run in stand.mlflow.told] == [key]
    assert stand.ledger.launch(key).state == State.SUCCEEDED


def test_it_waits_longer_each_time_up_to_an_hour(stand: Stand) -> None:
    key = stand.launched()
    stand.mlflow.away = "away"
    waits = []
    for _ in range(9):
        stand.reporter().tell_due()
        waits.append(round((stand.reports.all(key)[0].not_before_ms - stand.ledger.now_ms()) / 60_000))
        stand.wait_is_over()
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_report_that_died_is_made_again_when_its_time_is_over(stand: Stand) -> None:
    key = stand.launched()
    assert stand.reports.claim(key, "mlflow", round(2 * DEADLINE_S * 1000)) == 1  # and then the process died
    assert stand.reporter().tell_due() == 0
    stand.wait_is_over()
    assert stand.reporter().tell_due() == 1


def test_starting_never_waits_and_never_raises(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    key = stand.launched()
    stand.mlflow.slow = threading.Event()
    reporter = stand.reporter()
    for _ in range(3):
        reporter.start()  # while the first is still at it
    stand.mlflow.slow.set()
    assert wait_until(lambda: any(report.done for report in stand.reports.all(key)), 30)
    reporter.stop()
    assert len(stand.mlflow.told) == 1

    def away(target: str, tracker: str) -> list[str]:
        raise DatabaseUnavailable("away")

    stand.reports.due = away  # type: ignore[method-assign]
    with caplog.at_level(logging.WARNING):
        reporter.start()
        reporter.stop()
    assert "trackers wait for the database" in caplog.text


def test_after_a_stop_no_other_report_is_begun(stand: Stand) -> None:
    stand.launched()
    reporter = stand.reporter()
    reporter.stop()
    assert reporter.tell_due() == 0


def test_without_a_tracker_there_is_nothing_to_do(stand: Stand) -> None:
    stand.launched()
    assert stand.reporter(()).tell_due() == 0
