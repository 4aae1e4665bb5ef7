"""URLs and mail addresses from their rarest part: the very matches of `finditer`."""

from __future__ import annotations

import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st
from presidio_analyzer.predefined_recognizers import EmailRecognizer, UrlRecognizer

from streams.redaction.presidio.hosts import FLAGS, HostFinder, mail_addresses

URL = regex.compile(UrlRecognizer.PATTERNS[1].regex, FLAGS)
MAIL = regex.compile(EmailRecognizer.PATTERNS[0].regex, FLAGS)

_HOSTS = st.lists(
    st.sampled_from(
        [
            "a",
            "b" * 250,
            "www",
            "www9",
            "com",
            "de",
            "company",
            "xyzz",
            ".",
            "..",
            "-",
            "/",
            "/a?b=c",
            " ",
            "\u0130",
            "ſ",
            "é",
            "1",
        ]
    ),
    max_size=12,
).map("".join)
_MAILS = st.lists(
    st.sampled_from(["a", "é", "jo", "@", ".", "-", "--", "+", "'", "x.com", "_", " ", "<", "1", "\u200b", "a" * 90]),
    max_size=12,
).map("".join)


@settings(max_examples=500, deadline=None)
@example("www." + "a" * 253 + ".com" + "b" * 300 + ".de")
@given(_HOSTS)
def test_hosts_are_found_where_the_pattern_finds_them(text: str) -> None:
    assert [m.span() for m in HostFinder(URL).finditer(text)] == [m.span() for m in URL.finditer(text)]


@settings(max_examples=500, deadline=None)
@example("a@b.com@c.org")
@given(_MAILS)
def test_mail_addresses_are_found_where_the_pattern_finds_them(text: str) -> None:
    assert [m.span() for m in mail_addresses(MAIL, text)] == [m.span() for m in MAIL.finditer(text)]
