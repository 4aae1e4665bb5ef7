"""One scan for all regions against a walk of `PhoneNumberMatcher` for each."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.redaction.presidio.finders import Hit, without_contained
from streams.redaction.presidio.phones import PhoneFinder

REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")
MORE_REGIONS = ("AR", "MX", "IT", "JP", "NG", "AU")  # AR and MX rewrite a number's digits, IT keeps its leading zero


def outermost(spans: set[tuple[int, int]]) -> set[tuple[int, int]]:
    return {hit[:2] for hit in without_contained(Hit(start, end, 1.0, "") for start, end in spans)}


def by_walks(text: str, regions: tuple[str, ...], leniency: int) -> set[tuple[int, int]]:
    return {
        (match.start, match.end)
        for region in regions
        for match in phonenumbers.PhoneNumberMatcher(text, region, leniency=leniency)
    }


def examples() -> list[str]:
    """A number of each type of each region, national and international."""
    made = []
    for region in (*REGIONS, *MORE_REGIONS):
        for kind in (0, 1, 3, 4):
            number = phonenumbers.example_number_for_type(region, kind)
            if number is not None:
                made += [phonenumbers.format_number(number, form) for form in (0, 1, 2)]
    return made


FINDERS: dict[tuple[tuple[str, ...], int], PhoneFinder] = {
    (regions, leniency): PhoneFinder(regions, leniency) for regions in (REGIONS, MORE_REGIONS) for leniency in (0, 1, 2)
}
_TEXTS = st.lists(
    st.one_of(
        st.sampled_from(examples()),
        st.text("0123456789", min_size=1, max_size=12),
        st.text("0123456789 +-./()[]x#,", max_size=16),
        st.sampled_from([" ", "/", "x", " ext. 5", "a", "$", "\n", "+", "００", "٣", "011", "00", "2012-01-02 08:00"]),
    ),
    max_size=6,
).map("".join)


@pytest.mark.parametrize("leniency", [0, 1, 2])
@pytest.mark.parametrize("regions", [REGIONS, MORE_REGIONS], ids=["presidio", "others"])
@settings(max_examples=150, deadline=None)
@example("1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 212-555-0187")
@example("211-227 (2003) 3/10/2011 (650) 253-0000")
@example("+00᠔0۷00000000")
@given(text=_TEXTS)
def test_the_spans_are_those_of_all_walks(regions: tuple[str, ...], leniency: int, text: str) -> None:
    found = FINDERS[regions, leniency].spans(text)
    assert outermost(found) == outermost(by_walks(text, regions, leniency))
