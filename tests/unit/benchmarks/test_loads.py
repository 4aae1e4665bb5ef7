"""What the pipeline benchmark sends."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import loads
from schemas.codec import Codec
from schemas.events import FeedbackEvent, Interaction, Message

PAIRS = 60


@pytest.fixture
def judged(tmp_path: Path) -> list[loads.Judged]:
    """Pairs of dialogues of two turns each that share all but the last answer."""
    file = tmp_path / "pairs.jsonl.gz"
    with gzip.open(file, "wt") as lines:
        for number in range(PAIRS):
            prompt = f"\n\nHuman: ask {number}\n\nAssistant: first {number}\n\nHuman: more {number}\n\nAssistant: "
            lines.write(json.dumps({"chosen": f"{prompt}good {number}", "rejected": f"{prompt}bad {number}"}) + "\n")
    return loads.dialogues(file, None)


def _decoded(load: loads.Load) -> list[FeedbackEvent]:
    return [Codec().decode(record.value, FeedbackEvent) for record in load.records]


def test_each_dialogue_is_an_interaction_and_its_thumb_of_one_key(judged: list[loads.Judged]) -> None:
    load = loads.load(judged, "bench")
    events = _decoded(load)
    assert load.interactions == 2 * PAIRS and len(events) == 4 * PAIRS
    assert [event.kind for event in events[:2]] == ["interaction", "score"]
    assert [event.scores[0].value for event in events[1::2]] == [1.0, 0.0] * PAIRS
    assert len({event.event_id for event in events}) == len(events)
    for interaction, thumb in zip(load.records[::2], load.records[1::2], strict=True):
        assert (interaction.key, interaction.partition) == (thumb.key, thumb.partition)


def test_the_share_of_repeated_texts_is_what_pairs_have_in_common(judged: list[loads.Judged]) -> None:
    assert loads.load(judged, "bench").repeated_text_share == pytest.approx(3 / 8)


def test_a_joined_question_is_asked_once_and_every_dialogue_is_in_one(judged: list[loads.Judged]) -> None:
    events = [event for event in _decoded(loads.loads_of(judged, False)["tenfold"]) if event.interaction]
    said = [[message.content or "" for message in event.interaction.messages] for event in events if event.interaction]
    assert max(Counter(asked for asked, _ in said).values()) == 1
    answers = [answer for _, joined in said for answer in joined.split("\n\n")]
    assert sorted(answers) == sorted(f"{kind} {number}" for kind in ("good", "bad") for number in range(PAIRS))


def test_a_turn_that_two_dialogues_share_is_sent_once(judged: list[loads.Judged]) -> None:
    events = [event for event in _decoded(loads.loads_of(judged, False)["turns"]) if event.interaction]
    assert len(events) == 3 * PAIRS
    assert events[0].interaction == Interaction((Message("user", "ask 0"), Message("assistant", "first 0")))
