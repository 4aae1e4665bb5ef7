"""Hashed n-grams and random features."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainer_trigger.drift import FeaturiserError, HashedNgrams
from trainer_trigger.drift.text import BANDWIDTH, FREQUENCIES, READ_CHARS, WIDTH, features


class Fixed:
    """A featuriser that answers what it was made with."""

    name = "fixed"

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array(self._answers.pop(0), np.float32)


def made(*texts: str) -> NDArray[np.float32]:
    return np.concatenate(list(features(texts, HashedNgrams())))


@given(st.lists(st.text(st.characters(), max_size=40), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_any_text_has_features_of_length_one_that_do_not_depend_on_its_company(texts: list[str]) -> None:
    together = made(*texts)
    assert together.dtype == np.float32
    assert together.shape == (len(texts), 2 * FREQUENCIES)
    assert np.allclose((together**2).sum(axis=1), 1, atol=1e-4)
    assert np.allclose(made(texts[-1])[0], together[-1], atol=1e-5)


def test_lone_surrogates_are_characters_too() -> None:
    assert np.isfinite(made("a \ud800 b")).all()


def test_case_and_white_space_do_not_count_but_letters_do() -> None:
    assert np.array_equal(made("Bake  the\nbread"), made("bake the bread"))
    assert not np.array_equal(made("bake the bread"), made("bake the broad"))


def test_an_empty_text_has_no_ngrams() -> None:
    assert not HashedNgrams()(["", " \n", "\u2003"]).any()
    assert HashedNgrams()(["a"]).any()


def test_alike_texts_are_nearer_than_others() -> None:
    one, near, far = made("how do I patch a tyre", "how do I patch the tyre", "quarterly report of the treasurer")
    assert one @ near > one @ far


def test_texts_without_a_common_ngram_are_at_right_angles() -> None:
    rng = np.random.default_rng(1)
    one, other = HashedNgrams()(["".join(rng.choice(list(chars), 2_000)) for chars in ("abcde", "vwxyz")])
    assert abs(one @ other) < 0.2 * np.linalg.norm(one) * np.linalg.norm(other)


def test_features_approximate_the_gaussian_kernel() -> None:
    rng = np.random.default_rng(1)
    points = rng.standard_normal((40, WIDTH)).astype(np.float32) + rng.standard_normal(WIDTH).astype(np.float32)
    (found,) = features(["x"] * 40, Fixed(points))
    units = points / np.linalg.norm(points, axis=1, keepdims=True)
    squares = ((units[:, None] - units) ** 2).sum(axis=2)
    assert np.abs(found @ found.T - np.exp(-squares / (2 * BANDWIDTH**2))).max() < 0.05


def test_of_a_hundred_thousand_characters_the_beginning_and_the_end_are_read() -> None:
    rng = np.random.default_rng(1)
    text = "".join(rng.choice(list("abcdefgh "), 100_000))
    half = READ_CHARS // 2
    middle = text[:half] + "z" * 1_000 + text[-half:]
    assert np.array_equal(made(text), made(middle))
    assert not np.array_equal(made(text), made("z" + text[1:]))
    assert not np.array_equal(made(text), made(text[:-1] + "z"))


def test_a_hundred_thousand_characters_cost_no_more_than_what_is_read() -> None:
    long, short = "abc def " * 12_500, ("abc def " * 12_500)[:READ_CHARS]
    ngrams = HashedNgrams()

    def spent(text: str) -> float:
        times = []
        for _ in range(5):
            started = time.process_time()
            ngrams([text] * 20)
            times.append(time.process_time() - started)
        return min(times)

    assert spent(long) < 3 * spent(short) + 0.01


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([np.zeros((1, 4))], r"shape \(1, 4\) for 2 texts"),
        ([np.zeros(2)], r"shape \(2,\)"),
        ([np.zeros((2, 0))], r"shape \(2, 0\)"),
        ([[[1.0, np.nan], [1.0, 2.0]]], "not finite"),
        ([[[1.0, np.inf], [1.0, 2.0]]], "not finite"),
    ],
)
def test_what_a_featuriser_answers_wrongly_is_said(answers: list[object], said: str) -> None:
    with pytest.raises(FeaturiserError, match=f"fixed answered.*{said}"):
        list(features(["a", "b"], Fixed(*answers)))


def test_a_featuriser_whose_width_changes_is_refused() -> None:
    with pytest.raises(FeaturiserError, match="width 3 and before 4"):
        list(features(["a"] * 513, Fixed(np.ones((512, 4)), np.ones((1, 3)))))


@pytest.mark.parametrize("width", [1, 3, 768, 4_096])
def test_embeddings_of_any_width_and_size_are_taken(width: int) -> None:
    points = np.full((2, width), 3e38, np.float32)
    points[1] = 0
    (found,) = features(["a", "b"], Fixed(points))
    assert found.shape == (2, 2 * FREQUENCIES)
    assert np.isfinite(found).all()
