"""The elements of a JSON list come out one by one, whatever their size, and a broken one alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.elements import Element, elements

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.just("examples"), inner, max_size=4)
    ),
    max_leaves=12,
)


def _read(text: str, most: int = 10_000, block: int = 1 << 16) -> list[Element]:
    raw = text.encode()
    return list(elements((raw[start : start + block] for start in range(0, len(raw), block)), "examples", most))


@given(
    st.lists(JSON, max_size=5),
    st.dictionaries(st.text(max_size=8).filter(lambda name: name != "examples"), JSON, max_size=3),
    st.none() | st.integers(0, 3),
    st.integers(1, 40),
    st.booleans(),
)
def test_what_json_has_in_the_list_comes_out_however_the_bytes_are_cut_and_spelled(
    listed: list[object], beside: dict[str, object], indent: int | None, block: int, escaped: bool
) -> None:
    document = {**beside, "examples": listed, "after": [1]}
    text = json.dumps(document, indent=indent, ensure_ascii=escaped)
    found = _read(text + "\n" + text, block=block)
    assert [json.loads(each.text or b"") for each in found] == listed * 2
    assert [each.place for each in found] == [*range(len(listed))] * 2
    lines = (text + "\n" + text).split("\n")
    for each in found:
        assert (each.text or b"").split(b"\n")[0].decode() in lines[each.line - 1]


def test_an_object_without_the_list_and_what_is_no_object_come_out_whole() -> None:
    found = _read('{"a": [1, 2]}\nnonsense\n\n{"examples": {"b": 1}}\n{"examples": []}\n[3]')
    assert found == [
        Element(None, 1, b'{"a": [1, 2]}'),
        Element(None, 2, b"nonsense"),
        Element(None, 4, b'{"examples": {"b": 1}}'),
        Element(None, 6, b"[3]"),
    ]


@pytest.mark.parametrize("block", [1, 7, 1_000])
def test_an_element_that_is_too_long_is_told_and_not_kept(block: int) -> None:
    long = "x" * 500
    text = json.dumps({"about": long, "examples": [1, {"a": long}, 2]})
    assert _read(text, most=100, block=block) == [Element(0, 1, b"1"), Element(1, 1, None), Element(2, 1, b"2")]
    assert _read(json.dumps({"a": long}), most=100, block=block) == [Element(None, 1, None)]


def test_a_string_that_does_not_end_breaks_its_own_element() -> None:
    found = _read('{"examples": [\n{"a": "x\n},\n{"b": 1}\n]}')
    assert [(each.line, each.text) for each in found] == [(2, b'{"a": "x\n}'), (4, b'{"b": 1}')]


def test_a_bracket_that_does_not_close_ends_with_the_list_and_the_next_document_is_read() -> None:
    found = _read('{"examples": [{"a": 1}, {"b": [2}]}\n{"examples": [{"c": 3}]}')
    assert [each.text for each in found] == [b'{"a": 1}', b'{"b": [2}', b'{"c": 3}']


def test_a_file_that_ends_early_gives_what_there_is() -> None:
    assert _read('{"examples": [{"a": 1}, {"b"')[-1] == Element(1, 1, b'{"b"')
