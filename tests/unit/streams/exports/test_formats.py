"""What each format makes of a sample and of a pair, and that its consumer takes it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import ContentPart, Message, Position, ToolCall
from schemas.outcomes import SourceEvent
from streams.exports import FORMATS
from streams.exports.chat import with_ids
from streams.exports.format import Line, NotInFormat, PairFormat, SampleFormat
from streams.exports.lineage import of_pair, of_sample
from streams.exports.rows import Exported, Pair
from tests.outcomes import sample

TIME = datetime(2026, 1, 2, tzinfo=UTC)
USER, ANSWER = Message("user", "Is it raining?"), Message("assistant", "Yes.")
TOOLS = '[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]'


def row(*messages: Message, name: str = "i", **fields: Any) -> Exported:
    """A row whose sample has these messages."""
    texts = {"instruction": "Is it raining?", "output": messages[-1].content or ""}
    return Exported(
        sample_id=f"t/{name}",
        revision=2,
        tenant="t",
        occurred_at=TIME,
        received_at=TIME,
        sources=(SourceEvent("e1", Position("raw", 3, 14)),),
        redactor="r1",
        rules="score-2",
        cluster_id=f"t/{name}",
        duplicates=4,
        sample=sample(messages=messages, **{**texts, **fields}),
    )


def line(name: str, *messages: Message, **fields: Any) -> Line:
    form = FORMATS[name]
    assert isinstance(form, SampleFormat)
    made = form.line(row(*messages, **fields))
    if form.with_meta is not None:
        made = form.with_meta(made, of_sample(row(*messages, **fields), {"samples": 7}))
    assert form.check(json.loads(json.dumps(made, default=str))) == []
    return made


def pair_line(name: str, chosen: Exported, rejected: Exported, kind: str = "scores") -> Line:
    form = FORMATS[name]
    assert isinstance(form, PairFormat)
    made = form.line(Pair(kind, None, chosen, rejected))
    assert form.check(made) == []
    return made


def test_a_sample_is_instruction_input_and_output_with_its_lineage() -> None:
    made = line("sample", USER, ANSWER, system="Be kind.", input="user: Hi")
    assert (made["instruction"], made["input"], made["output"]) == ("Is it raining?", "user: Hi", "Yes.")
    meta = made["meta"]
    assert (meta["sample_id"], meta["revision"], meta["system"], meta["model"]) == ("t/i", 2, "Be kind.", "m")
    assert meta["sources"] == [{"event_id": "e1", "topic_id": "raw", "partition": 3, "offset": 14}]
    assert meta["scores"][0]["method"] == "thumbs"
    assert "text" not in meta["scores"][0]
    assert (meta["cluster"], meta["duplicates"], meta["table_versions"]) == ("t/i", 4, {"samples": 7})
    assert {"rules", "redactor", "gates", "consent", "language", "quality", "confidence", "variant"} <= meta.keys()


def test_openai_trains_on_the_answer_that_was_judged_only() -> None:
    earlier = (Message("developer", "Be kind."), Message("user", "Hi"), Message("assistant", "Hello"))
    assert line("openai-sft", *earlier, USER, ANSWER) == {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello", "weight": 0},
            {"role": "user", "content": "Is it raining?"},
            {"role": "assistant", "content": "Yes."},
        ]
    }


CALL = Message("assistant", tool_calls=(ToolCall("weather", '{"city":"Graz"}'), ToolCall("weather", "{}")))
TRACE = (USER, CALL, Message("tool", "rain"), Message("function", "sun", name="weather"), ANSWER)


def test_a_tool_trace_without_ids_gets_them_in_order() -> None:
    made = line("openai-sft", *TRACE, tools=TOOLS)
    assert made["tools"] == json.loads(TOOLS)
    call, first, second = made["messages"][1:4]
    assert [each["id"] for each in call["tool_calls"]] == ["call_1", "call_2"]
    assert call["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"Graz"}'}
    assert (first["role"], first["tool_call_id"]) == ("tool", "call_1")
    assert (second["role"], second["tool_call_id"]) == ("tool", "call_2")


def test_ids_that_are_there_stay() -> None:
    calls = Message("assistant", tool_calls=(ToolCall("a", "{}", "call_1"), ToolCall("b", "{}")))
    results = (Message("tool", "2", tool_call_id="call_1"), Message("tool", "1"))
    paired = with_ids((calls, *results))
    assert [call.id for call in paired[0].tool_calls] == ["call_1", "call_2"]
    assert [message.tool_call_id for message in paired[1:]] == ["call_1", "call_2"]


def test_trl_gets_arguments_as_an_object_tools_and_lineage_as_json_text() -> None:
    made = line("trl-sft", *TRACE, tools=TOOLS)
    assert made["prompt"][1]["content"] == ""
    assert made["prompt"][1]["tool_calls"][0]["function"]["arguments"] == {"city": "Graz"}
    assert made["completion"] == [{"role": "assistant", "content": "Yes."}]
    assert json.loads(made["tools"]) == json.loads(TOOLS)
    assert json.loads(made["meta"])["sample_id"] == "t/i"
    assert "tools" not in line("trl-sft", USER, ANSWER)


@pytest.mark.parametrize(
    ("fields", "label"),
    [({"score": 1.0}, True), ({"score": 0.0}, False), ({"score": 0.0, "origin": "human"}, True)],
)
def test_kto_s_label_is_the_thumb_or_that_a_person_wrote_it(fields: dict[str, Any], label: bool) -> None:
    assert line("trl-kto", USER, ANSWER, **fields)["label"] is label


def test_a_pair_is_one_prompt_with_two_answers() -> None:
    chosen, rejected = row(USER, ANSWER), row(USER, Message("assistant", "No."), name="j")
    assert pair_line("openai-dpo", chosen, rejected) == {
        "input": {"messages": [{"role": "user", "content": "Is it raining?"}]},
        "preferred_output": [{"role": "assistant", "content": "Yes."}],
        "non_preferred_output": [{"role": "assistant", "content": "No."}],
    }
    assert pair_line("trl-preference", chosen, rejected) == {
        "prompt": [{"role": "user", "content": "Is it raining?"}],
        "chosen": [{"role": "assistant", "content": "Yes."}],
        "rejected": [{"role": "assistant", "content": "No."}],
    }
    both = of_pair(Pair("scores", 0.5, chosen, rejected), {})
    assert (both["kind"], both["margin"]) == ("scores", 0.5)
    assert (both["chosen"]["sample_id"], both["rejected"]["sample_id"]) == ("t/i", "t/j")


def test_a_correction_s_rejected_answer_is_the_one_that_was_replaced() -> None:
    corrected = row(USER, ANSWER, rejected_output="No.")
    made = pair_line("openai-dpo", corrected, corrected, "correction")
    assert made["non_preferred_output"] == [{"role": "assistant", "content": "No."}]


def test_tools_go_with_openai_s_input() -> None:
    chosen, rejected = row(*TRACE, tools=TOOLS), row(*TRACE[:-1], Message("assistant", "No."), tools=TOOLS)
    made = pair_line("openai-dpo", chosen, rejected)
    assert (made["input"]["tools"], made["input"]["parallel_tool_calls"]) == (json.loads(TOOLS), True)


PICTURE = Message(
    "user", parts=(ContentPart("text", "Who?"), ContentPart("image_url", data='{"image_url":{"url":"u"}}'))
)


def test_a_picture_goes_to_openai_s_supervised_format_and_nowhere_else() -> None:
    assert line("openai-sft", PICTURE, ANSWER)["messages"][0]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": "u"},
    }
    form = FORMATS["trl-sft"]
    assert isinstance(form, SampleFormat)
    with pytest.raises(NotInFormat):
        form.line(row(PICTURE, ANSWER))
    form = FORMATS["openai-dpo"]
    assert isinstance(form, PairFormat)
    assert form.check(form.line(Pair("scores", 1.0, row(PICTURE, ANSWER), row(PICTURE, TRACE[-1])))) != []


@pytest.mark.parametrize(
    ("name", "tools"), [("openai-sft", "nonsense"), ("openai-sft", "{}"), ("trl-sft", "[" * 2_000)]
)
def test_tools_that_are_no_list_have_no_format(name: str, tools: str) -> None:
    with pytest.raises(NotInFormat, match="tools are no JSON list"):
        line(name, USER, ANSWER, tools=tools)


TEXT = st.text(min_size=1, max_size=20).filter(str.strip)
TURN = st.one_of(
    TEXT.map(lambda text: (Message("user", text), Message("assistant", text))),
    st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)).map(
        lambda said: (
            Message("user", said[0], name=said[0]),
            Message("assistant", tool_calls=tuple(ToolCall("f", json.dumps({"x": x})) for x in said[1])),
            *(Message("tool", x) for x in said[1]),
            Message("assistant", said[0]),
        )
    ),
)


@pytest.mark.parametrize("name", ["openai-sft", "trl-sft", "trl-kto"])
@given(turns=st.lists(TURN, min_size=1, max_size=4))
def test_every_conversation_with_its_tools_is_a_line_that_the_consumer_takes(
    name: str, turns: list[tuple[Message, ...]]
) -> None:
    assert line(name, *(message for turn in turns for message in turn), score=0.9)
