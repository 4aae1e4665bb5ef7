"""Real dialogues on the whole embedded way: chosen and rejected come out as pairs, in lines that consumers take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.events import FeedbackEvent
from streams.exports import FORMATS
from streams.importers import read_events
from streams.lake.query import connect
from tests.integration.command import millrace, run

LEAST_LINES = {
    "sample": 4_000,
    "openai-sft": 2_000,
    "openai-dpo": 2_000,
    "trl-sft": 2_000,
    "trl-preference": 2_000,
    "trl-kto": 4_000,
}


@pytest.mark.timeout(900)
def test_all_drain_to_a_balance_that_adds_up_and_come_out_as_pairs_and_in_lines_that_their_consumers_take(
    dialogues: Path, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    result = run(dialogues, lake, "--format", "hh")
    assert result["received"] == {"interaction": 4_624, "score": 4_624}
    assert result["samples"] + result["duplicates"] + sum(result["rejected"].values()) == 4_624
    assert (result["waiting"], result["dead_lettered"], result["replayed"]) == (0, 0, 0)

    events = [each for each in read_events(dialogues, "hh", "local", 10**6) if isinstance(each, FeedbackEvent)]
    names = [f"local/{each.interaction_id}" for each in events if each.interaction is not None]
    given = set(zip(names[::2], names[1::2], strict=True))
    with connect(str(lake)) as connection:
        query = "SELECT chosen_sample_id, rejected_sample_id, chosen_output, rejected_output FROM preference_pairs"
        found = connection.execute(query).fetchall()
    assert len(given) == 2_312
    assert len(given & {(chosen, rejected) for chosen, rejected, _, _ in found}) > 0.95 * len(given)
    assert all(chosen != rejected for _, _, chosen, rejected in found)

    for name, form in FORMATS.items():
        out = tmp_path / f"{name}.jsonl"
        told = millrace("lake", "export", "--lake", str(lake), "--format", name, "--out", str(out)).stderr
        with out.open() as file:
            lines = [json.loads(line) for line in file]
        assert told == f"{len(lines):,} lines\n"
        assert len(lines) > LEAST_LINES[name]
        assert [problem for line in lines for problem in form.check(line)] == []
