"""Residual PII: what is found is what it says, and placeholders and plain numbers are nothing."""

from __future__ import annotations

import pytest

from schemas.events import Message, Score, ToolCall
from schemas.reasons import Reason
from streams.gates.pii import ResidualPii
from streams.redaction import policy
from streams.stages.join import Scored
from tests.candidates import THUMB, judged

GATE = ResidualPii(policy.Policy())

FOUND = [
    ("email", "Write to jo.doe+x@mail.example.co.uk today"),
    ("email", "jo@münchen.de"),
    ("phone", "call +44 20 7946 0958"),
    ("phone", "call (415) 555-2671 now"),
    ("phone", "415-555-2671"),
    ("card", "4111 1111 1111 1111"),
    ("card", "4111111111111111"),
    ("card", "3782 822463 10005"),
    ("iban", "GB82 WEST 1234 5698 7654 32"),
    ("iban", "DE89370400440532013000"),
    ("ssn", "my number is 536-22-1234"),
    ("secret", "key sk-proj_abcDEF1234567890abcdef"),
    ("secret", "ghp_0123456789abcdefghijABCDEFGHIJ012345"),
    ("secret", "AKIAIOSFODNN7EXAMPLE"),
    ("secret", "xoxb-123456789012-abcdef"),
    ("secret", "-----BEGIN RSA PRIVATE KEY-----"),
    ("secret", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc"),
]

NOTHING = [
    "<EMAIL_ADDRESS_1> and <PHONE_NUMBER_2>, <CREDIT_CARD_1>",
    "<IBAN_CODE#a1b2c3d4.e5f6a7b8> <EMAIL_ADDRESS:cf9a03c4>",
    "**@*******.*** or ****-****",
    "the decorator @dataclass, logo@2x.png, user@localhost, a @ b",
    "4111 1111 1111 1112",  # the check digit is wrong
    "1111111111111111",
    "1700000000000 milliseconds",
    "GB82 WEST 1234 5698 7654 33",
    "from 1990-1995 to 2020-2025, 1,000,000.00 or 3.14159265358979",
    "ISBN 978-3-16-148410-0",
    "000-12-3456 or 900-12-3456",
    "sk-learn and task-oriented, hf_hub, ghp_ALPHA",
    "192.168.0.1 and 10:30:00, 2024-05-17T10:00:00Z",
    "550e8400-e29b-41d4-a716-446655440000",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
]


@pytest.mark.parametrize(("kind", "text"), FOUND)
def test_what_is_left_is_found_and_named_by_its_kind(kind: str, text: str) -> None:
    outcome = GATE.judge(judged(text))
    assert (outcome.reason, outcome.detail, outcome.value) == (Reason.PII_RESIDUAL, kind, 1.0)


@pytest.mark.parametrize("text", NOTHING)
def test_placeholders_and_numbers_that_are_nobodys_pass(text: str) -> None:
    assert GATE.judge(judged(text)).passed


def test_prompt_system_prompt_rejected_answer_feedback_and_tool_calls_are_looked_at_too() -> None:
    mail = "jo@example.com"
    correction = (THUMB, Scored(Score("correction", text="Better."), 2, "better"))
    comment = (THUMB, Scored(Score("comment", text=mail), 2, "comment"))
    call = Message("assistant", None, tool_calls=(ToolCall("send", f'{{"to": "{mail}"}}'),))
    for sample in (
        judged("Sure.", mail),
        judged("Sure.", system=mail),
        judged(mail, scores=correction),
        judged("Sure.", scores=comment),
        judged(call),
    ):
        assert not GATE.judge(sample).passed
    assert GATE.judge(judged("Sure.", scores=correction)).passed


def test_what_the_redaction_policy_leaves_on_purpose_is_not_looked_for() -> None:
    gate = ResidualPii(policy.parse(["EMAIL_ADDRESS=surrogate", "PHONE_NUMBER=keep"]))
    assert gate.judge(judged("jo@example.com, 415-555-2671")).passed
    assert gate.judge(judged("jo@example.com, 536-22-1234")).detail == "ssn"
    assert ResidualPii(policy.parse(["*=surrogate"])).judge(judged("4111 1111 1111 1111")).passed
