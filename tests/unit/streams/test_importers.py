"""Importers: the same file gives the same events, a bad line its number."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from schemas.events import FeedbackEvent, Score, ToolCall
from streams.importers import FORMAT_NAMES, BadLine, file_id, read_events

HH = {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Hi\n\nAssistant: Go away"}
EXAMPLE = {
    "id": "example-001",
    "role": "software-architect",
    "task_type": "architecture-review",
    "messages": [
        {"role": "system", "content": "You review designs."},
        {"role": "user", "content": "Is a shared database a risk?"},
        {"role": "assistant", "content": "Yes: it couples the services."},
    ],
    "metadata": {
        "source": "expert_annotation",
        "difficulty": "Intermediate",
        "quality_score": 0.95,
        "tags": ["architecture", "microservices"],
    },
}
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
        ("openai-chat", {"messages": CHAT[:1], "choices": [{"message": CHAT[1]}]}, ["interaction"]),
        ("events", {"event_id": "e", "erasure": {"user": "u"}}, ["erasure"]),
        ("examples", {"examples": [EXAMPLE, EXAMPLE]}, ["interaction", "score"] * 2),
        ("examples", EXAMPLE, ["interaction", "score"]),
        ("examples", {"examples": [{"messages": CHAT}]}, ["interaction"]),
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
        "examples": {"examples": [EXAMPLE]},
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


def test_an_example_s_metadata_say_what_it_is_and_who_judged_it(tmp_path: Path) -> None:
    body, score = _read(tmp_path, "examples", json.dumps({"version": 1, "examples": [EXAMPLE]}, indent=2))
    assert isinstance(body, FeedbackEvent)
    assert isinstance(score, FeedbackEvent)
    interaction = body.interaction
    assert interaction is not None
    assert (interaction.role, interaction.task_type) == ("software-architect", "architecture-review")
    assert (interaction.difficulty, interaction.tags) == ("intermediate", ("architecture", "microservices"))
    assert [message.role for message in interaction.messages] == ["system", "user", "assistant"]
    assert score.scores == (Score("numeric", value=0.95, minimum=0.0, maximum=1.0, rater="expert"),)
    assert body.interaction_id == score.interaction_id
    assert body.interaction_id.startswith("examples-example-001-")
    assert body.source == "import:examples:expert_annotation"


@pytest.mark.parametrize(
    ("source", "rater"),
    [("expert_annotation", "expert"), ("Human expert", "expert"), ("non-expert", "metric"), ("synthetic", "metric")],
)
def test_only_an_expert_s_quality_score_is_an_expert_s(tmp_path: Path, source: str, rater: str) -> None:
    _, score = _read(tmp_path, "examples", {**EXAMPLE, "metadata": {"quality_score": 1, "source": source}})
    assert isinstance(score, FeedbackEvent)
    assert score.scores[0].rater == rater


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ({**EXAMPLE, "messages": "x"}, "messages: must be a list"),
        ({**EXAMPLE, "metadata": {"quality_score": 7}}, "must lie within 0 and 1"),
        ({**EXAMPLE, "metadata": {"quality_score": "good"}}, "scores[0].value"),
        ({**EXAMPLE, "metadata": {"difficulty": 3}}, "difficulty"),
        ({**EXAMPLE, "metadata": []}, "metadata an object"),
        ("text", "a line is a JSON object"),
        ({**EXAMPLE, "id": "x" * 20_000}, "longer than 10000 bytes"),
    ],
)
def test_a_bad_example_is_told_by_its_index_and_its_line_and_the_rest_goes_on(
    tmp_path: Path, broken: object, problem: str
) -> None:
    lines = ",\n".join(map(json.dumps, (EXAMPLE, broken, EXAMPLE)))
    events = _read(tmp_path, "examples", f'{{"examples": [\n{lines}\n]}}')
    (bad,) = [event for event in events if isinstance(event, BadLine)]
    assert bad.number == 3
    assert bad.problem.startswith("examples[1]: ")
    assert problem in bad.problem
    assert _kinds(events) == ["interaction", "score", "bad", "interaction", "score"]


def test_a_document_of_any_size_is_read_example_by_example(tmp_path: Path) -> None:
    many = [{**EXAMPLE, "id": f"e{number}"} for number in range(500)]
    text = json.dumps({"examples": many})
    assert len(text) > 10 * 10_000
    assert _kinds(_read(tmp_path, "examples", text)) == ["interaction", "score"] * 500


def test_examples_in_a_damaged_gzip_file_are_read_up_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "examples.json.gz"
    examples = [{**EXAMPLE, "id": f"e{number * 7919}"} for number in range(3_000)]
    whole = gzip.compress(json.dumps({"examples": examples}).encode())
    path.write_bytes(whole[: len(whole) // 2])
    events = list(read_events(path, "examples", "t", 10_000))
    assert isinstance(events[-1], BadLine)
    assert "gzip" in events[-1].problem
    assert _kinds(events).count("interaction") > 100


def test_what_a_chat_line_says_of_its_answer_is_kept(tmp_path: Path) -> None:
    choice = {"message": CHAT[1], "finish_reason": "length"}
    for line in (
        {"messages": CHAT[:1], "model": "m", "choices": [choice]},
        {"messages": CHAT, "model": "m", "finish_reason": "length"},
        {
            "input": {"messages": CHAT[:1]},
            "preferred_output": CHAT[1:],
            "non_preferred_output": CHAT[1:],
            "model": "m",
            "finish_reason": "length",
        },
    ):
        event = _read(tmp_path, "openai-chat", line)[0]
        assert isinstance(event, FeedbackEvent)
        assert event.interaction is not None
        assert [message.content for message in event.interaction.messages] == ["Hi", "Hello"]
        assert (event.interaction.model, event.interaction.finish_reason) == ("m", "length")


def test_a_call_of_a_function_from_before_there_were_tools_is_a_tool_call(tmp_path: Path) -> None:
    asked = {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}}
    result = {"role": "function", "name": "look", "content": "found"}
    (event,) = _read(tmp_path, "openai-chat", {"messages": [CHAT[0], asked, result, CHAT[1]]})
    assert isinstance(event, FeedbackEvent)
    assert event.interaction is not None
    assert event.interaction.messages[1].tool_calls == (ToolCall("look", "{}"),)
    assert event.interaction.messages[2].role == "function"
