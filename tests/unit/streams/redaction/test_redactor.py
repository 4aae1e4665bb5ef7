"""Redacting an interaction: JSON stays JSON, overlaps are covered whole."""

from __future__ import annotations

import itertools
import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import ContentPart, Interaction, Message, ToolCall
from streams.errors import RedactionError
from streams.redaction import Finding
from streams.redaction.hashing import KeyedHasher
from streams.redaction.redactor import Redactor, covering
from tests.fakes import AtAnalyzer

REDACTOR = Redactor(AtAnalyzer(), KeyedHasher("k" * 32), 100)


def test_every_leaf_and_key_of_tool_arguments_is_redacted_and_stays_json() -> None:
    within = REDACTOR.within("t", "i")
    arguments = json.dumps({"to": "@ada", "cc": [{"@bob": 1}], "n": 5, "ok": True, "none": None})
    call = Message("assistant", None, tool_calls=(ToolCall("mail", arguments),))
    message = within.interaction(Interaction((call,))).messages[0]
    redacted = json.loads(message.tool_calls[0].arguments)
    assert "ada" not in message.tool_calls[0].arguments
    assert "bob" not in message.tool_calls[0].arguments
    assert (redacted["n"], redacted["ok"], redacted["none"]) == (5, True, None)
    assert within.counts == Counter({"AT": 2})


def test_a_key_that_comes_twice_hides_nothing() -> None:
    within = REDACTOR.within("t", "i")
    call = Message(
        "assistant", None, tool_calls=(ToolCall("f", '{"q": "@ada", "q": "x", "r": {"s": 1, "s": "@bob"}}'),)
    )
    redacted = within.interaction(Interaction((call,))).messages[0].tool_calls[0].arguments
    assert "ada" not in redacted
    assert "bob" not in redacted
    assert within.counts["AT"] == 2


def test_clean_json_stays_as_it_was_to_the_byte() -> None:
    arguments = '{ "a" :1.0 }'
    call = Message("assistant", None, tool_calls=(ToolCall("f", arguments),))
    redacted = REDACTOR.within("t", "i").interaction(Interaction((call,), tools=arguments))
    assert redacted.messages[0].tool_calls[0].arguments == arguments
    assert redacted.tools == arguments


def test_arguments_that_are_no_json_are_redacted_as_text() -> None:
    call = Message("assistant", None, tool_calls=(ToolCall("f", "{to: @ada"),))
    redacted = REDACTOR.within("t", "i").interaction(Interaction((call,)))
    assert "ada" not in redacted.messages[0].tool_calls[0].arguments


def test_content_parts_and_names_are_redacted() -> None:
    parts = (ContentPart("text", "@ada"), ContentPart("@ada", data='{"name": "@ada.pdf"}'))
    redacted = REDACTOR.within("t", "i").interaction(Interaction((Message("user", None, parts, name="@ada"),)))
    assert "ada" not in repr(redacted)


def test_a_text_at_the_bound_passes_and_one_beyond_raises() -> None:
    assert REDACTOR.replace("x" * 100, "t", "i", Counter()) == "x" * 100
    with pytest.raises(RedactionError):
        REDACTOR.replace("x" * 101, "t", "i", Counter())


FINDINGS = st.lists(
    st.tuples(st.sampled_from("ABC"), st.integers(0, 50), st.integers(1, 10), st.floats(0, 1)).map(
        lambda each: Finding(each[0], each[1], each[1] + each[2], each[3])
    ),
    max_size=8,
)


@given(FINDINGS)
def test_covering_is_disjoint_sorted_and_leaves_no_found_character_out(findings: list[Finding]) -> None:
    covered = covering(findings)
    assert all(one.end <= other.start for one, other in itertools.pairwise(covered))
    characters = {at for finding in findings for at in range(finding.start, finding.end)}
    assert {at for finding in covered for at in range(finding.start, finding.end)} == characters


def test_of_overlapping_findings_the_surest_names_the_whole() -> None:
    merged = covering([Finding("URL", 3, 9, 0.5), Finding("EMAIL", 0, 9, 1.0), Finding("ID", 8, 12, 0.4)])
    assert merged == [Finding("EMAIL", 0, 12, 1.0)]
