"""The redact runner: one record out for each in, whatever comes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from schemas.codec import Codec
from schemas.events import FeedbackEvent, Position, RedactedEvent, Score
from schemas.outcomes import DeadLetter
from schemas.reasons import Reason
from streams import metrics
from streams.errors import RegistryUnavailable
from streams.redaction import Finding, audit
from streams.redaction.hashing import KeyedHasher
from streams.redaction.redactor import Redactor
from streams.redaction.sealing import Sealed, Sealer, new_key_pair, unseal
from streams.runners import RawRecord
from streams.runners.dead_letters import DeadLetters
from streams.runners.overflow import Diversion
from streams.runners.redact import RedactRunner
from streams.settings import Settings
from tests.events import interaction, record
from tests.fakes import AtAnalyzer

PAIR = new_key_pair()
CODEC = Codec()
HASHER = KeyedHasher("k" * 32)
THUMB = FeedbackEvent(event_id="e", interaction_id="i", tenant="t", scores=(Score("thumbs", value=1.0),))
SETTINGS = Settings(sources=("feedback.events", "acme.events=acme"), max_event_bytes=2_000)


class BrokenAnalyzer(AtAnalyzer):
    """Fails on a text with a bang in it."""

    def analyze(self, text: str) -> list[Finding]:
        if "!" in text:
            raise RuntimeError(f"cannot analyze {text}")
        return super().analyze(text)


class AwayRegistry:
    """A registry that does not answer."""

    def id_of(self, subject: str) -> int:
        raise RegistryUnavailable("away")

    def text_of(self, schema_id: int) -> str:
        raise RegistryUnavailable("away")


def _runner(codec: Codec = CODEC, settings: Settings = SETTINGS, diversion: Diversion | None = None) -> RedactRunner:
    letters = DeadLetters("feedback.deadletter", CODEC, Sealer([PAIR.public]), 12)
    redactor = Redactor(BrokenAnalyzer(), HASHER, 1_000)
    ids = {"feedback.events": "uuid", "acme.events": "acme-uuid"}
    return RedactRunner(settings, codec, redactor, HASHER, letters, ids, diversion)


def _letter(raw: RawRecord) -> DeadLetter:
    (outgoing,) = _runner().process([raw]).outgoing
    assert outgoing.topic == "feedback.deadletter"
    return CODEC.decode(outgoing.value, DeadLetter)


def test_an_event_comes_out_redacted_keyed_by_tenant_and_interaction_with_its_entry_position() -> None:
    (outgoing,) = _runner().process([record(THUMB, offset=7, partition=2)]).outgoing
    event = CODEC.decode(outgoing.value, RedactedEvent)
    assert (outgoing.topic, outgoing.key, outgoing.partition) == ("feedback.redacted", b"t/i", -1)
    assert event.entry == Position("uuid", 2, 7)


def test_the_topic_s_configured_tenant_wins_over_the_record_s() -> None:
    (outgoing,) = _runner().process([record(THUMB, topic="acme.events")]).outgoing
    assert CODEC.decode(outgoing.value, RedactedEvent).tenant == "acme"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.UNDECODABLE),
        (b"", Reason.UNDECODABLE),
        (b"garbage", Reason.UNDECODABLE),
        (b"\x00\x00\x00\x00\x09rest", Reason.UNKNOWN_SCHEMA),
        (b"\xc3\x01" + b"8" * 8 + b"rest", Reason.UNKNOWN_SCHEMA),
        (CODEC.encode(THUMB)[:-1], Reason.UNDECODABLE),
        (b'{"event_id": "e"}', Reason.INVALID_EVENT),
        (b'{"event_id": "e", "interaction_id": "i", "score": {"method": "stars", "value": 11}}', Reason.INVALID_EVENT),
        (b'{"event_id": "e", "interaction_id": "i", "score": {"method": "smiles"}}', Reason.INVALID_EVENT),
        (b'{"a": ' * 100 + b"1" + b"}" * 100, Reason.INVALID_EVENT),
        (
            CODEC.encode(msgspec.structs.replace(THUMB, scores=(Score("stars", value=float("nan")),))),
            Reason.INVALID_EVENT,
        ),
        (CODEC.encode(msgspec.structs.replace(THUMB, tenant="")), Reason.UNKNOWN_TENANT),
        (CODEC.encode(msgspec.structs.replace(THUMB, tenant="a/b")), Reason.UNKNOWN_TENANT),
        (CODEC.encode(msgspec.structs.replace(THUMB, tenant="x" * 65)), Reason.UNKNOWN_TENANT),
        (b"{" + b" " * 2_000 + b"}", Reason.OVERSIZE),
        (
            CODEC.encode(msgspec.structs.replace(THUMB, interaction=interaction("x" * 1_001, "y"))),
            Reason.REDACTION_FAILED,
        ),
        (CODEC.encode(msgspec.structs.replace(THUMB, interaction=interaction("boom!", "y"))), Reason.STAGE_FAILED),
    ],
)
def test_what_cannot_be_processed_is_sealed_away_with_its_reason(value: bytes | None, reason: Reason) -> None:
    letter = _letter(record(value, offset=5, partition=14))
    assert (letter.reason, letter.stage, letter.entry) == (reason, "redact", Position("uuid", 14, 5))
    assert unseal(Sealed(letter.sealed, letter.original), PAIR) == (value or b"")
    assert letter.size_bytes == len(value or b"")


def test_a_dead_letter_shows_no_value_of_the_event() -> None:
    event = msgspec.structs.replace(THUMB, event_id="secret-id", interaction=interaction("secret!", "secret"))
    letter = _letter(record(event))
    assert b"secret" not in CODEC.encode(letter)
    assert letter.event_hash == HASHER.event("t", "secret-id")


def test_a_dead_letter_does_not_show_what_stands_where_a_tenant_should() -> None:
    letter = _letter(record(msgspec.structs.replace(THUMB, tenant="ada@lovelace.example")))
    assert (letter.reason, letter.tenant) == (Reason.UNKNOWN_TENANT, None)


def test_one_poison_event_leaves_the_others_of_its_batch_alone_and_in_order() -> None:
    batch = [record(THUMB, 0), record(b"poison", 1), record(THUMB, 2)]
    topics = [outgoing.topic for outgoing in _runner().process(batch).outgoing]
    assert topics == ["feedback.redacted", "feedback.deadletter", "feedback.redacted"]


def test_a_registry_that_is_away_is_waited_for_and_never_dead_letters() -> None:
    with pytest.raises(RegistryUnavailable):
        _runner(Codec(AwayRegistry())).process([record(b"\x00\x00\x00\x00\x09rest")])


def test_the_same_record_always_comes_out_the_same() -> None:
    raw = record(THUMB, 3)
    assert _runner().process([raw]) == _runner().process([raw])


def _audited(settings: Settings, texts: Sequence[str]) -> dict[str, float]:
    """What the audit's counters grew by, and the number of records that came out redacted."""

    def counted() -> dict[str, float]:
        counters = (metrics.AUDIT_CHARS, metrics.AUDIT_FINDINGS, metrics.AUDIT_FAILED)
        samples = [sample for counter in counters for metric in counter.collect() for sample in metric.samples]
        return {
            " ".join(
                (sample.name.removeprefix("millrace_audit_").removesuffix("_total"), *sample.labels.values())
            ): sample.value
            for sample in samples
            if sample.name.endswith("_total")
        }

    before = counted()
    records = [
        record(msgspec.structs.replace(THUMB, event_id=f"e{offset}", scores=(Score("comment", text=text),)), offset)
        for offset, text in enumerate(texts)
    ]
    out = _runner(settings=settings).process(records).outgoing
    grown = {name: value - before.get(name, 0) for name, value in counted().items() if value != before.get(name, 0)}
    return {**grown, "redacted": sum(outgoing.topic == "feedback.redacted" for outgoing in out)}


ALL_AUDITED = msgspec.structs.replace(SETTINGS, redaction_audit_share=1.0)


def test_what_a_second_look_finds_is_counted_by_kind_and_the_event_goes_on() -> None:
    grown = _audited(ALL_AUDITED, ["@ada has 212-555-0123", "and 10.0.0.1", "nothing"])
    assert grown["redacted"] == 3
    assert (grown["findings digits"], grown["findings ip_address"]) == (1, 1)
    assert grown["chars"] == len("<AT:12345678> has 212-555-0123" + "and 10.0.0.1" + "nothing")
    assert "failed" not in grown


def test_only_sampled_events_are_looked_at_again() -> None:
    none = msgspec.structs.replace(SETTINGS, redaction_audit_share=0.0)
    assert _audited(none, ["212-555-0123"]) == {"redacted": 1}
    half = msgspec.structs.replace(SETTINGS, redaction_audit_share=0.5)
    expected = sum(audit.sampled(f"e{number}", 0.5) for number in range(100))
    assert 30 < expected < 70
    assert _audited(half, ["212-555-0123"] * 100)["findings digits"] == expected


def test_an_audit_that_fails_is_counted_and_drops_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_text: str) -> list[Finding]:
        raise RuntimeError("broken")

    monkeypatch.setattr(audit, "leaks", broken)
    assert _audited(ALL_AUDITED, ["one", "two"]) == {"failed": 2, "redacted": 2}


def test_what_is_hot_is_passed_on_unredacted_to_reentry_only_and_not_even_looked_at() -> None:
    settings = msgspec.structs.replace(SETTINGS, batch_events=4)
    diversion = Diversion(settings)
    diversion.waiting = 100
    tenants = ["hot"] * 6 + ["acme"]
    events = [msgspec.structs.replace(THUMB, event_id=f"e{n}", tenant=tenant) for n, tenant in enumerate(tenants)]
    records = [record(event, offset) for offset, event in enumerate(events)]
    runner = _runner(settings=settings, diversion=diversion)
    runner.process(records)
    batch = runner.process(records)
    assert [one.topic for one in batch.outgoing] == ["feedback.reentry"] * 6 + ["feedback.redacted"]
    assert [one.value for one in batch.outgoing[:6]] == [each.value for each in records[:6]]
