"""dedup: prompt and output alike, and never a duplicate of itself."""

from __future__ import annotations

import numpy as np
from datasketch import MinHash
from hypothesis import given
from hypothesis import strategies as st

from streams.stages import dedup

ANSWER = " ".join(f"word{number}" for number in range(60))
PROMPT = "How do I reset the password of my account when the mail never arrives"


def _meet(one: dedup.Fingerprint, other: dedup.Fingerprint) -> bool:
    return any(a == b for a, b in zip(one.bands(), other.bands(), strict=True))


def _decide(own: dedup.Fingerprint, other: dedup.Fingerprint) -> dedup.Duplicate | None:
    token = dedup.owner_token("other", other)
    return dedup.decide("own", own, [token], {token: other})


def test_an_exact_copy_is_a_duplicate_of_similarity_one() -> None:
    one, other = dedup.fingerprint(PROMPT, ANSWER), dedup.fingerprint(PROMPT, ANSWER)
    assert one.bands() == other.bands()
    assert _decide(one, other) == dedup.Duplicate("other", 1.0)


def test_case_punctuation_and_white_space_make_no_difference() -> None:
    assert dedup.fingerprint(PROMPT, ANSWER) == dedup.fingerprint(PROMPT.upper() + "?!", ANSWER.replace(" ", "\n "))


def test_one_word_changed_in_sixty_is_a_near_duplicate() -> None:
    one, other = dedup.fingerprint(PROMPT, ANSWER), dedup.fingerprint(PROMPT, ANSWER.replace("word30", "other"))
    assert _meet(one, other)
    assert _decide(one, other) is not None


def test_the_same_prompt_with_another_answer_is_no_duplicate_and_shares_no_band() -> None:
    one, other = dedup.fingerprint(PROMPT, ANSWER), dedup.fingerprint(PROMPT, ANSWER.replace("word", "term"))
    assert not _meet(one, other)
    assert _decide(one, other) is None


def test_the_same_answer_to_another_prompt_is_no_duplicate() -> None:
    one, other = dedup.fingerprint(PROMPT, ANSWER), dedup.fingerprint("What is the capital of France today", ANSWER)
    assert not _meet(one, other)
    assert _decide(one, other) is None


def test_a_sample_is_never_a_duplicate_of_itself() -> None:
    own = dedup.fingerprint(PROMPT, ANSWER)
    earlier = dedup.fingerprint(PROMPT, ANSWER + " and more")
    tokens = {dedup.owner_token("own", own): own, dedup.owner_token("own", earlier): earlier}
    assert dedup.decide("own", own, list(tokens), tokens) is None


def test_an_owner_whose_fingerprint_is_gone_does_not_count() -> None:
    own = dedup.fingerprint(PROMPT, ANSWER)
    assert dedup.decide("own", own, ["other#1234"], {}) is None


def test_empty_texts_are_alike_and_short_ones_compare_as_a_whole() -> None:
    assert dedup.similarity(dedup.fingerprint("", "yes"), dedup.fingerprint("", "Yes!")) == 1.0
    assert dedup.similarity(dedup.fingerprint("", "yes"), dedup.fingerprint("", "no")) < dedup.THRESHOLD


@given(st.integers(0, 60))
def test_the_estimate_is_near_the_exact_jaccard_similarity(changed: int) -> None:
    other = " ".join(["new"] * changed + ANSWER.split()[changed:])
    a, b = set(dedup.shingle_hashes([ANSWER])[0].tolist()), set(dedup.shingle_hashes([other])[0].tolist())
    exact = len(a & b) / len(a | b)
    estimate = dedup.similarity(dedup.fingerprint("", ANSWER), dedup.fingerprint("", other))
    assert abs(exact - estimate) < 5 * np.sqrt(0.25 / dedup.PERMUTATIONS)


def test_a_signature_is_the_one_that_datasketch_makes_of_the_same_hashes() -> None:
    sketch = MinHash(num_perm=dedup.PERMUTATIONS, seed=dedup.SEED, hashfunc=int)
    for shingle in dedup.shingle_hashes([ANSWER])[0].tolist():
        sketch.update(shingle)
    assert dedup.fingerprint("", ANSWER).output == sketch.hashvalues.astype("<u4").tobytes()


WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=3), max_size=40)


@given(WORDS)
def test_equal_hashes_are_equal_runs_of_three_words(words: list[str]) -> None:
    runs = {tuple(words[at : at + 3]) for at in range(max(1, len(words) - 2))} if words else set()
    assert len(set(dedup.shingle_hashes([" ".join(words)])[0].tolist())) == len(runs)


@given(st.lists(WORDS, max_size=6))
def test_the_hashes_of_texts_taken_together_are_those_of_each_by_itself(texts: list[list[str]]) -> None:
    together = dedup.shingle_hashes([" ".join(words) for words in texts])
    alone = [dedup.shingle_hashes([" ".join(words)])[0] for words in texts]
    assert [hashes.tolist() for hashes in together] == [hashes.tolist() for hashes in alone]


@given(WORDS, WORDS, st.integers(0, 9))
def test_a_band_is_shared_exactly_where_both_signatures_agree_in_it(a: list[str], b: list[str], same: int) -> None:
    one = dedup.fingerprint(" ".join(a), " ".join(b))
    other = dedup.fingerprint(" ".join(a[:same] + a), " ".join(b[same:]))
    width = dedup.ROWS * 4
    for band, (key, its) in enumerate(zip(one.bands(), other.bands(), strict=True)):
        part = slice(band * width, (band + 1) * width)
        agree = one.prompt[part] == other.prompt[part] and one.output[part] == other.output[part]
        assert (key == its) == agree


@given(st.text(), st.text())
def test_any_text_has_a_fingerprint_like_itself(prompt: str, output: str) -> None:
    own = dedup.fingerprint(prompt, output)
    assert dedup.similarity(own, dedup.fingerprint(prompt, output)) == 1.0
