"""Windows of drift: what came after the training set, each cluster in one window only."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from schemas.outcomes import Outcome
from schemas.targets import Drift
from streams.errors import SettingError
from streams.lake.delta import DeltaLake
from tests.fakes import FakeLake
from tests.outcomes import outcome
from tests.unit.trainer_trigger.drift.made_up import rows
from tests.unit.trainer_trigger.watch.lakes import commit, erasure, target, watch
from trainer_trigger import drift
from trainer_trigger.database import Database
from trainer_trigger.drift.text import HashedNgrams
from trainer_trigger.watch import DriftState, Versions
from trainer_trigger.watch.snapshots import Known, Snapshot
from trainer_trigger.watch.watching import Watch
from trainer_trigger.watch.windows import drift_row

RULE = Drift(rows=300)
MOVED = (0, 0, 1)


class Named(HashedNgrams):
    """A featuriser that a target may name."""

    name = "named"


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database("sqlite://")
    yield database
    database.close()


def samples(made: Sequence[drift.Row], first: int, **fields: Any) -> list[Outcome]:
    """Outcomes of which a check sees these rows again."""
    return [
        outcome(
            row.sample_id,
            at=first + number,
            instruction=row.text,
            intent=row.intent,
            language=row.language,
            task_type=row.task_type,
            score=row.score,
            **fields,
        )
        for number, row in enumerate(made)
    ]


def test_a_row_of_the_lake_is_what_was_asked() -> None:
    row = {"sample_id": "t/a", "input": "user: so?", "instruction": "and now?", "output": "not this", "score": None}
    assert drift_row({**row, "intent": "ask", "language": None, "task_type": "chat"}, "t/c") == drift.Row(
        sample_id="t/a", cluster="t/c", text="user: so?\nand now?", intent="ask", task_type="chat", words=4.0
    )


def started(database: Database, lake: FakeLake | DeltaLake, folder: Path, reference: int = 600) -> Watch:
    """A target whose last training set is made of so many rows."""
    made = rows("reference", reference)
    one = watch(database, lake, folder, made)
    commit(lake, samples(made, 0))
    one.trained("chat", one.catch_up("chat", target()), "hash")
    return one


def test_without_a_training_set_a_snapshot_or_enough_rows_it_says_what_is_missing(
    database: Database, tmp_path: Path
) -> None:
    lake = FakeLake()
    assert "no training set yet" in watch(database, lake, tmp_path).drift("chat", target(), RULE).reason
    one = started(database, lake, tmp_path, reference=200)
    state = one.drift("chat", target(), RULE)
    assert (state.kind, state.reference_rows) == ("not enough data", 200)
    assert "200 rows, 100 fewer than the 300" in state.reason
    assert "no snapshot" in watch(database, lake, tmp_path).drift("chat", target(), RULE).reason


@pytest.mark.parametrize("place", ["fake", "delta"])
def test_what_moves_in_two_windows_running_is_drift_and_each_sample_is_in_one_window(
    database: Database, tmp_path: Path, place: str
) -> None:
    lake = FakeLake() if place == "fake" else DeltaLake(str(tmp_path / "lake"))
    one = started(database, lake, tmp_path)
    commit(lake, samples(rows("w1", 299, topics=MOVED), 1_000))
    one.catch_up("chat", target())
    state = one.drift("chat", target(), RULE)
    assert (state.kind, state.window_rows, state.needed, state.place) == ("not enough data", 299, 300, None)
    assert "299 clusters, 1 fewer than the 300" in state.reason
    commit(lake, samples(rows("w2", 401, topics=MOVED), 2_000))
    one.catch_up("chat", target())
    asked = one.drift("chat", target(), RULE, checks=False)
    assert (asked.kind, asked.window_rows, asked.reason) == (
        "not enough data",
        700,
        "a whole window waits for its check",
    )
    first = one.drift("chat", target(), RULE)
    assert (first.kind, first.window_rows, first.reference_rows) == ("suspected", 400, 600)
    assert "text" in first.features
    second = one.drift("chat", target(), RULE)
    assert (second.kind, second.window_rows) == ("drift", 100)
    assert watch(database, lake, tmp_path, rows("reference", 600)).drift("chat", target(), RULE) == second
    assert first.place is not None and second.place is not None and first.place != second.place
    told = json.loads((Path(second.place) / "report.json").read_text())
    assert told["kind"] == "drift"
    assert (told["report"]["window_rows"], told["report"]["reference_rows"]) == (300, 600)
    assert (Path(second.place) / "report.txt").read_text().startswith("drift: text")
    assert (Path(second.place) / "report.png").read_bytes().startswith(b"\x89PNG")
    one.trained("chat", Versions(1, -1, -1), "next")
    assert one.drift("chat", target(), RULE).kind != "drift"  # what came before says nothing of another reference


def test_what_does_not_move_is_steady(database: Database, tmp_path: Path) -> None:
    lake = FakeLake()
    one = started(database, lake, tmp_path)
    commit(lake, samples(rows("same", 300), 1_000))
    one.catch_up("chat", target())
    state = one.drift("chat", target(), RULE)
    assert (state.kind, state.window_rows) == ("steady", 0)
    assert state.at_ms is not None and abs(state.at_ms - time.time() * 1_000) < 60_000


def test_copies_rejected_answers_and_other_filters_do_not_fill_a_window(database: Database, tmp_path: Path) -> None:
    lake = FakeLake()
    one = started(database, lake, tmp_path)
    wanted = samples(rows("w", 250), 1_000)
    copies = samples(rows("copy", 100), 2_000, duplicate_of="t/w-1")
    old = samples(rows("old", 100), 3_000, duplicate_of="t/reference-1")
    awaiting = samples(rows("awaits", 100), 4_000, awaits_review=True)
    withdrawn = samples(rows("gone", 100), 5_000, user="u")
    commit(lake, [*wanted, *copies, *old, *awaiting, *withdrawn, erasure("u", 6_000)])
    one.catch_up("chat", target())
    assert one.drift("chat", target(), RULE).window_rows == 250


def test_low_scores_are_part_of_what_is_compared(database: Database, tmp_path: Path) -> None:
    lake = FakeLake()
    one = started(database, lake, tmp_path)
    commit(lake, samples(rows("low", 300, score=0.1), 1_000))
    one.catch_up("chat", target())
    assert one.count("chat", target()).fresh < 50
    state = one.drift("chat", target(), RULE)
    assert (state.kind, state.features) == ("suspected", ("score",))


def test_of_a_cluster_not_only_the_best_is_compared(database: Database, tmp_path: Path) -> None:
    """Else the scores of a lake with copies would seem to rise."""
    lake = FakeLake()
    one = started(database, lake, tmp_path)
    first = samples(rows("first", 300), 1_000)
    copies = [
        each
        for number, of in enumerate(first)
        for each in samples(rows(f"copy-{number}", 3), 10_000 + 3 * number, duplicate_of=of.sample_id)
    ]
    commit(lake, [*first, *copies])
    one.catch_up("chat", target())
    state = one.drift("chat", target(), RULE)
    assert "score" not in state.features
    assert state.place is not None
    report = json.loads((Path(state.place) / "report.json").read_text())["report"]
    assert (report["window_rows"], report["window_clusters"]) == (1_200, 300)


def test_of_two_processes_one_takes_the_window(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = FakeLake()
    one = started(database, lake, tmp_path)
    other = watch(database, lake, tmp_path, rows("reference", 600))
    commit(lake, samples(rows("w", 300, topics=MOVED), 1_000))
    one.catch_up("chat", target())
    check = one._index.check
    said: list[DriftState] = []

    def late(*args: Any) -> None:
        if not said:
            said.append(other.drift("chat", target(), RULE))
        check(*args)

    monkeypatch.setattr(one._index, "check", late)
    assert one.drift("chat", target(), RULE) == said[0]
    assert (said[0].kind, said[0].window_rows) == ("suspected", 0)


def test_an_erased_reference_is_read_again_and_no_later_report_quotes_who_is_gone(
    database: Database, tmp_path: Path
) -> None:
    """By a process that had read it before and by one that starts; who withdraws later is in none either."""
    lake, made, asked = FakeLake(), rows("reference", 600), list[list[str]]()
    left = [made]

    def again(known: Known) -> Sequence[drift.Row]:
        asked.append(sorted(known()))
        return left[0]

    now = [Snapshot("hash", True, lambda _known: made)]
    running, other = (Watch(database, lake, str(tmp_path / "reports"), lambda *_asked: now[0]) for _ in range(2))
    commit(lake, samples(made, 0))
    running.trained("chat", running.catch_up("chat", target()), "hash")
    assert running.drift("chat", target(), RULE).reference_rows == 600
    now[0] = Snapshot("hash erased", False, again)
    for number, one in enumerate([running, other, running], 1):
        left[0] = left[0][50:]
        commit(lake, samples(rows(f"w{number}", 300, topics=MOVED), 1_000 * number))
        one.catch_up("chat", target())
        state = one.drift("chat", target(), RULE)
        assert (state.kind, state.reference_rows) == ("suspected", 600 - 50 * number)
        assert state.place is not None
        report = json.loads((Path(state.place) / "report.json").read_text())
        assert report["report"]["reference_rows"] == 600 - 50 * number
        reads = len(asked)
        assert one.drift("chat", target(), RULE, checks=False) == state
        assert len(asked) == reads  # to say it again nothing is read
    assert asked == [sorted(f"t/{row.sample_id}" for row in made)] * 3


def test_of_a_lake_that_was_made_anew_the_windows_begin_again_and_no_erased_reference_is_made(
    database: Database, tmp_path: Path
) -> None:
    lake = FakeLake()
    one = started(database, lake, tmp_path)
    commit(lake, samples(rows("w", 300), 1_000))
    one.catch_up("chat", target())
    assert one.drift("chat", target(), RULE).kind == "steady"
    anew = FakeLake()
    commit(anew, samples(rows("anew", 300, topics=MOVED), 1_000))
    other = watch(database, anew, tmp_path, rows("reference", 600))
    other.catch_up("chat", target())
    assert other.drift("chat", target(), RULE).kind == "suspected"
    erased = Snapshot("erased", False, lambda known: rows("of the other", 600))
    late = Watch(database, anew, str(tmp_path / "reports"), lambda *_asked: erased)
    assert "no snapshot" in late.drift("chat", target(), RULE).reason


def test_only_the_last_reports_are_kept(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer_trigger.watch.windows.REPORTS", 2)
    lake = FakeLake()
    one = started(database, lake, tmp_path)
    places = []
    for number in range(3):
        commit(lake, samples(rows(f"w{number}", 300), 1_000 * (number + 1)))
        one.catch_up("chat", target())
        places.append(one.drift("chat", target(), RULE).place)
    assert sorted(map(str, (tmp_path / "reports" / "chat").iterdir())) == sorted(map(str, places[1:]))


def test_a_featuriser_is_named_by_module_and_attribute(database: Database, tmp_path: Path) -> None:
    lake = FakeLake()
    one = started(database, lake, tmp_path)
    commit(lake, samples(rows("w", 300), 1_000))
    one.catch_up("chat", target())
    assert one.drift("chat", target(), Drift(featuriser=f"{__name__}:Named")).kind == "steady"
    for wrong in ("nowhere:x", f"{__name__}:nothing", "nothing"):
        with pytest.raises(SettingError, match="names no module:attribute"):
            one.drift("chat", target(), Drift(featuriser=wrong))
