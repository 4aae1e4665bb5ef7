"""Placeholders: written, known again, and one number a person."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.redaction import placeholders
from streams.redaction.hashing import KeyedHasher
from streams.redaction.redactor import Redactor
from streams.stages.normalise import Numbering
from tests.unit.streams.redaction.test_policy import Marked


@given(st.text(min_size=1), st.lists(st.from_regex("[a-f][0-9a-f]{7}", fullmatch=True), min_size=1, max_size=4))
def test_a_placeholder_of_any_type_is_known_again(kind: str, hashes: list[str]) -> None:
    written = placeholders.hashed(kind, hashes)
    assert placeholders.pattern([kind]).fullmatch(written)
    assert placeholders.HASHED.fullmatch(written)
    assert placeholders.pattern([kind]).fullmatch(Numbering().number(written))


def test_a_placeholder_of_an_unknown_type_is_text() -> None:
    assert placeholders.pattern(["PERSON"]).search("<JOHN_SMITH_1> <PERSONS_1> <PERSON_x>") is None


@pytest.mark.parametrize(
    ("said", "numbered"),
    [
        ("Ada Lovelace, Ada, Mrs. Lovelace", "1 1 1"),
        ("Ada, Ada Lovelace", "1 1"),
        ("John Smith, Mary Smith, Mary", "1 2 2"),
        ("Ada, Bob, ada", "1 2 1"),
        ("Dr. Bob, Bob's", "1 1"),
    ],
)
def test_a_name_within_another_is_that_person(said: str, numbered: str) -> None:
    redactor = Redactor(Marked(), KeyedHasher("k" * 32), 1_000).within("t", "i")
    text = " ".join(redactor.text(f"[PERSON {name}]") for name in said.split(", "))
    assert Numbering().number(text) == " ".join(f"[PERSON <PERSON_{number}>]" for number in numbered.split())


@pytest.mark.parametrize("forged", ["<PERSON:41111111.11111111>", "<PERSON#4111111111111111>", "<PERSON_4111111111>"])
def test_a_card_does_not_hide_in_what_only_looks_like_a_placeholder(forged: str) -> None:
    assert placeholders.pattern(["PERSON"]).search(forged) is None


@given(st.text(), st.text())
def test_a_hash_begins_with_a_letter(scope: str, value: str) -> None:
    hasher = KeyedHasher("k" * 32)
    assert placeholders.pattern(["X"]).fullmatch(placeholders.hashed("X", [hasher.value(scope, "X", value)]))
    assert placeholders.pattern(["X"]).fullmatch(placeholders.tenant_wide("X", hasher.tenant_value(scope, "X", value)))
