"""Stock Presidio on a blank pipeline, offline."""

from __future__ import annotations

import logging
import socket

import pytest

from streams.errors import RedactionError
from streams.redaction.presidio import MIN_SCORE, PresidioAnalyzer


@pytest.fixture(scope="module")
def analyzer() -> PresidioAnalyzer:
    return PresidioAnalyzer()


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("write to jo@example.com today", "EMAIL_ADDRESS", "jo@example.com"),
        ("card 4111 1111 1111 1111 please", "CREDIT_CARD", "4111 1111 1111 1111"),
        ("call 212-555-0199 now", "PHONE_NUMBER", "212-555-0199"),
        ("my iban is DE89370400440532013000", "IBAN_CODE", "DE89370400440532013000"),
        ("host 192.168.1.17 is down", "IP_ADDRESS", "192.168.1.17"),
    ],
)
def test_patterns_are_found_at_their_place(analyzer: PresidioAnalyzer, text: str, kind: str, value: str) -> None:
    found = [finding for finding in analyzer.analyze(text) if finding.type == kind]
    assert [text[finding.start : finding.end] for finding in found] == [value]
    assert all(finding.score >= MIN_SCORE for finding in found)


def test_a_context_word_lifts_a_weak_finding(analyzer: PresidioAnalyzer) -> None:
    number = "078051121"
    with_context = analyzer.analyze(f"my social security number, ssn, is {number}")
    assert any(finding.type == "US_SSN" for finding in with_context)
    assert not any(finding.type == "US_SSN" for finding in analyzer.analyze(f"order {number} came"))


def test_clean_text_has_no_findings(analyzer: PresidioAnalyzer) -> None:
    assert analyzer.analyze("How do I bake bread without an oven?") == []


def test_a_mail_address_is_checked_without_the_network(
    analyzer: PresidioAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    found = PresidioAnalyzer().analyze("write to jo@some.example.co.uk")
    assert any(finding.type == "EMAIL_ADDRESS" for finding in found)


@pytest.mark.parametrize("text", ["." * 50_000, "a." * 20_000 + " jo@example.com"], ids=["dots", "labels"])
def test_a_text_on_which_a_pattern_runs_out_of_time_is_refused_and_never_passed(
    analyzer: PresidioAnalyzer, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr("presidio_analyzer.pattern_recognizer.REGEX_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(logging.getLogger(), "level", logging.CRITICAL)  # whatever is logged of all else
    with pytest.raises(RedactionError):
        analyzer.analyze(text)


def test_equal_rules_have_equal_versions(analyzer: PresidioAnalyzer) -> None:
    assert PresidioAnalyzer().version == analyzer.version
