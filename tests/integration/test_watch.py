"""The watch over a lake that the real agents and the real sink have made, run by run."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from millrace.made_up import events
from schemas.intake import event_to_json
from streams.lake.delta import DeltaLake
from tests.integration.command import run
from tests.unit.trainer_trigger.watch.lakes import asked, target, watch
from trainer_trigger.database import Database
from trainer_trigger.watch import Versions


@pytest.mark.timeout(600)
def test_after_each_run_it_counts_what_a_query_of_everything_counts(tmp_path: Path) -> None:
    lake, file = tmp_path / "lake", tmp_path / "events.jsonl"
    targets = [target(), target(filter={"roles": ["support"]}), target(dataset={"min_score": 0.9})]
    made = list(events(300, seed=7))
    totals: list[list[int]] = []
    before = Versions()
    for part in (made[: len(made) // 2], made):  # some feedback comes in the second part, all of the first again
        file.write_bytes(b"".join(event_to_json(event) + b"\n" for event in part))
        run(file, lake)
        database = Database(f"sqlite:///{tmp_path}/trigger.sqlite")
        one = watch(database, str(lake), tmp_path)
        for number, wanted in enumerate(targets):
            after = one.catch_up(f"t{number}", wanted)
        assert after.samples > before.samples
        before = after
        totals.append([one.count(f"t{number}", wanted).total for number, wanted in enumerate(targets)])
        assert totals[-1] == [asked(DeltaLake(str(lake)), wanted) for wanted in targets]
        database.close()
    assert all(after > earlier for earlier, after in itertools.islice(zip(*totals, strict=True), 1))
    assert totals[-1][0] > 50
