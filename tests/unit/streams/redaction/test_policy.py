"""The policy: what becomes of each type, and surrogates."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import SettingError
from streams.redaction import Finding
from streams.redaction.hashing import KeyedHasher
from streams.redaction.policy import Action, parse
from streams.redaction.redactor import Redactor
from streams.redaction.surrogates import surrogate

HASHER = KeyedHasher("k" * 32)


class Marked:
    """Finds `[TYPE value]`s."""

    version, types = "marked", frozenset({"PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "URL"})

    def analyze(self, text: str) -> list[Finding]:
        return [Finding(match[1], *match.span(2), 1.0) for match in re.finditer(r"\[([A-Z_]+) ([^\]]+)\]", text)]


def redact(text: str, *pairs: str, interaction: str = "i", tenant: str = "t") -> str:
    return Redactor(Marked(), HASHER, 1_000, parse(pairs)).replace(text, tenant, interaction, Counter())


def test_a_mask_keeps_the_shape_and_no_letter() -> None:
    assert redact("[PHONE_NUMBER 212-555-0187]", "PHONE_NUMBER=mask") == "[PHONE_NUMBER ***-***-****]"


def test_a_kept_type_stays_and_the_others_go() -> None:
    redacted = redact("[URL example.com] [PERSON Ada]", "URL=keep")
    assert "example.com" in redacted
    assert "Ada" not in redacted


def test_a_hash_is_shared_by_all_interactions_of_a_tenant_and_by_no_other() -> None:
    one = redact("[PERSON Ada]", "PERSON=hash")
    assert one == redact("[PERSON Ada]", "PERSON=hash", interaction="j")
    assert one != redact("[PERSON Ada]", "PERSON=hash", tenant="u")
    assert re.fullmatch(r"\[PERSON <PERSON#[0-9a-f.]{17}>\]", one)


def test_a_placeholder_belongs_to_its_interaction() -> None:
    assert redact("[PERSON Ada]") == redact("[PERSON Ada]") != redact("[PERSON Ada]", interaction="j")


def test_a_dropped_type_is_redacted_too_and_bars_its_sample() -> None:
    assert "Ada" not in redact("[PERSON Ada]", "PERSON=drop")
    assert parse(["PERSON=drop", "URL=keep"]).barred == {"PERSON"}


def test_a_surrogate_is_the_same_within_an_interaction_and_word_for_word() -> None:
    redacted = redact("[PERSON Ada Lovelace] met [PERSON Ada] and [PERSON ada lovelace]", "*=surrogate")
    full, short, lower = re.findall(r"\[PERSON ([^\]]+)\]", redacted)
    assert full.split()[0] == short
    assert lower == full.lower()
    assert "ada" not in redacted.lower()
    assert redacted != redact("[PERSON Ada Lovelace]", "*=surrogate", interaction="j")


@pytest.mark.parametrize("pair", ["PERSON", "PERSON=burn", "=mask", "*=keep", "*=drop"])
def test_a_policy_that_is_none_is_refused_with_what_it_may_be(pair: str) -> None:
    with pytest.raises(SettingError):
        parse([pair])


def test_every_type_that_is_not_named_is_redacted() -> None:
    assert parse([]).action("ANYTHING") is Action.REDACT
    assert parse(["*=mask"]).action("ANYTHING") is Action.MASK


@given(
    st.sampled_from(["PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IP_ADDRESS", "DATE_TIME", "IBAN_CODE"]),
    st.text(min_size=1, max_size=40),
)
def test_a_surrogate_of_any_value_is_made_and_is_the_same_again(kind: str, value: str) -> None:
    def digest(part: str) -> bytes:
        return HASHER.surrogate("s", kind, part)

    assert surrogate(kind, value, digest) == surrogate(kind, value, digest)


@given(st.from_regex(r"[A-Z]{2}[0-9]{2} [0-9a-z]{4}-[0-9]{4}", fullmatch=True))
def test_a_surrogate_of_an_unknown_type_has_the_shape_of_its_value(value: str) -> None:
    made = surrogate("IBAN_CODE", value, lambda part: HASHER.surrogate("s", "IBAN_CODE", part))
    assert [char.isdigit() for char in made] == [char.isdigit() for char in value]
    assert [char.isupper() for char in made] == [char.isupper() for char in value]
