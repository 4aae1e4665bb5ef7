"""Sealed originals: only a recipient opens them."""

from __future__ import annotations

import random
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import PublicKey, SealedBox

from schemas.codec import Codec
from schemas.outcomes import DeadLetter, SealedCopy
from schemas.reasons import Reason
from streams.brokers import largest_letter_bytes, largest_record_bytes
from streams.errors import SettingError, StreamError
from streams.redaction import sealing
from streams.redaction.sealing import Sealed, Sealer, key_id, new_key_pair, pair_of, unseal
from streams.runners import RawRecord
from streams.runners.dead_letters import DeadLetters
from streams.settings import Settings
from tests.events import NOW_MS
from tests.outcomes import letter

BATCH_BYTES = 61 + 64
"""Kafka's own around a single record: https://kafka.apache.org/documentation/#recordbatch and its record's varints."""


@given(st.binary(max_size=200))
def test_every_recipient_opens_what_was_sealed_and_nobody_else_does(original: bytes) -> None:
    one, other, stranger = new_key_pair(), new_key_pair(), new_key_pair()
    sealed = Sealer([one.public, other.public]).seal(original)
    assert unseal(sealed, one) == unseal(sealed, other) == original
    with pytest.raises(StreamError, match="none of the recipients"):
        unseal(sealed, stranger)


def test_after_a_rotation_letters_of_either_time_open_with_their_own_key_and_those_between_with_both() -> None:
    old, new = new_key_pair(), new_key_pair()
    before, between, after = (
        Sealer([pair.public for pair in pairs]).seal(b"original") for pairs in ([old], [old, new], [new])
    )
    assert [[copy.key_id for copy in sealed.copies] for sealed in (before, between, after)] == [
        [key_id(old.public)],
        [key_id(old.public), key_id(new.public)],
        [key_id(new.public)],
    ]
    assert unseal(before, old) == unseal(between, old) == unseal(between, new) == unseal(after, new) == b"original"
    for sealed, pair in ((before, new), (after, old)):
        with pytest.raises(StreamError, match="none of the recipients"):
            unseal(sealed, pair)


def test_another_recipient_costs_its_key_and_not_the_original_again() -> None:
    original = random.Random(1).randbytes(100_000)
    sizes = []
    for recipients in (1, 5):
        sealed = Sealer([new_key_pair().public for _ in range(recipients)]).seal(original)
        assert sealed.original is not None
        sizes.append(len(sealed.original) + sum(len(copy.box) for copy in sealed.copies))
    assert sizes[1] - sizes[0] == 4 * 80


def test_nothing_of_the_original_can_be_seen_and_the_same_one_is_never_sealed_alike() -> None:
    sealer = Sealer([new_key_pair().public])
    one, other = sealer.seal(b"ada@lovelace.example"), sealer.seal(b"ada@lovelace.example")
    assert b"lovelace" not in (one.original or b"")
    assert one.original != other.original
    assert one.copies != other.copies


def test_a_letter_that_was_sealed_whole_to_each_recipient_still_opens() -> None:
    pair = new_key_pair()
    box = SealedBox(PublicKey(b64decode(pair.public)))
    old = Sealed((SealedCopy(key_id(pair.public), box.encrypt(b"original")),), None)
    assert unseal(old, pair) == b"original"


@pytest.mark.parametrize("part", ["key", "original"])
def test_a_damaged_letter_is_said_so(part: str) -> None:
    pair = new_key_pair()
    (copy,), original = Sealer([pair.public]).seal(b"original")
    assert original is not None
    damaged = (
        Sealed((SealedCopy(copy.key_id, _flipped(copy.box)),), original)
        if part == "key"
        else Sealed((copy,), _flipped(original))
    )
    with pytest.raises(StreamError, match="damaged"):
        unseal(damaged, pair)


def _flipped(box: bytes) -> bytes:
    return box[:-1] + bytes([box[-1] ^ 1])


def _largest_letter(original: bytes, recipients: int) -> int:
    """Bytes of the record that a dead letter makes, with its index as long as it can be."""
    letters = DeadLetters("d", Codec(), Sealer([new_key_pair().public for _ in range(recipients)]), 1)
    entry = letter(entry=None).entry
    raw = RawRecord("x" * 249, 0, 2**62, NOW_MS, original, "x" * 249)
    return len(letters.seal(raw, entry, "redact", Reason.OVERSIZE, "t" * 64, "h" * 32).value) + BATCH_BYTES


@pytest.mark.parametrize("recipients", [1, 5])
def test_the_largest_record_that_kafka_takes_fits_sealed_even_if_nothing_in_it_compresses(recipients: int) -> None:
    settings = Settings()
    original = random.Random(2).randbytes(largest_record_bytes(settings))
    size_bytes = _largest_letter(original, recipients)
    assert size_bytes <= largest_record_bytes(settings) + 16_384
    assert size_bytes <= largest_letter_bytes(settings)


def test_a_record_that_kafka_took_because_its_producer_compressed_better_fits_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sealing, "_STILL_LARGE_BYTES", 40_000)  # else the test would take half a minute
    far_apart = random.Random(3).randbytes(60_000) * 20  # repeats beyond the 32 KB that zlib sees, within xz's
    pair = new_key_pair()
    sealed = Sealer([pair.public]).seal(far_apart)
    assert len(sealed.original or b"") < 70_000
    assert unseal(sealed, pair) == far_apart


def test_the_index_of_a_letter_tells_the_source_the_size_and_one_more_attempt() -> None:
    letters = DeadLetters("d", Codec(), Sealer([new_key_pair().public]), 4)
    raw = RawRecord("feedback.reentry", 6, 7, NOW_MS, b"original", "acme.events", 2)
    outgoing = letters.seal(raw, letter().entry, "redact", Reason.UNDECODABLE)
    written = Codec().decode(outgoing.value, DeadLetter)
    assert (written.topic, written.attempts, written.size_bytes) == ("acme.events", 3, 8)
    assert (written.received_at, outgoing.partition) == (NOW_MS * 1_000, 2)


def test_a_pair_is_known_by_its_private_half() -> None:
    pair = new_key_pair()
    assert pair_of(pair.private) == pair


@pytest.mark.parametrize("key", ["", "short", "not base64!", "QUJD"])
def test_what_is_no_private_key_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(ValueError, match="base64 of 32 bytes") as refusal:
        pair_of(key)
    assert not key or key not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("key", ["", "short", "not base64!", "QUJD"])
def test_a_wrong_public_key_names_the_setting_and_the_mend(key: str) -> None:
    with pytest.raises(SettingError, match="MILLRACE_DEADLETTER_PUBLIC_KEYS"):
        Sealer([key])
