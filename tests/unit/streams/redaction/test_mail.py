"""Mail addresses of which only the domain is known for personal data: the local part must not stay."""

from __future__ import annotations

import pytest

from streams.redaction import configured
from streams.redaction.hashing import KeyedHasher
from streams.redaction.mail import MailAddresses
from streams.redaction.redactor import Redactor
from streams.settings import Settings


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return configured.redactor(Settings(redaction_names="off"), KeyedHasher("k" * 32))


@pytest.mark.parametrize(
    "text",
    [
        "https://x.example/?to=rofzunfqko@iqbhzwhwiy.com&size=1",
        "cv rofzunfqko@iqbhzwhwiy.com.pdf",
        "Mail rofzunfqko@iqbhzwhwiy.com.Thanks",
        "rofzunfqko@iqbhzwhwiy.internal",
        "ssh rofzunfqko@iqbhzwhwiy.local",
    ],
)
def test_nothing_of_an_address_stays_whatever_stands_around_it(redactor: Redactor, text: str) -> None:
    redacted = redactor.within("acme", "i").text(text)
    assert "rofzunfqko" not in redacted
    assert "iqbhzwhwiy" not in redacted


@pytest.mark.parametrize("text", ["@app.route", "a @ b", "x@y", "price@3.50", "see me@ 5 p.m.", "user@host"])
def test_an_at_sign_alone_is_no_address(text: str) -> None:
    assert MailAddresses().analyze(text) == []


@pytest.mark.parametrize("piece", ["a", "@", "a@", "a.", "a@b.", "-", "a@b-"])
def test_100_kb_of_one_piece_take_no_time(piece: str) -> None:
    MailAddresses().analyze((piece * 100_000)[:100_000] + "@x.")  # what were quadratic would take minutes
