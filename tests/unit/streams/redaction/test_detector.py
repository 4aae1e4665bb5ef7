"""The detector: disguises, file names, what was redacted before, and nothing left behind."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streams.errors import RedactionError
from streams.redaction import Finding, configured, placeholders
from streams.redaction.detector import Detector, Together
from streams.redaction.hashing import KeyedHasher
from streams.redaction.redactor import Redactor, covering
from streams.redaction.secrets import Secrets
from streams.settings import Settings
from tests.fakes import AtAnalyzer

HASHER = KeyedHasher("k" * 32)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return configured.detector(Settings())


def values(detector: Detector, text: str) -> dict[str, str]:
    """What is taken out, by value."""
    return {text[each.start : each.end]: each.type for each in covering(detector.analyze(text))}


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [
        ("write to jo@example.com today", "jo@example.com", "EMAIL_ADDRESS"),
        ("the answer came from Maria Gonzalez herself", "Maria Gonzalez", "PERSON"),
        ("it is 4.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1 you know", "4.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1", "CREDIT_CARD"),
        ("mail me: jo [at] example [dot] com, ok?", "jo [at] example [dot] com", "EMAIL_ADDRESS"),
        ("jo&#64;example.com it is", "jo&#64;example.com", "EMAIL_ADDRESS"),
        ("a file cv_maria_gonzalez.pdf here", "maria_gonzalez", "PERSON"),
        ("see invoice_4111111111111111.pdf", "4111111111111111", "CREDIT_CARD"),
    ],
)
def test_a_value_is_taken_out_whole_however_it_is_written(detector: Detector, text: str, value: str, kind: str) -> None:
    assert values(detector, text) == {value: kind}


def test_a_placeholder_is_nobodys_data_whatever_its_hash_looks_like(detector: Detector) -> None:
    for taken in ("<PHONE_NUMBER:c0255501>", "<PERSON:b2345678.a7654321>", "<US_SSN#d2345678.e2345678>", "<PERSON_1>"):
        assert detector.analyze(f"my bank account number is {taken}") == []


def test_a_name_does_not_hide_in_what_only_looks_like_a_placeholder(detector: Detector) -> None:
    assert "example.com" in "".join(values(detector, "<jo@example.com_1> <MAIL_JO_EXAMPLE_1>"))


def test_what_only_shows_when_another_value_is_gone_is_found_too() -> None:
    class Odd:
        version, types = "odd", frozenset({"X", "Y"})

        def analyze(self, text: str) -> list[Finding]:
            found = [Finding("X", match.start(), match.end(), 1.0) for match in re.finditer("x+", text)]
            return found or [Finding("Y", match.start(), match.end(), 1.0) for match in re.finditer("y", text)]

    found = Detector(Odd(), None).analyze("a xx b y c")
    assert [(each.type, each.start, each.end) for each in found] == [("X", 2, 4), ("Y", 7, 8)]


def test_a_type_that_is_kept_is_found_once_and_left() -> None:
    found = Detector(AtAnalyzer(), None, kept=["AT"]).analyze("hi @ada")
    assert [(each.start, each.end) for each in found] == [(3, 7)]


def test_a_text_that_takes_too_long_is_refused() -> None:
    with pytest.raises(RedactionError):
        Detector(AtAnalyzer(), None, max_seconds=-1).analyze("hi @ada" * 1_000)


def test_a_text_that_does_not_settle_is_refused() -> None:
    class Nibbler:
        version, types = "nibbler", frozenset({"N"})

        def analyze(self, text: str) -> list[Finding]:
            at = text.find("a")
            return [] if at < 0 else [Finding("N", at, at + 1, 1.0)]

    with pytest.raises(RedactionError):
        Detector(Nibbler(), None).analyze("a" * 100)


def test_its_version_is_that_of_all_its_parts() -> None:
    with_secrets = Detector(Together(AtAnalyzer(), Secrets()), None)
    assert with_secrets.version != Detector(AtAnalyzer(), None).version
    assert with_secrets.version == Detector(Together(AtAnalyzer(), Secrets()), None).version


_TEXTS = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            [
                *("jo@example.com", "212-555-0187", "4111 1111 1111 1111", "Maria Gonzalez", "192.168.1.17", "Boston"),
                *("my ssn is 536-22-8726", "http://user:pw@host.io/x?y=1", "<PERSON_1>", "<EMAIL_ADDRESS:a2345678>"),
                *(
                    "password: hunter2!x",
                    "j o @ e x a m p l e . c o m",
                    "４１１１1111１１１１1111",
                    "jo%40example.com",
                    "&#64;",
                ),
                *(
                    "<",
                    ">",
                    "<>",
                    "_",
                    "\u200b",
                    " ",
                    "\n",
                    "İ",
                    "\ud800",
                    "😀",
                    "cv_jo_smith.pdf",
                    "12345678",
                    "account",
                ),
            ]
        ),
    ),
    max_size=8,
).map("".join)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example("<<PERSON_1>:12345678>")
@example("4000000011111111_A:Q:4000000011111111")
@example("call 212-555-0187 or account number 12345678")
@given(_TEXTS)
def test_redacting_any_text_twice_changes_nothing_and_leaves_no_value(detector: Detector, text: str) -> None:
    redactor = Redactor(detector, HASHER, 1_000_000)
    found = detector.analyze(text)
    assert all(0 <= each.start < each.end <= len(text) and 0 < each.score <= 1 for each in found)
    once = redactor.replace(text, "t", "i", Counter())
    assert redactor.replace(once, "t", "i", Counter()) == once
    left = placeholders.HASHED.sub("\0", once)
    for each in covering(found):
        value = text[each.start : each.end]
        if sum(map(str.isalnum, value)) >= 6 and text.count(value) == 1:
            assert value not in left


ADVERSARIAL = (
    ".",
    "1",
    "@",
    " ",
    "(",
    "[",
    "<",
    "_",
    "%",
    "&",
    "a",
    "A ",
    "_.",
    "a_b.c ",
    "%41",
    "\u200b",
    "a b ",
    "one ",
)


@pytest.mark.parametrize("piece", [*ADVERSARIAL, "Maria Gonzalez ", "jo@example.com "])
def test_100_kb_of_one_piece_settle_within_the_time_cap(detector: Detector, piece: str) -> None:
    detector.analyze((piece * 100_000)[:100_000])
