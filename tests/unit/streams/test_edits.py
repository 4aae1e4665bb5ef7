"""The edit distance is Levenshtein's by words, and bounded."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.edits import MOST_WORDS, distance, kept

WORDS = st.lists(st.sampled_from("abc"), max_size=80)


def _levenshtein(one: list[str], other: list[str]) -> int:
    row = list(range(len(other) + 1))
    for at, word in enumerate(one, start=1):
        before, row = row, [at]
        for place, against in enumerate(other):
            row.append(min(before[place + 1] + 1, row[-1] + 1, before[place] + (word != against)))
    return row[-1]


@given(WORDS, WORDS)
def test_the_distance_is_levenshtein_s(one: list[str], other: list[str]) -> None:
    assert distance(one, other) == _levenshtein(one, other)


@given(st.text(max_size=40), st.text(max_size=40))
def test_what_was_kept_is_a_share_and_symmetric(one: str, other: str) -> None:
    assert 0 <= kept(one, other) <= 1
    assert kept(one, other) == kept(other, one)
    assert kept(one, one) == 1


@pytest.mark.parametrize(
    ("answer", "edited", "share"),
    [
        ("", "", 1.0),
        ("a b", "", 0.0),
        ("It opens at nine.", "It  opens\nat nine .", 1.0),
        ("It opens at nine.", "It opens at ten.", 4 / 5),
        ("It opens at nine.", "Today it opens at nine.", 4 / 6),
        ("Ask <PERSON:ab12.cd34> now", "Ask <PERSON:ab12.ffff> now", 2 / 3),
        ("九時に開く", "十時に開く", 4 / 5),
    ],
)
def test_words_marks_placeholders_and_characters_without_spaces_count_one_each(
    answer: str, edited: str, share: float
) -> None:
    assert kept(answer, edited) == pytest.approx(share)


def test_up_to_the_bound_order_counts_and_beyond_it_only_which_words_there_are() -> None:
    within = [str(number) for number in range(MOST_WORDS)]
    assert distance(within, within[::-1]) == _reversed(MOST_WORDS)
    beyond = [*within, "last"]
    assert distance(beyond, beyond[::-1]) == 0
    assert distance(beyond, ["new", *beyond[::-1]][:-5]) == 5


def _reversed(length: int) -> int:
    """Of a sequence of distinct words to its reverse: all are replaced but the middle one of an odd number."""
    return length - length % 2


def test_the_longest_text_is_compared_in_a_moment() -> None:
    began = time.process_time()
    kept("a b " * 25_000, "b c " * 25_000)
    kept("a b " * (MOST_WORDS // 2), "b c " * (MOST_WORDS // 2))
    assert time.process_time() - began < 1.0
