"""Postal addresses by their form."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.redaction import Finding
from streams.redaction.names import addresses


def pieces(text: str) -> list[str]:
    return [text[finding.start : finding.end] for finding in addresses.find(text)]


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("I live at 221B Baker Street in town", "221B Baker Street"),
        ("ship to 9791 N. Regina Mountains today", "9791 N. Regina Mountains"),
        ("at 14 maple avenue since May", "14 maple avenue"),
        ("Hauptstraße 5a is where", "Hauptstraße 5a"),
        ("ul. Moniuszki 78/87 jest", "ul. Moniuszki 78/87"),
        ("Via Roma, 59 in centro", "Via Roma, 59"),
        ("98, avenue Lucie Fernandes à", "98, avenue Lucie Fernandes"),
        ("write to PO Box 123 please", "PO Box 123"),
        ("it is Suite 771 upstairs", "Suite 771"),
        ("Kimberlyview, NJ 78456 is far", "NJ 78456"),
        ("the postcode SW1A 1AA is known", "SW1A 1AA"),
        ("in Ottawa K1A 0B1 today", "K1A 0B1"),
    ],
)
def test_an_address_is_known_by_its_form(text: str, piece: str) -> None:
    assert pieces(text) == [piece]


@pytest.mark.parametrize(
    "text",
    [
        "It takes 5 minutes down the road.",
        "There were 12 people in the street.",
        "I have 3 ways to do this.",
        "The 5 Great Lakes are cold.",
        "In 1999 we moved.",
        "no digits in Baker Street",
    ],
)
def test_numbers_beside_street_words_in_prose_are_no_address(text: str) -> None:
    assert pieces(text) == []


def test_a_street_a_flat_a_city_and_a_postcode_become_one_place() -> None:
    text = "2328 Figueroa Skyway Apt. 290, Kimberlyview, NJ 78456"
    city = Finding("LOCATION", text.index("Kim"), text.index(", NJ"), 0.9, "names:network")
    assert [(it.start, it.end) for it in addresses.joined(text, addresses.find(text), [city])] == [(0, len(text))]


def test_a_person_after_whom_a_street_is_called_is_part_of_the_address() -> None:
    text = "12 Martin Luther King Boulevard"
    person = Finding("PERSON", 3, 21, 0.9, "names:network")
    assert [it.type for it in addresses.joined(text, addresses.find(text), [person])] == ["LOCATION"]


def test_two_places_without_an_address_stay_two() -> None:
    text = "Berlin, Germany"
    places = [Finding("LOCATION", 0, 6, 0.9, "names:network"), Finding("LOCATION", 8, 15, 0.9, "names:network")]
    assert addresses.joined(text, addresses.find(text), places) == places


@given(st.text(st.sampled_from("ABab 123.,-/#Straße\n"), max_size=300))
@settings(deadline=None)
def test_pieces_are_in_order_and_inside_the_text(text: str) -> None:
    findings = addresses.find(text)
    assert all(0 <= it.start < it.end <= len(text) for it in findings)
    assert findings == sorted(findings, key=lambda it: it.start)
