"""redact: the boundary, with an analyzer that finds every `@word`."""

from __future__ import annotations

import re

import msgspec
import pytest

from schemas.events import (
    Consent,
    Erasure,
    FeedbackEvent,
    Interaction,
    Message,
    Position,
    RedactedEvent,
    Review,
    Score,
)
from schemas.reasons import Reason
from streams.redaction import Finding
from streams.redaction.hashing import KeyedHasher
from streams.redaction.redactor import Redactor
from streams.stages import Drop, Keep
from streams.stages.redact import EARLIEST_OCCURRED_AT, LATEST_AHEAD, bound, redact
from tests.events import NOW_US, interaction
from tests.fakes import AtAnalyzer

HASHER = KeyedHasher("k" * 32)
ENTRY = Position("topic", 3, 14)


def _redact(event: FeedbackEvent) -> RedactedEvent:
    verdict = redact(event, ENTRY, NOW_US, Redactor(AtAnalyzer(), HASHER, 1_000), HASHER)
    assert isinstance(verdict, Keep)
    return verdict.record


def _event(**parts: object) -> FeedbackEvent:
    return FeedbackEvent(event_id="e", interaction_id="i", tenant="t", **parts)  # type: ignore[arg-type]


def test_position_and_lineage_are_added() -> None:
    event = _redact(_event(interaction=interaction("I am @ada", "Hello @ada")))
    assert (event.entry, event.received_at, event.pii) == (ENTRY, NOW_US, {"AT": 2})
    assert event.redactor == Redactor(AtAnalyzer(), HASHER, 1_000).version


def test_no_value_survives_anywhere() -> None:
    event = _event(
        interaction=interaction("I am @ada", "Hello @ada", user="@ada", tags=("@ada",), intent="ask @ada"),
        scores=(Score("comment", text="@ada said so", by="@ada"), Score("edited", text="Dear @ada")),
        review=Review("edit", reviewer="@ada", output="@ada", comment="@ada"),
        consent=Consent(True, user="@ada"),
    )
    assert b"ada" not in msgspec.msgpack.encode(_redact(event))
    assert b"ada" not in msgspec.msgpack.encode(_redact(_event(erasure=Erasure("@ada"))))


def test_a_value_that_one_text_gives_away_goes_from_the_texts_before_and_after_it() -> None:
    class Introduced:
        version, types = "introduced", frozenset({"PERSON"})

        def analyze(self, text: str) -> list[Finding]:
            return [Finding("PERSON", *match.span(1), 1.0) for match in re.finditer(r"I am (\w+)", text)]

    messages = (Message("user", "Ada here."), Message("assistant", "Who?"), Message("user", "I am Ada. Adas are rare."))
    event = _event(interaction=Interaction(messages), scores=(Score("comment", text="Thanks, Ada"),))
    kept = redact(event, ENTRY, NOW_US, Redactor(Introduced(), HASHER, 1_000), HASHER)
    assert isinstance(kept, Keep)
    assert kept.record.interaction is not None
    said = [str(message.content) for message in kept.record.interaction.messages]
    placeholder = said[0].removesuffix(" here.")
    assert said == [f"{placeholder} here.", "Who?", f"I am {placeholder}. Adas are rare."]
    assert kept.record.scores[0].text == f"Thanks, {placeholder}"
    assert kept.record.pii == {"PERSON": 3}


def test_the_same_value_has_the_same_placeholder_in_an_interaction_and_its_later_scores() -> None:
    first = _redact(_event(interaction=interaction("I am @ada", "Hello")))
    later = _redact(_event(scores=(Score("comment", text="@Ada"),)))
    assert first.interaction is not None
    placeholder = (first.interaction.messages[0].content or "").removeprefix("I am ")
    assert later.scores[0].text == placeholder


def test_another_interaction_has_another_placeholder_for_the_same_value() -> None:
    one = _redact(_event(scores=(Score("comment", text="@ada"),)))
    other = _redact(
        FeedbackEvent(
            event_id="e", interaction_id="j", tenant="t", scores=one.scores[:0] or (Score("comment", text="@ada"),)
        )
    )
    assert one.scores[0].text != other.scores[0].text


def test_who_judged_is_the_same_hash_as_the_person_that_asked() -> None:
    event = _redact(_event(interaction=interaction("a", "b", user="ada"), scores=(Score("thumbs", 1.0, by="ada"),)))
    assert event.interaction is not None
    assert event.scores[0].by == event.interaction.user != "ada"


def test_a_person_is_the_same_hash_in_a_tenant_and_another_in_the_next() -> None:
    def user(tenant: str) -> str | None:
        event = msgspec.structs.replace(_event(interaction=interaction("a", "b", user="ada")), tenant=tenant)
        body = _redact(event).interaction
        return body.user if body is not None else None

    assert user("t") == user("t") != user("u")


def test_a_text_too_long_is_dropped_and_never_passed_on() -> None:
    event = _event(interaction=interaction("x" * 1_001, "short"))
    assert redact(event, ENTRY, NOW_US, Redactor(AtAnalyzer(), HASHER, 1_000), HASHER) == Drop(Reason.REDACTION_FAILED)


def test_the_digest_tells_bodies_apart_and_not_tenants() -> None:
    one = _redact(_event(scores=(Score("comment", text="a"),)))
    other = _redact(_event(scores=(Score("comment", text="b"),)))
    moved = _redact(msgspec.structs.replace(_event(scores=(Score("comment", text="a"),)), tenant="u"))
    assert one.digest == moved.digest != other.digest


@pytest.mark.parametrize(
    ("said", "used", "clock"),
    [
        (0, NOW_US, "ok"),
        (1, NOW_US, "past"),
        (EARLIEST_OCCURRED_AT - 1, NOW_US, "past"),
        (EARLIEST_OCCURRED_AT, EARLIEST_OCCURRED_AT, "ok"),
        (NOW_US + LATEST_AHEAD, NOW_US + LATEST_AHEAD, "ok"),
        (NOW_US + LATEST_AHEAD + 1, NOW_US, "future"),
        (4_102_444_800_000_000, NOW_US, "future"),
    ],
)
def test_a_clock_in_1970_or_2100_is_bounded_and_flagged(said: int, used: int, clock: str) -> None:
    assert bound(said, NOW_US) == (used, clock)
