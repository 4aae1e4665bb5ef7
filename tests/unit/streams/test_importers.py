"""Importers: the same file gives the same events, a bad line its number."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from schemas.events import FeedbackEvent
from streams.importers import FORMAT_NAMES, BadLine, file_id, read_events

HH = {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Hi\n\nAssistant: Go away"}
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def _read(tmp_path: Path, form: str, *lines: object, tenant: str = "t") -> list[FeedbackEvent | BadLine]:
    path = tmp_path / "file.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return list(read_events(path, form, tenant, 10_000))


def _kinds(events: list[FeedbackEvent | BadLine]) -> list[str]:
    return [event.kind if isinstance(event, FeedbackEvent) else "bad" for event in events]


def test_an_hh_line_is_two_interactions_with_a_thumb_up_and_a_thumb_down(tmp_path: Path) -> None:
    chosen, up, rejected, down = _read(tmp_path, "hh", HH)
    assert isinstance(chosen, FeedbackEvent)
    assert isinstance(rejected, FeedbackEvent)
    assert isinstance(up, FeedbackEvent)
    assert isinstance(down, FeedbackEvent)
    assert chosen.interaction is not None
    assert [(m.role, m.content) for m in chosen.interaction.messages] == [("user", "Hi"), ("assistant", "Hello")]
    assert (up.interaction_id, up.scores[0].value) == (chosen.interaction_id, 1.0)
    assert (down.interaction_id, down.scores[0].value) == (rejected.interaction_id, 0.0)


@pytest.mark.parametrize(
    ("form", "line", "kinds"),
    [
        ("alpaca", {"instruction": "a", "input": "", "output": "b"}, ["interaction"]),
        (
            "alpaca",
            {"instruction": "a", "output": "b", "score": {"method": "stars", "value": 4}},
            ["interaction", "score"],
        ),
        ("openai-chat", {"messages": CHAT}, ["interaction"]),
        ("openai-chat", {"messages": CHAT, "score": {"method": "thumbs", "value": "up"}}, ["interaction", "score"]),
        ("openai-chat", {"messages": [CHAT[0], {**CHAT[1], "weight": 0}]}, ["interaction", "score"]),
        (
            "openai-chat",
            {"input": {"messages": CHAT[:1]}, "preferred_output": CHAT[1:], "non_preferred_output": CHAT[1:]},
            ["interaction", "score"] * 2,
        ),
        ("events", {"event_id": "e", "erasure": {"user": "u"}}, ["erasure"]),
    ],
)
def test_each_format_gives_interactions_and_the_judgements_it_carries(
    tmp_path: Path, form: str, line: object, kinds: list[str]
) -> None:
    assert _kinds(_read(tmp_path, form, line)) == kinds


@pytest.mark.parametrize("form", FORMAT_NAMES)
@pytest.mark.parametrize(
    "line", ["nonsense", "[]", "{}", '{"chosen": 5, "rejected": ""}', '{"messages": "x"}', '{"a": NaN}']
)
def test_a_broken_line_is_told_by_its_number_and_the_rest_goes_on(tmp_path: Path, form: str, line: str) -> None:
    good = {
        "hh": HH,
        "alpaca": {"instruction": "a", "output": "b"},
        "openai-chat": {"messages": CHAT},
        "events": {"event_id": "e", "erasure": {"user": "u"}},
    }[form]
    events = _read(tmp_path, form, good, "", line, good)
    bad = [event for event in events if isinstance(event, BadLine)]
    assert [event.number for event in bad] == [3]
    assert _kinds(events)[-1] != "bad"


def test_the_same_file_gives_the_same_events_and_a_corrected_one_only_what_is_new(tmp_path: Path) -> None:
    other = {**HH, "chosen": HH["chosen"] + "!"}
    first = _read(tmp_path, "hh", HH, "broken")
    corrected = _read(tmp_path, "hh", HH, other)
    assert first[:4] == corrected[:4]
    assert _kinds(corrected[4:]) == ["interaction", "score"] * 2


def test_a_line_that_comes_twice_is_two_events(tmp_path: Path) -> None:
    events = _read(tmp_path, "hh", HH, HH)
    assert len({event.event_id for event in events if isinstance(event, FeedbackEvent)}) == 8


def test_a_gzip_file_is_read_as_its_content_and_a_truncated_one_up_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl.gz"
    lines = [json.dumps({**HH, "chosen": f"{HH['chosen']} {number * 7919}"}) + "\n" for number in range(500)]
    whole = gzip.compress("".join(lines).encode())
    path.write_bytes(whole)
    assert len(list(read_events(path, "hh", "t", 10_000))) == 2_000
    path.write_bytes(whole[: len(whole) // 2])
    events = list(read_events(path, "hh", "t", 10_000))
    assert isinstance(events[-1], BadLine)
    assert "gzip" in events[-1].problem
    assert len(events) > 1


def test_a_line_too_long_is_skipped_without_its_neighbours(tmp_path: Path) -> None:
    events = _read(tmp_path, "hh", HH, '{"chosen": "' + "x" * 50_000 + '"}', HH)
    assert _kinds(events).count("bad") == 1
    assert len(events) == 9


def test_a_last_line_without_a_line_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text(json.dumps(HH))
    assert len(list(read_events(path, "hh", "t", 10_000))) == 4


def test_a_file_s_id_is_its_content_format_and_tenant(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_text("one")
    other.write_text("one")
    assert file_id(path, "hh", "t") == file_id(other, "hh", "t")
    assert len({file_id(path, "hh", "t"), file_id(path, "hh", "u"), file_id(path, "alpaca", "t")}) == 3
