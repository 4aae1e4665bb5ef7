"""Text to tokens and back to their places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.redaction.names import tokens


@given(st.text(max_size=300))
def test_words_and_spans_are_the_same_tokens(text: str) -> None:
    assert tokens.words(text) == [text[start:end] for start, end in tokens.spans(text)]


@given(st.text(max_size=300))
def test_no_letter_or_digit_is_lost_between_tokens(text: str) -> None:
    end = 0
    for start, stop in tokens.spans(text):
        assert not any(character.isalnum() for character in text[end:start])
        end = stop
    assert not any(character.isalnum() for character in text[end:])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("John's don't", ["John", "'s", "don't"]),
        ("O'Brien and D'Angelo", ["O'Brien", "and", "D'Angelo"]),
        ("Smith-Jones", ["Smith", "-", "Jones"]),
        ("see https://x.org/a?b=c now", ["see", "https://x.org/a?b=c", "now"]),
        ("@ann_lee a.b@c.org", ["@ann_lee", "a.b@c.org"]),
        ("nice :D", ["nice", ":D"]),
        ("a\n\nb", ["a", "\n\n", "b"]),
    ],
)
def test_text_is_cut_where_a_reader_would(text: str, expected: list[str]) -> None:
    assert tokens.words(text) == expected


def test_a_very_long_word_is_cut_and_not_dropped() -> None:
    pieces = tokens.words("a" * 1000)
    assert "".join(pieces) == "a" * 1000
    assert max(map(len, pieces)) <= tokens.MAX_TOKEN
