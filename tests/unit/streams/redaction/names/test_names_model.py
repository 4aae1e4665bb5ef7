"""The bundled names model."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import SettingError
from streams.redaction.names import NamesModel, model_file

MAX_MODEL_BYTES = 8 * 1024 * 1024

model = NamesModel.bundled()

chatty = st.text(st.sampled_from("abcXYZ éßЖ中'’.,-@#:/\n\t0123456789"), max_size=400)


def found(text: str) -> list[tuple[str, str]]:
    return [(finding.type, text[finding.start : finding.end]) for finding in model.analyze(text)]


@given(st.one_of(st.text(max_size=300), chatty))
@settings(deadline=None)
def test_any_text_gives_ordered_findings_inside_it_that_do_not_overlap(text: str) -> None:
    findings = model.analyze(text)
    for finding in findings:
        assert 0 <= finding.start < finding.end <= len(text)
        assert 0 <= finding.score <= 1
        assert finding.type in {"PERSON", "LOCATION", "ORGANIZATION"}
        assert finding.rule.startswith("names:")
        assert text[finding.start : finding.end].strip() == text[finding.start : finding.end]
    for before, after in pairwise(findings):
        assert before.end <= after.start


@given(chatty)
@settings(deadline=None, max_examples=50)
def test_a_second_model_finds_the_same_whatever_the_first_has_read(text: str) -> None:
    model.analyze("Something else, by Somebody Else")
    assert model.analyze(text) == fresh.analyze(text)


fresh = NamesModel.bundled()

SAID = ("", "My name is Maria Lopez and I live in Berlin. " * 30, "ok", "It was David's idea, at 12 Baker Street")


@given(st.lists(st.one_of(chatty, st.sampled_from(SAID)), max_size=8))
@settings(deadline=None, max_examples=50)
def test_texts_prepared_together_give_what_each_gives_by_itself(texts: list[str]) -> None:
    prepared.prepare(texts)
    for text in texts:
        together, alone = prepared.analyze(text), fresh.analyze(text)
        assert [each[:3] for each in together] == [each[:3] for each in alone]
        assert [each.score for each in together] == pytest.approx([each.score for each in alone], abs=0.002)


prepared = NamesModel.bundled()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("My name is Maria Lopez and I live in Berlin.", [("PERSON", "Maria Lopez"), ("LOCATION", "Berlin")]),
        ("my name is tracy sukhorukova", [("PERSON", "tracy sukhorukova")]),
        ("I work for Microsoft in Seattle.", [("ORGANIZATION", "Microsoft"), ("LOCATION", "Seattle")]),
        ("Please call Mr. Okafor back.", [("PERSON", "Mr. Okafor")]),
        ("It was David's idea.", [("PERSON", "David")]),
        ("The book is by J. R. Smith.", [("PERSON", "J. R. Smith")]),
        ("He lives in the U.S. with her.", [("LOCATION", "U.S.")]),
        ("Thanks, Mary-Jane!", [("PERSON", "Mary-Jane")]),
        (
            "Mail it to 742 Evergreen Terrace, Springfield, IL 62704.",
            [("LOCATION", "742 Evergreen Terrace, Springfield, IL 62704")],
        ),
    ],
)
def test_a_clear_name_is_found_whole(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Sorry, I can't help with that.",
        "Well, why would you say so?",
        "Oh my God, I love Christmas!",
        "I speak English and a little French.",
        "See you on Monday, or in March.",
        "@somebody thanks for the follow",
        "Is an iPhone better than Android?",
        "What is the price of rice and insurance at college?",
        "",
        " \n\t",
    ],
)
def test_what_only_looks_like_a_name_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_a_long_text_is_read_to_its_end() -> None:
    text = "Nothing to see here. " * 5000 + "My name is Maria Lopez."
    assert found(text)[-1] == ("PERSON", "Maria Lopez")


def test_a_name_is_found_at_every_place_in_a_long_text() -> None:
    text = "I spoke with Maria Lopez about it. " * 200
    assert found(text) == [("PERSON", "Maria Lopez")] * 200


def test_the_model_file_stays_within_its_bound() -> None:
    assert model_file.BUNDLED.stat().st_size <= MAX_MODEL_BYTES


def test_the_version_is_stable_and_changes_with_the_model_file(tmp_path: Path) -> None:
    other = tmp_path / "other.npz"
    with np.load(model_file.BUNDLED) as archive:
        np.savez(other, **{**archive, "0.scale": archive["0.scale"] * 2})
    assert NamesModel.bundled().version == model.version
    assert NamesModel(other).version != model.version


def test_a_missing_model_file_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="nowhere"):
        NamesModel(tmp_path / "nowhere.npz")


@pytest.mark.parametrize("keep", [0, 10, 5000])
def test_a_damaged_model_file_is_said_to_be_damaged(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "model.npz"
    path.write_bytes(model_file.BUNDLED.read_bytes()[:keep])
    with pytest.raises(SettingError, match="damaged"):
        NamesModel(path)


def test_a_model_file_with_other_bytes_in_the_middle_is_said_to_be_damaged(tmp_path: Path) -> None:
    content = bytearray(model_file.BUNDLED.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 100] = bytes(100)
    path = tmp_path / "model.npz"
    path.write_bytes(content)
    with pytest.raises(SettingError, match="damaged"):
        NamesModel(path)


def test_a_copy_elsewhere_is_the_same_model(tmp_path: Path) -> None:
    copy = tmp_path / "copy.npz"
    shutil.copy(model_file.BUNDLED, copy)
    assert NamesModel(copy).version == model.version
