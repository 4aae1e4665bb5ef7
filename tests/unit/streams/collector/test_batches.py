from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.collector.batches import RAW_COMMAS, elements_by_brackets, split
from streams.collector.errors import Refused

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
WHITE = st.text(" \t\r\n", max_size=3)


def texts_of(values: Sequence[object]) -> list[str]:
    return [json.dumps(value) for value in values]


@given(st.lists(JSON, min_size=1, max_size=6), WHITE, st.booleans())
def test_an_array_is_split_into_the_texts_of_its_elements(values: list[object], white: str, ascii_only: bool) -> None:
    texts = [json.dumps(value, ensure_ascii=ascii_only) for value in values]
    try:
        body = (white + "[" + white + f"{white},{white}".join(texts) + white + "]" + white).encode()
    except UnicodeEncodeError:
        return  # a lone surrogate that was not escaped has no UTF-8
    assert split(body, lines=False, max_events=10) == [text.encode() for text in texts]


@given(st.lists(JSON, max_size=6))
def test_both_ways_to_split_an_array_agree(values: list[object]) -> None:
    body = json.dumps(values, allow_nan=True).encode()
    by_brackets = list(elements_by_brackets(body))
    assert by_brackets == [text.encode() for text in texts_of(values)]


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=4), min_size=2, max_size=6), WHITE)
def test_several_objects_on_lines_of_their_own_are_ndjson(values: list[object], white: str) -> None:
    body = f"{white}\n".join(texts_of(values)).encode()
    expected = [text.encode() for text in texts_of(values)]
    assert split(body, lines=False, max_events=10) == expected
    assert split(body, lines=True, max_events=10) == expected


@given(st.dictionaries(st.text(), JSON, max_size=4), st.sampled_from([None, 0, 2]))
def test_one_object_is_one_text_however_it_is_indented(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent).encode()
    assert split(text, lines=False, max_events=1) == [text]


@given(st.binary(max_size=60), st.booleans())
def test_whatever_the_bytes_are_they_are_split_or_refused(body: bytes, lines: bool) -> None:
    try:
        assert 1 <= len(split(body, lines=lines, max_events=5)) <= 5
    except Refused as refused:
        assert refused.status in (400, 413)


def test_a_comma_first_object_on_several_lines_is_one_text() -> None:
    body = b'{"a": {}\n, "b": NaN}'
    assert split(body, lines=False, max_events=9) == [body]


def test_a_byte_order_mark_is_no_part_of_an_event() -> None:
    assert split(b"\xef\xbb\xbf{}", lines=False, max_events=1) == [b"{}"]


def test_elements_that_are_no_json_keep_their_place() -> None:
    assert split(b'[{"a": NaN}, {}, , "x" 3]', lines=False, max_events=9) == [b'{"a": NaN}', b"{}", b"", b'"x" 3']


@pytest.mark.parametrize("body", [b"[", b'["', b'["\\', b"[1", b"[{]", b"[[]", b"[1]]", b"[1] 2", b'["]'])
def test_an_array_that_does_not_end_or_goes_on_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        split(body, lines=False, max_events=9)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b'["' + b'\\"' * 1_000_000,
        b'["' + b'"' * 2_000_000,
        b'["' + b"\\" * 2_000_000,
        b"[" * 2_000_000,
        b"[" + b"[]," * 600_000,
        b"[" + b"[" * 500_000 + b"{" * 500_000 + b"]" * 1_000_000,
        b"[" + b"0," * (RAW_COMMAS + 800_000) + b"0]",
        b"{}" + b"\n" * 2_000_000 + b"{",
    ],
)
def test_hostile_bodies_cost_time_linear_in_their_size(body: bytes) -> None:
    begun_s = time.process_time()
    with suppress(Refused):
        split(body, lines=False, max_events=1000)
    assert time.process_time() - begun_s < 5.0  # quadratic work would take hours
