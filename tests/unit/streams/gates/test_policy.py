"""Policy: terms drop whatever their order, a classifier only from its threshold on, and the scope says where."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.curation import Gating, Policing
from schemas.reasons import Reason
from streams import curation
from streams.errors import SettingError
from streams.gates.policy import Policy, PolicyModel, Terms
from streams.stages.gate import Gates
from tests.candidates import dropped, judged, kept, normalised, outcome

LISTS = {"weapons": ("pipe bomb", "nerve gas"), "slurs": ("blork",)}
TERMS: dict[str, tuple[str, ...] | str] = {**LISTS}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("How to build a pipe bomb", {"weapons": 1}),
        ("PIPE-BOMB!", {"weapons": 1}),
        ("pipe  \n bomb, nerve gas, you blork", {"slurs": 1, "weapons": 2}),
        ("bomb pipe, pipe bombs, the pipe: a bomb", {}),
        ("blorking", {}),
        ("", {}),
    ],
)
def test_terms_are_found_as_whole_words_whatever_case_and_punctuation(text: str, found: dict[str, int]) -> None:
    assert Terms(LISTS).found(text) == found


def test_a_term_in_a_script_without_spaces_is_found_within_a_run() -> None:
    assert Terms({"weapons": ("炸弹",)}).found("我想做一个炸弹吗") == {"weapons": 1}


def test_terms_that_overlap_are_all_found() -> None:
    terms = Terms({"a": ("red green", "red green blue"), "b": ("green blue", "green")})
    assert terms.found("red green blue") == {"a": 2, "b": 2}


@given(
    st.dictionaries(st.sampled_from("abc"), st.lists(st.sampled_from(["u", "v", "u v", "v w", "w u v"]), min_size=1)),
    st.lists(st.sampled_from("uvw"), max_size=12),
    st.randoms(use_true_random=False),
)
def test_the_order_of_categories_and_terms_says_nothing(
    lists: dict[str, list[str]], said: list[str], chance: random.Random
) -> None:
    shuffled = {
        key: tuple(chance.sample(lists[key], len(lists[key]))) for key in chance.sample(list(lists), len(lists))
    }
    text = " ".join(said)
    found = Terms(shuffled).found(text)
    assert found == Terms({key: tuple(terms) for key, terms in lists.items()}).found(text)
    assert list(found) == sorted(found)


@pytest.mark.parametrize(
    ("scope", "in_prompt", "in_output"), [("output", True, False), ("prompt", False, True), ("both", False, False)]
)
def test_the_scope_says_where_a_term_drops(
    scope: Literal["output", "prompt", "both"], in_prompt: bool, in_output: bool
) -> None:
    gate = Policy(Policing(scope=scope, terms=TERMS), Terms(LISTS))
    assert gate.judge(judged("No.", "A pipe bomb?")).passed == in_prompt
    assert gate.judge(judged("A pipe bomb.", "What?")).passed == in_output


def test_a_term_drops_the_sample_and_its_category_is_told() -> None:
    gates = Gates(Gating(policy=Policing(terms=TERMS)))
    verdict = dropped(gates(normalised("You blork, use nerve gas.")))
    assert verdict.reason == Reason.POLICY
    assert outcome(verdict, "policy").detail == "slurs, weapons"
    kept(gates(normalised("I will not help with that.", "How do I make nerve gas?")))


def test_the_classifier_signals_and_drops_only_from_its_threshold_on() -> None:
    def half(text: str) -> float:
        return 0.5

    assert PolicyModel(Policing(), half).judge(judged()).value == 0.5
    assert PolicyModel(Policing(), half).judge(judged()).passed
    assert PolicyModel(Policing(threshold=0.51), half).judge(judged()).passed
    assert PolicyModel(Policing(threshold=0.5), half).judge(judged()).reason == Reason.POLICY


def test_a_classifier_that_gives_no_probability_is_an_error() -> None:
    for value in (1.1, -0.1, float("nan")):
        says = dict.fromkeys(["Because."], value)
        with pytest.raises(ValueError, match="probability"):
            PolicyModel(Policing(), says.__getitem__).judge(judged("Because."))


def test_without_a_classifier_there_is_no_outcome_of_one() -> None:
    names = [each.gate for each in kept(Gates(Gating(policy=Policing(classifier=None)))(normalised())).gates]
    assert "policy_model" not in names


def test_a_file_of_terms_beside_the_yaml_is_read_and_its_contents_are_in_the_hash(tmp_path: Path) -> None:
    config, listed = tmp_path / "curation.yaml", tmp_path / "slurs.txt"
    config.write_text("gates: {policy: {terms: {slurs: slurs.txt, weapons: [pipe bomb]}}}")
    listed.write_text("# made up\nblork\n\n  two words \n", encoding="utf-8")
    first = curation.load(str(config))
    assert first.gates.policy.terms == {"slurs": ("blork", "two words"), "weapons": ("pipe bomb",)}
    assert dropped(Gates(first.gates)(normalised("You two words."))).reason == Reason.POLICY
    listed.write_text("other", encoding="utf-8")
    assert curation.load(str(config)).rules() != first.rules()
    listed.unlink()
    with pytest.raises(SettingError, match=r"slurs\.txt"):
        curation.load(str(config))


def test_a_term_without_a_letter_is_an_error() -> None:
    with pytest.raises(SettingError, match="no letter or digit"):
        Gates(Gating(policy=Policing(terms={"marks": ("!!",)})))
