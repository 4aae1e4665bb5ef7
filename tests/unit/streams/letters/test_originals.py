"""Originals are read a few at a time, and shown so that they can harm no terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import Codec
from schemas.events import Position
from schemas.intake import event_to_json
from streams.lake.delta import DeltaLake
from streams.letters.index import Index, Letter, Selection, letter_id
from streams.letters.keyring import Keyring
from streams.letters.originals import CHUNK_BYTES, CHUNK_LETTERS, chunks, sealed, shown
from tests.events import redacted
from tests.fakes import FakeLake
from tests.letters import CODEC, PAIR, put, sealed_letter, thumb


def _letter(at: int, size_bytes: int) -> Letter:
    entry = Position("raw", 0, at)
    name = letter_id(entry)
    return Letter(
        id=name, entry=entry, received_at=datetime(2025, 10, 9, tzinfo=UTC), stage="redact", reason="oversize",
        tenant=None, source="feedback.events", schema_id=None, event_hash=None, attempts=1, first=name,
        size_bytes=size_bytes, key_ids=(), state="waiting",
    )  # fmt: skip


@given(st.lists(st.integers(0, CHUNK_BYTES * 2), max_size=20))
def test_a_chunk_holds_no_more_bytes_than_fit_in_memory_unless_one_letter_does(sizes: list[int]) -> None:
    letters = [_letter(at, size) for at, size in enumerate(sizes)]
    made = list(chunks(letters))
    assert all(len(chunk) == 1 or sum(one.size_bytes for one in chunk) <= CHUNK_BYTES for chunk in made)
    assert sorted(one.id for chunk in made for one in chunk) == sorted(one.id for one in letters)


def test_a_chunk_holds_no_more_letters_than_one_note_in_the_journal_should() -> None:
    made = list(chunks([_letter(at, 1) for at in range(CHUNK_LETTERS * 2 + 1)]))
    assert [len(chunk) for chunk in made] == [CHUNK_LETTERS, CHUNK_LETTERS, 1]


def test_sealed_originals_are_found_by_letter_among_others_of_the_same_offset(tmp_path: Path) -> None:
    lake = DeltaLake(str(tmp_path / "lake"))
    entries = [Position(topic, partition, 7) for topic in ("raw", "other") for partition in (0, 1)]
    put(lake, *(sealed_letter(f"{entry}".encode(), entry=entry) for entry in entries))
    wanted = [one for one in Index(lake).letters(Selection()) if one.entry in entries[1:3]]
    found = sealed(lake, wanted)
    keys = Keyring([PAIR.private])
    assert {name: keys.open(one) for name, one in found.items()} == {
        letter_id(entry): f"{entry}".encode() for entry in entries[1:3]
    }


def test_where_no_letter_is_none_is_found() -> None:
    assert sealed(FakeLake(), [_letter(1, 1)]) == {}


def test_an_event_is_shown_as_json_whatever_its_wire_form() -> None:
    event = thumb("e1", tenant="")
    for value in (CODEC.encode(event), event_to_json(event)):
        assert json.loads(shown(value, "redact", CODEC)) == {
            "event_id": "e1",
            "interaction_id": "i",
            "scores": [{"method": "thumbs", "value": 1.0, "rater": "user"}],
            "occurred_at": 0,
        }
    assert json.loads(shown(CODEC.encode(redacted("e2")), "curate", CODEC))["entry"]["topic_id"] == "raw"


@pytest.mark.parametrize(
    ("original", "says"),
    [
        (b'{"event_id": "e1", "score": {"method": "smiles"}}', '{"event_id": "e1", "score": {"method": "smiles"}}'),
        ("Wie heißt du?\n".encode(), "Wie heißt du?\n"),
        (b"", ""),
        (b"\x00\x01ABC", "00000000  00 01 41 42 43" + " " * 35 + "..ABC"),
        (b"\xff\xfe", "00000000  ff fe" + " " * 44 + ".."),
    ],
)
def test_what_is_no_event_is_shown_as_text_or_else_in_hex(original: bytes, says: str) -> None:
    assert shown(original, "redact", CODEC) == says


def test_of_a_long_original_in_hex_only_the_beginning_is_shown() -> None:
    lines = shown(b"\x00" * 100_000, "redact", CODEC).splitlines()
    assert len(lines) == 33
    assert lines[-1] == "… 100,000 bytes in all"


@given(st.text())
def test_nothing_that_is_shown_can_steer_a_terminal(text: str) -> None:
    value = text.encode("utf-8", "surrogatepass")
    event = thumb("e", scores=(), interaction_id=text.encode("utf-8", "replace").decode())
    for original in (value, msgspec.json.encode({"event_id": "e", "x": text.encode("utf-8", "replace").decode()})):
        assert all(character.isprintable() or character == "\n" for character in shown(original, "redact", Codec()))
    encoded = shown(CODEC.encode(event), "redact", CODEC)
    assert all(character.isprintable() or character == "\n" for character in encoded)
