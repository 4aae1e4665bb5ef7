"""Near duplicates on the state file: replays, crowds, corrections, and how many are found."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.runners import duplicates
from streams.runners.duplicates import Verdict
from streams.stages import dedup
from streams.stages.dedup import Duplicate, Said
from streams.state.sqlite import SqliteState

THRESHOLD = 0.7
TTL_S = 86_400 * 90
CHANCE = random.Random(1)
VOCABULARY = [f"word{number}" for number in range(5_000)]


@pytest.fixture
def store() -> Iterator[SqliteState]:
    store = SqliteState(":memory:")
    yield store
    store.close()


def _find(store: SqliteState, *samples: tuple[str, Said]) -> list[Verdict]:
    return duplicates.find(store, samples, THRESHOLD, TTL_S)


def _of(verdicts: Sequence[Verdict]) -> list[str | None]:
    return [None if verdict.duplicate is None else verdict.duplicate.of for verdict in verdicts]


def _text(words: int = 40) -> str:
    return " ".join(CHANCE.choices(VOCABULARY, k=words))


def _edited(text: str, count: int = 1) -> str:
    words = text.split()
    for at in CHANCE.sample(range(len(words)), count):
        words[at] = f"new{CHANCE.randrange(10**6)}"
    return " ".join(words)


def _similarity(one: Said, other: Said) -> float:
    halves = []
    for texts in zip(one[1:], other[1:], strict=True):
        a, b = (set(hashes.tolist()) for hashes in dedup.shingle_hashes(texts))
        halves.append(len(a & b) / len(a | b) if a or b else 1.0)
    return min(halves)


def test_a_near_duplicate_points_to_the_first_with_its_similarity(store: SqliteState) -> None:
    prompt, output = _text(), _text()
    first, copy = Said("t/", prompt, output), Said("t/", prompt, _edited(output))
    one, two = _find(store, ("a", first), ("b", copy))
    assert one.duplicate is None
    assert two.duplicate is not None
    assert two.duplicate.of == "a"
    assert two.duplicate.similarity == pytest.approx(_similarity(first, copy), abs=0.005)


def test_of_exact_copies_in_one_batch_the_first_is_pointed_to(store: SqliteState) -> None:
    said = Said("t/", _text(), _text())
    near = said._replace(output=_edited(said.output))
    assert _of(_find(store, ("a", said), ("b", said), ("c", near))) == [None, "a", "a"]


def test_of_several_that_are_alike_the_most_similar_is_pointed_to(store: SqliteState) -> None:
    for number in range(30):
        base = Said("t/", "", _text(60))
        edits = CHANCE.sample((1, 2, 3, 4), k=4)
        _find(store, *((f"{number}-{count}", base._replace(output=_edited(base.output, count))) for count in edits))
        (verdict,) = _find(store, (f"{number}", base))
        closest = max(verdict.compared, key=lambda one: one.similarity)
        assert len(verdict.compared) > 1
        assert _of([verdict]) == [closest.sample_id]


def test_another_lane_is_another_world(store: SqliteState) -> None:
    said = Said("t/", _text(), _text())
    assert _of(_find(store, ("a", said), ("b", said._replace(lane="u/")))) == [None, None]


@pytest.mark.parametrize(("one", "other", "alike"), [("yes", "no", False), ("yes", "Yes!", True), ("👍", "👎", False)])
def test_one_word_answers_are_duplicates_only_of_the_same(
    store: SqliteState, one: str, other: str, alike: bool
) -> None:
    found = _find(store, ("a", Said("t/", "Is it?", one)), ("b", Said("t/", "Is it?", other)))
    assert _of(found) == [None, "a" if alike else None]


def test_samples_without_words_are_duplicates_of_each_other_only(store: SqliteState) -> None:
    empty = Said("t/", "", "")
    assert _of(_find(store, ("a", empty), ("b", Said("t/", "", "yes")), ("c", empty))) == [None, None, "a"]


def test_an_exact_copy_is_found_though_a_crowd_fills_its_bands(store: SqliteState) -> None:
    template = _text(60)
    crowd = [(f"crowd-{number}", Said("t/", _edited(template), "Please call us.")) for number in range(300)]
    said = Said("t/", template + " really", "Please call us.")
    _find(store, *crowd, ("a", said))
    (verdict,) = _find(store, ("b", said))
    assert verdict.duplicate == Duplicate("a", 1.0)


def test_hundreds_of_answers_to_one_prompt_hide_no_near_duplicate_among_them(store: SqliteState) -> None:
    prompt, answers = _text(), [_text() for _ in range(600)]
    assert _of(_find(store, *((f"a{at}", Said("t/", prompt, text)) for at, text in enumerate(answers)))) == [None] * 600
    copies = ((f"b{at}", Said("t/", prompt, _edited(text))) for at, text in enumerate(answers))
    found = _of(_find(store, *copies))
    assert sum(of == f"a{at}" for at, of in enumerate(found)) >= 595


def test_a_stock_answer_to_hundreds_of_prompts_hides_no_near_duplicate_among_them(store: SqliteState) -> None:
    prompts = [_text() for _ in range(600)]
    say = "I cannot help you with that."
    assert _of(_find(store, *((f"a{at}", Said("t/", text, say)) for at, text in enumerate(prompts)))) == [None] * 600
    copies = ((f"b{at}", Said("t/", _edited(text), say)) for at, text in enumerate(prompts))
    found = _of(_find(store, *copies))
    assert sum(of == f"a{at}" for at, of in enumerate(found)) >= 595


def test_recall_and_precision_at_the_threshold_with_both_halves_edited(store: SqliteState) -> None:
    originals = [Said("t/", _text(), _text()) for _ in range(800)]
    copies = [said._replace(prompt=_edited(said.prompt, 2), output=_edited(said.output, 2)) for said in originals]
    alike = [_similarity(one, other) >= THRESHOLD for one, other in zip(originals, copies, strict=True)]
    assert sum(alike) > 300
    _find(store, *((f"a{at}", said) for at, said in enumerate(originals)))
    found = _of(_find(store, *((f"b{at}", said) for at, said in enumerate(copies))))
    right = sum(of == f"a{at}" for at, of in enumerate(found) if alike[at])
    assert right / sum(alike) >= 0.97
    assert right / sum(of is not None for of in found) >= 0.98


def test_a_sample_that_is_corrected_is_no_duplicate_of_what_it_said_before(store: SqliteState) -> None:
    prompt, output = _text(), _text()
    before, after = Said("t/", prompt, output), Said("t/", prompt, _edited(output))
    assert _of(_find(store, ("a", before), ("a", after), ("a", before))) == [None, None, None]
    assert _of(_find(store, ("b", after))) == ["a"]


def test_who_lost_its_record_does_not_count(store: SqliteState) -> None:
    class Forgetful(SqliteState):
        def records(self, names: Sequence[bytes]) -> list[bytes | None]:
            return [None for _ in names]

    forgetful, said = Forgetful(":memory:"), Said("t/", _text(), _text())
    _find(forgetful, ("a", said))
    (verdict,) = _find(forgetful, ("b", said._replace(output=_edited(said.output))))
    forgetful.close()
    assert verdict == Verdict("b", None, [])


BASES = [_text(12) for _ in range(3)]
TEXTS = [
    *BASES,
    *(_edited(text) for text in BASES * 2),
    *(" ".join(pair) for pair in itertools.pairwise(BASES)),
]
SAMPLES = st.lists(
    st.tuples(
        st.sampled_from([f"s{number}" for number in range(12)]),
        st.builds(Said, st.sampled_from(["t/", "u/"]), st.sampled_from(["", *TEXTS]), st.sampled_from(["", *TEXTS])),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(SAMPLES, st.data())
def test_any_prefix_replayed_and_cut_anyhow_has_the_same_verdicts(
    samples: list[tuple[str, Said]], data: st.DataObject
) -> None:
    whole, cut = SqliteState(":memory:"), SqliteState(":memory:")
    expected, done = _find(whole, *samples), 0
    while done < len(samples):
        start, end = data.draw(st.integers(0, done)), data.draw(st.integers(done + 1, len(samples)))
        assert _find(cut, *samples[start:end]) == expected[start:end]
        done = end
    whole.close()
    cut.close()
