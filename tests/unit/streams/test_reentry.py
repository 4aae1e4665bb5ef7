"""What headers tell of a record that comes in again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.reentry import Headers, Origin, letter_header, letter_of, origin_of


@given(st.text(st.characters(codec="utf-8")), st.integers(0, 2**53), st.integers(0, 1_000))
def test_an_origin_is_read_back_from_its_headers(source: str, received_ms: int, attempts: int) -> None:
    origin = Origin(source, received_ms, attempts)
    assert origin_of(origin.headers()) == origin


@pytest.mark.parametrize("headers", [None, (), (("millrace-source", b"x"),), (("millrace-source", b"\xff"),)])
def test_headers_that_something_else_wrote_tell_no_origin(headers: Headers | None) -> None:
    assert origin_of(headers) is None


def test_a_letter_is_known_by_its_header_and_has_its_origin_beside_it() -> None:
    origin = Origin("acme.events", 7, 1)
    headers = (*origin.headers(), *letter_header("0123456789abcdef"))
    assert letter_of(headers) == "0123456789abcdef"
    assert origin_of(headers) == origin


@pytest.mark.parametrize("headers", [None, (), Origin("acme.events", 7).headers()])
def test_what_is_no_letter_says_none(headers: Headers | None) -> None:
    assert letter_of(headers) is None
