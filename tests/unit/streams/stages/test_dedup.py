"""dedup: prompt and output alike, found by bands and judged by what their texts share."""

from __future__ import annotations

import random
import re
import tracemalloc
import unicodedata

import pytest
from datasketch import MinHash
from hypothesis import given
from hypothesis import strategies as st

from streams.stages import dedup
from streams.stages.dedup import Compared, Duplicate, Fingerprint, Said

ANSWER = " ".join(f"word{number}" for number in range(60))
PROMPT = "How do I reset the password of my account when the mail never arrives"
THRESHOLD = 0.7
BAND_BYTES = 8


def _print(prompt: str, output: str, lane: str = "t/") -> Fingerprint:
    (found,) = dedup.fingerprints([Said(lane, prompt, output)])
    return found


def _bands(own: Fingerprint) -> set[bytes]:
    return {own.bands[at : at + BAND_BYTES] for at in range(0, len(own.bands), BAND_BYTES)}


def _compared(own: Fingerprint, other: Fingerprint, of: str = "other") -> Compared:
    (compared,) = dedup.compare(own, [dedup.record(of, other)])
    return compared


def _exact(one: str, other: str) -> float:
    a, b = (set(hashes.tolist()) for hashes in dedup.shingle_hashes([one, other]))
    return len(a & b) / len(a | b)


def _edited(words: list[str], share: float, chance: random.Random) -> str:
    return " ".join(f"new{chance.randrange(10**9)}" if chance.random() < share else word for word in words)


def test_an_exact_copy_has_the_same_name_and_is_a_duplicate_of_similarity_one() -> None:
    one, other = _print(PROMPT, ANSWER), _print(PROMPT, ANSWER)
    assert one == other
    assert dedup.decide("own", [_compared(one, other)], THRESHOLD) == Duplicate("other", 1.0)


def test_case_punctuation_and_white_space_make_no_difference() -> None:
    assert _print(PROMPT, ANSWER) == _print(f"“{PROMPT.upper()}”?!", ANSWER.replace(" ", "\n "))


def test_another_tenant_or_role_has_other_names_and_bands() -> None:
    one, other = _print(PROMPT, ANSWER, "t/"), _print(PROMPT, ANSWER, "u/")
    assert one.name != other.name
    assert not _bands(one) & _bands(other)


def test_a_name_of_another_lane_is_no_candidate_even_in_a_band_of_one_s_own() -> None:
    own, other, foreign = _print(PROMPT, ANSWER), _print(PROMPT, "Other words"), _print(PROMPT, ANSWER, "u/")
    assert dedup.candidates(own, [foreign.name, other.name, foreign.name]) == [other.name]


def test_the_candidates_are_those_that_share_most_bands_the_first_of_equals_first() -> None:
    own = _print(PROMPT, ANSWER)
    names = [own.name[:6] + bytes((0,) * 7 + (number,)) for number in range(dedup.COMPARED + 5)]
    assert dedup.candidates(own, [*names, names[-1]]) == [names[-1], *names[: dedup.COMPARED - 1]]


def test_one_word_changed_in_sixty_is_a_near_duplicate() -> None:
    changed = ANSWER.replace("word30", "other")
    one, other = _print(PROMPT, ANSWER), _print(PROMPT, changed)
    assert _bands(one) & _bands(other)
    assert _compared(one, other).output == pytest.approx(_exact(ANSWER, changed), abs=0.001)


def test_the_same_prompt_with_another_answer_shares_no_band_and_is_no_duplicate() -> None:
    one, other = _print(PROMPT, ANSWER), _print(PROMPT, ANSWER.replace("word", "term"))
    assert not _bands(one) & _bands(other)
    compared = _compared(one, other)
    assert (compared.prompt, compared.similarity) == (1.0, 0.0)
    assert dedup.decide("own", [compared], THRESHOLD) is None


def test_the_same_answer_to_another_prompt_shares_no_band_and_is_no_duplicate() -> None:
    one, other = _print(PROMPT, ANSWER), _print("What is the capital of France today", ANSWER)
    assert not _bands(one) & _bands(other)
    assert dedup.decide("own", [_compared(one, other)], THRESHOLD) is None


def test_both_sides_of_the_threshold() -> None:
    assert dedup.decide("own", [Compared("other", 1.0, 0.7)], 0.7) == Duplicate("other", 0.7)
    assert dedup.decide("own", [Compared("other", 0.699, 1.0)], 0.7) is None


def test_the_most_similar_is_pointed_to_and_the_first_of_equals() -> None:
    compared = [Compared("a", 0.8, 0.9), Compared("b", 0.95, 0.9), Compared("c", 0.9, 0.95)]
    assert dedup.decide("own", compared, THRESHOLD) == Duplicate("b", 0.9)


def test_a_sample_is_never_a_duplicate_of_what_it_said_itself_before() -> None:
    assert dedup.decide("own", [Compared("own", 1.0, 1.0)], THRESHOLD) is None


def test_empty_halves_are_alike_and_an_empty_half_is_unlike_words() -> None:
    assert _compared(_print("", ANSWER), _print("", ANSWER)).similarity == 1.0
    assert _compared(_print(PROMPT, ""), _print(PROMPT, "")).similarity == 1.0
    assert _compared(_print("", ANSWER), _print(PROMPT, ANSWER)).prompt == 0.0
    assert not _bands(_print("", ANSWER)) & _bands(_print(ANSWER, ""))
    assert _print("", " ").bands == b""


@pytest.mark.parametrize(("one", "other"), [("yes", "no"), ("thank you", "thank them"), ("👍", "👎"), ("?", "!")])
def test_short_texts_compare_as_a_whole(one: str, other: str) -> None:
    assert _print("", one) == _print("", one.upper())
    assert not _bands(_print("", one)) & _bands(_print("", other))
    assert _compared(_print("", one), _print("", other)).similarity == 0.0


def test_one_character_changed_in_a_text_without_spaces_is_a_near_duplicate() -> None:
    text = "東京の天気は晴れで気温は二十五度まで上がる見込みですが夜には雨が降るでしょう"
    assert _compared(_print("", text), _print("", text.replace("五", "六"))).similarity > THRESHOLD


def test_full_width_and_composed_characters_are_as_good_as_others() -> None:
    assert _print("", "ｃａｆé über") == _print("", "cafe\u0301 U\u0308BER")


@given(st.text(st.characters(max_codepoint=127) | st.characters(min_codepoint=0x2000, max_codepoint=0x206F)))
def test_words_of_ascii_and_punctuation_are_those_of_the_pattern_for_any_script(text: str) -> None:
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", f"a {text} a").casefold())
    assert dedup.shingle_hashes([f"a {text} a"])[0].tolist() == dedup.shingle_hashes([" ".join(words)])[0].tolist()


def _found(pairs: list[tuple[Said, Said]]) -> list[bool]:
    prints = dedup.fingerprints([said for pair in pairs for said in pair])
    return [bool(_bands(one) & _bands(other)) for one, other in zip(prints[::2], prints[1::2], strict=True)]


@pytest.mark.parametrize("prompt", [True, False])
def test_of_a_thousand_copies_edited_to_between_the_threshold_and_four_fifths_few_share_no_band(prompt: bool) -> None:
    chance = random.Random(1)
    pairs: list[tuple[Said, Said]] = []
    while len(pairs) < 1_000:
        words = [f"w{chance.randrange(10**6)}" for _ in range(120)]
        one, other = " ".join(words), _edited(words, 0.045, chance)
        if THRESHOLD <= _exact(one, other) <= 0.8:
            pairs.append((Said("t/", one if prompt else "", one), Said("t/", other if prompt else "", other)))
    assert sum(_found(pairs)) >= 985


def test_similarity_is_exact_up_to_512_shingles_and_within_five_standard_errors_above() -> None:
    chance = random.Random(2)
    for count, error in ((100, 0.005), (500, 0.005), (2_000, 0.15), (20_000, 0.15)):
        words = [f"w{chance.randrange(10**6)}" for _ in range(count)]
        for share in (0.0, 0.03, 0.06, 0.2):
            one, other = " ".join(words), _edited(words, share, chance)
            estimate = _compared(_print("", one), _print("", other)).output
            assert estimate == pytest.approx(_exact(one, other), abs=error)


def test_texts_of_unequal_length_are_compared_at_the_coarser_level() -> None:
    words = [f"w{number}" for number in range(520)]
    one, other = " ".join(words), " ".join(words[:505])
    assert _print("", one).output[0] == 1
    assert _print("", other).output[0] == 0
    assert _compared(_print("", one), _print("", other)).output == pytest.approx(_exact(one, other), abs=0.05)


def test_a_text_that_repeats_itself_is_compared_by_what_it_says() -> None:
    repeated = _print("", " ".join([ANSWER] * 50))
    assert repeated.output[0] == 0
    assert _compared(repeated, _print("", ANSWER)).output == pytest.approx(
        _exact(" ".join([ANSWER] * 50), ANSWER), abs=0.01
    )


def test_many_huge_texts_at_once_take_the_memory_of_a_few() -> None:
    huge = " ".join(f"w{number}" for number in range(15_000))
    tracemalloc.start()
    dedup.fingerprints([Said("t/", huge, huge)] * 12)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 10 * 2**20


def test_a_huge_text_takes_little_memory_and_leaves_little() -> None:
    huge = " ".join(f"w{number}" for number in range(31_000))
    assert len(huge) > 200_000
    tracemalloc.start()
    own = _print(huge, "word " * 40_000)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 32 * 2**20
    assert len(dedup.record("id", own)) < 2_100
    assert _compared(own, _print(huge, "word word word")).output == 1.0


def test_a_signature_is_the_one_that_datasketch_makes_of_the_same_hashes() -> None:
    hashes = dedup.shingle_hashes([ANSWER, PROMPT, "one"])
    for own, signature in zip(hashes, dedup.signatures(hashes), strict=True):
        sketch = MinHash(num_perm=dedup.PERMUTATIONS, seed=dedup.SEED, hashfunc=int)
        sketch.update_batch(own.tolist())
        assert signature.tolist() == sketch.hashvalues.tolist()


def test_a_band_is_shared_where_both_halves_agree_in_their_rows_and_nowhere_else() -> None:
    chance = random.Random(3)
    for _ in range(200):
        words = [f"w{chance.randrange(10**6)}" for _ in range(40)]
        texts = [" ".join(words), _edited(words, 0.05, chance), " ".join(reversed(words)), " ".join(words)]
        chance.shuffle(texts)
        rows = dedup.signatures(dedup.shingle_hashes(texts), stop=dedup.PERMUTATIONS // 2).reshape(4, dedup.BANDS, -1)
        agree = ((rows[0] == rows[2]) & (rows[1] == rows[3])).all(axis=1)
        one, other = _print(texts[0], texts[1]), _print(texts[2], texts[3])
        assert len(_bands(one) & _bands(other)) == agree.sum()


WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=3), max_size=40)


@given(WORDS)
def test_equal_hashes_are_equal_runs_of_three_words(words: list[str]) -> None:
    runs = {tuple(words[at : at + 3]) for at in range(max(1, len(words) - 2))} if words else set()
    assert len(set(dedup.shingle_hashes([" ".join(words)])[0].tolist())) == len(runs)


SAID = st.builds(
    Said,
    st.sampled_from(["t/", "u/"]),
    st.lists(st.sampled_from("abcde"), max_size=9).map(" ".join),
    st.lists(st.sampled_from(["a", "b", "é", "字", "👍"]), max_size=9).map(" ".join),
)


@given(st.lists(SAID, max_size=6))
def test_fingerprints_taken_together_are_those_of_each_by_itself(said: list[Said]) -> None:
    assert dedup.fingerprints(said) == [_print(one.prompt, one.output, one.lane) for one in said]


@given(st.text(), st.text())
def test_any_text_has_a_fingerprint_like_itself(prompt: str, output: str) -> None:
    own = _print(prompt, output)
    assert _compared(own, _print(prompt, output), "é" * 40_000) == Compared("é" * 40_000, 1.0, 1.0)


@pytest.mark.parametrize(
    ("compared", "words"),
    [
        ([], "nothing before it"),
        ([Compared("own", 1, 1)], "nothing before it"),
        ([Compared("a", 1.0, 1.0)], "duplicate of a: the same runs of words"),
        ([Compared("a", 0.2, 0.9), Compared("b", 0.75, 0.9)], "near duplicate of b: both are alike (prompt 0.75"),
        ([Compared("a", 1.0, 0.3)], "no duplicate: of the closest, a, the output is another (prompt 1.00, output 0.30"),
        ([Compared("a", 0.1, 0.3)], "the prompt and the output is another"),
    ],
)
def test_why_is_told_in_words(compared: list[Compared], words: str) -> None:
    assert words in dedup.explain("own", compared, THRESHOLD)
