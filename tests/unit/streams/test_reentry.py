"""What headers tell of a record that comes in again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.reentry import Headers, Origin, origin_of


@given(st.text(st.characters(codec="utf-8")), st.integers(0, 2**53), st.integers(0, 1_000))
def test_an_origin_is_read_back_from_its_headers(source: str, received_ms: int, attempts: int) -> None:
    origin = Origin(source, received_ms, attempts)
    assert origin_of(origin.headers()) == origin


@pytest.mark.parametrize("headers", [None, (), (("millrace-source", b"x"),), (("millrace-source", b"\xff"),)])
def test_headers_that_something_else_wrote_tell_no_origin(headers: Headers | None) -> None:
    assert origin_of(headers) is None
