"""The leak audit: what its patterns take for a leak and what not, where it says that it is, and how fast."""

from __future__ import annotations

import itertools
import time

import pytest

from schemas.events import ContentPart, Interaction, Message, RedactedEvent, Review, Score, ToolCall
from streams.redaction.audit import MOST_PLACES, Kind, Place, Report, audit, fields_of, leaks, sampled, texts_of
from tests.events import interaction, redacted

CARD = "4111 1111 1111 1111"
ADDRESS = "ada@lovelace.example"
TOKEN = "x7" + "Qk2mZp9LwRt4" + "Vb8NcYs1"


def found(text: str) -> list[tuple[Kind, str]]:
    return [(Kind(each.type), text[each.start : each.end]) for each in leaks(text)]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("mail ada@lovelace.example now", Kind.EMAIL, "ada@lovelace.example"),
        ("mailto:ada.k+x@mail.lovelace.co.uk.", Kind.EMAIL, "ada.k+x@mail.lovelace.co.uk"),
        ("ädä@löve.de", Kind.EMAIL, "ädä@löve.de"),
        ("call 212-555-0123!", Kind.DIGITS, "212-555-0123"),
        ("call (212) 555-0123", Kind.DIGITS, "212) 555-0123"),
        ("call +49 30 1234567", Kind.DIGITS, "49 30 1234567"),
        ("call 212–555–0123", Kind.DIGITS, "212–555–0123"),
        ("SSN 536-90-4399", Kind.DIGITS, "536-90-4399"),
        ("046 454 286", Kind.DIGITS, "046 454 286"),
        ("DE89370400440532013000", Kind.DIGITS, "89370400440532013000"),
        ("٢١٢٥٥٥٠١٢٣", Kind.DIGITS, "٢١٢٥٥٥٠١٢٣"),
        (f"card {CARD}.", Kind.CARD, CARD),
        ("4111-1111-1111-1111", Kind.CARD, "4111-1111-1111-1111"),
        ("4111 1111 1111 1112", Kind.DIGITS, "4111 1111 1111 1112"),
        ("at 192.168.100.200:80", Kind.IP_ADDRESS, "192.168.100.200"),
        (f"key={TOKEN}", Kind.TOKEN, f"key={TOKEN}"),
        ("My name is Reba.", Kind.NAME, "Reba"),
        ("Dear Ada Lovelace,", Kind.NAME, "Ada"),
        ("Mr. O'Brien called", Kind.NAME, "O'Brien"),
        ("Dr Willis", Kind.NAME, "Willis"),
        ("I'm Ada from Berlin", Kind.NAME, "Ada"),
        ("This is Ada calling", Kind.NAME, "Ada"),
        ("Signed, Ada", Kind.NAME, "Ada"),
        ("Kind regards,\nAda", Kind.NAME, "Ada"),
        ("Mr. <PERSON:cf9a03c4> Lovelace", Kind.NAME, "Lovelace"),
    ],
)
def test_a_leak_is_found_with_its_kind_and_place(text: str, kind: Kind, value: str) -> None:
    assert found(text) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<EMAIL_ADDRESS:cf9a03c4> <PERSON:d7ab12ef.ac9d3e41> <PHONE_NUMBER#c1234567.b9012345> <US_SSN_1>",
        "My name is <PERSON:d7ab12ef.ac9d3e41>. Dear <PERSON_2>, Mr. <PERSON_1>",
        "1,234,567,890 or 1.234.567.890 or 1 234 567 890",
        "2025-10-09 08:53:20 to 2025-10-10, 09.10.2025 - 11.10.2025, 09/10/2025 10",
        "2025-10-09T08:53:20.123456Z",
        "2019 2020 2021 2022, 1999-2000",
        "3.14159265358979 and 52.520008 13.404954",
        "12345678",
        "000-000-0000 and 9999999999",
        "550e8400-e29b-41d4-a716-446655440000",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
        "999.1.2.3 and 1.2.3.4.5",
        "logo@2x.png, @ada, a @ b.c",
        "getElementsByClassNames",
        "AAAAAAAAAAAAAAAAAAAAaaa1",
        "Dear Sir or Madam, my name is not here, Dr. Pepper",
        "Dear Ada is what she says",
        "I am from Berlin",
    ],
)
def test_what_is_no_leak_is_not_found(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("so: ４１１１ １１１１ １１１１ １１１１!", "４１１１ １１１１ １１１１ １１１１"),
        ("é 4111\u200b 1111\u00ad 1111 1111", "4111\u200b 1111\u00ad 1111 1111"),
        (r"{\"card\": \"\u0034111 1111 1111 1111\"}", r"\u0034111 1111 1111 1111"),
    ],
)
def test_a_disguise_is_seen_through_and_the_place_is_that_in_the_text(text: str, value: str) -> None:
    ((kind, shown),) = found(text)
    assert kind is Kind.CARD
    assert value in shown


def test_places_after_a_disguise_are_those_in_the_text() -> None:
    text = "ﬀ\u200bﬀ <PERSON_1> é " + ADDRESS
    assert found(text) == [(Kind.EMAIL, ADDRESS)]


def test_several_leaks_are_in_order_and_disjoint() -> None:
    text = f"{CARD} of a@b.co, c@d.org.x@y.net and 10.0.0.1"
    spans = leaks(text)
    assert [each.type for each in spans] == [Kind.CARD, Kind.EMAIL, Kind.EMAIL, Kind.EMAIL, Kind.IP_ADDRESS]
    assert all(one.end <= other.start for one, other in itertools.pairwise(spans))


@pytest.mark.parametrize(
    "unit",
    [
        "a", "1", "1 ", "1.", "1-12 ", "@", "a@", "a@a.", "a@b.co ", "<A_", "<PERSON_1>", "Dear Aa ", "I am Aa Bb ",
        "my name is ", "Mr. ", "A1b", "12345678a", "\\u0041", "é", "\u200b", "\u0315\u0300\u0316\u0327", "\ufdfa",
        "550e8400-e29b-41d4-a716-446655440000 ", ";base64,",
    ],
)  # fmt: skip
def test_no_text_of_100_000_characters_takes_long(unit: str) -> None:
    text = (unit * 100_000)[:100_000]
    start = time.thread_time()
    leaks(text)
    assert time.thread_time() - start < 2.0


def test_every_text_that_a_person_may_have_written_is_read() -> None:
    event = redacted(
        "e",
        interaction=Interaction(
            (
                Message("user", "1", name="2", parts=(ContentPart("3", text="4"), ContentPart("5", data="6"))),
                Message("assistant", tool_calls=(ToolCall("7", "8", id="-", type="9"),), tool_call_id="-"),
            ),
            tools="10",
            model="-",
            model_version="-",
            variant="-",
            role="-",
            task_type="11",
            intent="12",
            user="-",
            tags=("13", "14"),
        ),
        scores=(Score("comment", text="15"), Score("thumbs", value=1.0), Score("correction", text="16")),
        review=Review("edit", reviewer="-", output="17", comment="18"),
    )
    texts = list(texts_of(event))
    assert sorted(texts, key=int) == [str(number) for number in range(1, 19)]
    fields = dict(fields_of(event))
    assert fields["interaction.messages[0].parts[1].data"] == "6"
    assert fields["interaction.messages[1].tool_calls[0].arguments"] == "8"
    assert fields["scores[2].text"] == "16"


def test_a_report_says_how_much_and_where_and_never_what() -> None:
    event = redacted("e1", interaction=interaction(f"mail {ADDRESS}", "<EMAIL_ADDRESS:cf9a03c4> it is"))
    report = audit(event)
    assert (report.events, report.texts, report.chars) == (1, 2, 55)
    assert report.findings == {Kind.EMAIL: 1}
    assert report.places == (Place("e1", "interaction.messages[0].content", Kind.EMAIL, 5, 25),)
    assert report.per_million_chars() == report.per_million_chars(Kind.EMAIL) == pytest.approx(1_000_000 / 55)
    assert report.per_million_chars(Kind.CARD) == 0
    assert ADDRESS not in repr(report)


def test_no_text_is_no_finding_a_million() -> None:
    assert Report().per_million_chars() == 0


def test_reports_add_up_and_keep_the_first_places() -> None:
    def one(number: int) -> RedactedEvent:
        return redacted(f"e{number}", scores=(Score("comment", text=f"{ADDRESS} {CARD}"),))

    total = Report()
    for number in range(30):
        total = total.plus(audit(one(number)))
    assert (total.events, total.texts, total.findings) == (30, 30, {Kind.EMAIL: 30, Kind.CARD: 30})
    assert [place.event_id for place in total.places] == [f"e{number // 2}" for number in range(MOST_PLACES)]


def test_a_sample_is_always_the_same_and_about_as_large_as_asked() -> None:
    ids = [f"event-{number}" for number in range(10_000)]
    tenth = {event_id for event_id in ids if sampled(event_id, 0.1)}
    assert tenth == {event_id for event_id in ids if sampled(event_id, 0.1)}
    assert 850 < len(tenth) < 1_150
    assert tenth < {event_id for event_id in ids if sampled(event_id, 0.2)}


def test_a_share_of_one_is_all_and_of_zero_none() -> None:
    assert all(sampled(str(number), 1.0) for number in range(1_000))
    assert not any(sampled(str(number), 0.0) for number in range(1_000))
