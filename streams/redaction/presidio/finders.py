"""One finder a recognizer: its patterns behind triggers.

A trigger is a cheap look at the text that says when a pattern *cannot* match; it must never be stricter than its
pattern, and a test holds each against strings made from its pattern. Triggers belong to the patterns that Presidio
ships: a changed one, or a user's own, runs on every text unless it says its trigger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import regex
from presidio_analyzer import EntityRecognizer, Pattern, PatternRecognizer
from presidio_analyzer.predefined_recognizers import IbanRecognizer, PhoneRecognizer

from streams.redaction.presidio.hosts import FLAGS, HOST_END, HostFinder, Match, mail_addresses
from streams.redaction.presidio.phones import PhoneFinder
from streams.redaction.presidio.recognizers import OfflineEmailRecognizer

Trigger = Callable[[str], object]
"""Of a text: falsy if the pattern cannot match in it."""

Finditer = Callable[[str, float | None], Iterable[Match]]
"""Matches in a text, in order; raises `TimeoutError` after so many seconds, if any are given."""

UNTIMED_CHARS: Final = 4_096
"""Up to this length Presidio's own patterns run without a clock, which costs as much as they do."""


OWN_PATTERN_SECONDS: Final = 1.0
"""How long a pattern of a user's own may search even a short text: it may be exponential."""


class Hit(NamedTuple):
    """What one pattern found, before its context is looked at. Characters [start, end)."""

    start: int
    end: int
    score: float
    rule: str


class Finder(NamedTuple):
    """A recognizer as the engine runs it: `find` takes a text and the seconds that one pattern may take."""

    recognizer: EntityRecognizer
    type: str
    context: tuple[str, ...]
    needs_digit: bool
    find: Callable[[str, float | None], list[Hit]]


class _Search(NamedTuple):
    """One pattern of a recognizer."""

    rule: str
    score: float
    trigger: Trigger | None
    finditer: Finditer


def finder(recognizer: EntityRecognizer) -> Finder | None:
    """The finder for a recognizer; None for one with Python code of its own in `analyze`, which must run as it is."""
    context = tuple(word.lower() for word in recognizer.context or ())
    entity = recognizer.supported_entities[0]
    if type(recognizer) is PhoneRecognizer:
        return Finder(recognizer, entity, context, True, _phones(recognizer))
    if isinstance(recognizer, IbanRecognizer) and type(recognizer).analyze is IbanRecognizer.analyze:
        find = _patterns(recognizer, _ends_of_iban)
    elif isinstance(recognizer, PatternRecognizer) and type(recognizer).analyze is PatternRecognizer.analyze:
        find = _patterns(recognizer, _whole_match)
    else:
        return None
    needs_digit = _is_stock(recognizer) and recognizer.name not in _WITHOUT_DIGITS
    return Finder(recognizer, entity, context, needs_digit, find)


def without_contained(hits: Iterable[Hit]) -> list[Hit]:
    """The hits without those within a surer or equal one: `EntityRecognizer.remove_duplicates` for one type."""
    kept: list[Hit] = []
    reaching: list[Hit] = []  # those kept that may still hold a later one
    for hit in sorted(hits, key=lambda hit: (hit.start, -hit.end, -hit.score)):
        reaching = [other for other in reaching if other.end >= hit.start]
        if not any(hit.end <= other.end and hit.score <= other.score for other in reaching):
            kept.append(hit)
            reaching.append(hit)
    return kept


def _phones(recognizer: PhoneRecognizer) -> Callable[[str, float | None], list[Hit]]:
    numbers = PhoneFinder(recognizer.supported_regions, recognizer.leniency)
    score, rule = recognizer.SCORE, f"{recognizer.name}: phonenumbers"

    def find(text: str, _: float | None) -> list[Hit]:
        spans = numbers.spans(text)
        return without_contained(Hit(start, end, score, rule) for start, end in spans) if spans else []

    return find


def _patterns(
    recognizer: PatternRecognizer, ends: Callable[[Match], Sequence[int]]
) -> Callable[[str, float | None], list[Hit]]:
    """The loop of `PatternRecognizer.analyze` over (start, end, score) alone."""
    stock = _is_stock(recognizer)
    searches = [_search(recognizer, pattern, stock) for pattern in recognizer.patterns]
    first = _FIRST_TRIGGERS.get(recognizer.name) if stock else _own_trigger(recognizer)
    validate = _overridden(recognizer, "validate_result")
    invalidate = _overridden(recognizer, "invalidate_result")

    def score_of(value: str, alone: float) -> float:
        score = alone
        if validate is not None and (valid := validate(value)) is not None:
            score = EntityRecognizer.MAX_SCORE if valid else EntityRecognizer.MIN_SCORE
        if invalidate is not None and invalidate(value):
            score = EntityRecognizer.MIN_SCORE
        return score

    def find(text: str, seconds: float | None) -> list[Hit]:
        if first is not None and not first(text):
            return []
        hits: list[Hit] = []
        timeout = seconds if stock or seconds is not None else OWN_PATTERN_SECONDS
        for search in searches:
            if search.trigger is not None and not search.trigger(text):
                continue
            for match in search.finditer(text, timeout):
                start = match.start()
                for end in ends(match):
                    score = score_of(text[start:end], search.score) if end > start else 0.0
                    if score > 0:
                        hits.append(Hit(start, end, score, search.rule))
                        break
        return without_contained(hits) if len(hits) > 1 else hits

    return find


def _whole_match(match: Match) -> Sequence[int]:
    return (match.end(),)


def _ends_of_iban(match: Match) -> Sequence[int]:
    """An IBAN may run into the words after it: its groups are tried from the longest."""
    return [match.end(group) if match.end(group) > 0 else match.end() for group in (3, 2, 1)]


def _overridden(recognizer: PatternRecognizer, method: str) -> Callable[[str], bool | None] | None:
    if getattr(type(recognizer), method) is getattr(PatternRecognizer, method):
        return None
    bound: Callable[[str], bool | None] = getattr(recognizer, method)
    return bound


def _search(recognizer: PatternRecognizer, pattern: Pattern, stock: bool) -> _Search:
    compiled = regex.compile(pattern.regex, recognizer.global_regex_flags)
    rule = f"{recognizer.name}: {pattern.name}"
    finditer = _timed(compiled)
    if not stock:
        return _Search(rule, pattern.score, None, finditer)
    where = (recognizer.name, pattern.name)
    if where in _FASTER:
        finditer = _FASTER[where](compiled)
    return _Search(rule, pattern.score, _TRIGGERS.get(where), finditer)


def _timed(compiled: regex.Pattern[str]) -> Finditer:
    def finditer(text: str, timeout: float | None) -> Iterable[Match]:
        return compiled.finditer(text) if timeout is None else compiled.finditer(text, timeout=timeout)

    return finditer


def _is_stock(recognizer: EntityRecognizer) -> bool:
    """Whether a recognizer has the very patterns that Presidio ships for it."""
    own = type(recognizer)
    shipped = own.__module__.startswith("presidio_analyzer.predefined_recognizers.") or own is OfflineEmailRecognizer
    patterns = getattr(own, "PATTERNS", None)
    if not shipped or patterns is None or recognizer.global_regex_flags != FLAGS:
        return False
    return [(each.regex, each.score) for each in recognizer.patterns] == [(each.regex, each.score) for each in patterns]


def _own_trigger(recognizer: EntityRecognizer) -> Trigger | None:
    declared = getattr(recognizer, "trigger", None)
    return None if declared is None else regex.compile(declared, FLAGS).search


def _has(*parts: str) -> Trigger:
    return lambda text: all(part in text for part in parts)


def _pattern(trigger: str) -> Trigger:
    return regex.compile(trigger, FLAGS).search


_COLONS: Final = _pattern(r":[0-9a-f]{0,4}:")
_DIGITS_6: Final = _pattern(r"[0-9]{6}")
_DIGITS_8: Final = _pattern(r"[0-9]{8}")
_DIGITS_9: Final = _pattern(r"[0-9]{9}")

_WITHOUT_DIGITS: Final = frozenset(
    ("UrlRecognizer", "EmailRecognizer", "IpRecognizer", "MacAddressRecognizer", "UuidRecognizer")
)
"""Those of Presidio's recognizers that may find something in a text without any digit."""

_FIRST_TRIGGERS: Final[dict[str, Trigger]] = {
    "UrlRecognizer": HOST_END.search,
    "EmailRecognizer": _has("@"),
    "DateRecognizer": _pattern(r"\d[-/.]|[-/.]\d"),
    "UuidRecognizer": lambda text: text.count("-") >= 4,
}
"""By recognizer: without it none of its patterns matches."""

_TRIGGERS: Final[dict[tuple[str, str], Trigger]] = {
    ("UsBankRecognizer", "Bank Account (weak)"): _DIGITS_8,
    ("UsLicenseRecognizer", "Driver License - Digits (very weak)"): _DIGITS_6,
    ("UsPassportRecognizer", "Passport (very weak)"): _DIGITS_9,
    ("UsPassportRecognizer", "Passport Next Generation (very weak)"): _DIGITS_8,
    ("UsSsnRecognizer", "SSN4 (very weak)"): _DIGITS_9,
    ("UsSsnRecognizer", "SSN5 (medium)"): _pattern(r"[0-9][- .][0-9]{2}[- .][0-9]"),
    ("IbanRecognizer", "IBAN Generic"): _pattern(r"[0-9]{2}(?<=[A-Z]{2}[0-9]{2})"),
    ("IpRecognizer", "IPv4_mapped"): _has("::"),
    ("IpRecognizer", "IPv4_embedded"): _COLONS,
    ("IpRecognizer", "IPv6"): _COLONS,
    ("IpRecognizer", "IPv6_unspecified"): _has("::"),
    ("MedicalLicenseRecognizer", "USA DEA Certificate Number (weak)"): _pattern(r"\d{7}(?<=[A-Z]\d{7})"),
    ("MacAddressRecognizer", "MAC_COLON_OR_HYPHEN"): _pattern(r"[:-][0-9a-f]{2}[:-]"),
    ("MacAddressRecognizer", "MAC_CISCO_DOT"): _pattern(r"\.[0-9a-f]{4}\."),
    ("UrlRecognizer", "Standard Url"): _has("://"),
    ("UrlRecognizer", "Quoted URL"): _has("://"),
    ("UrlRecognizer", "Quoted Non-schema URL"): _pattern(r"[\"'][a-z0-9.\-]"),
}

_WORD_WITH_DIGIT: Final = regex.compile(r"\b[^\W\d]*+\d\w*+", FLAGS)
_LONGEST_LICENSE: Final = 19


def _licenses(compiled: regex.Pattern[str]) -> Finditer:
    """A licence is a whole word with letters and digits, but for one alternative of the pattern that means `A-Z]]`."""
    everywhere = _timed(compiled)

    def words(text: str) -> Iterator[Match]:
        for word in _WORD_WITH_DIGIT.finditer(text):
            start, end = word.span()
            if end - start <= _LONGEST_LICENSE and not word.group().isdecimal():
                match = compiled.fullmatch(text, start, end)
                if match is not None:
                    yield match

    return lambda text, timeout: everywhere(text, timeout) if "]]" in text else words(text)


def _hosts(compiled: regex.Pattern[str]) -> Finditer:
    hosts = HostFinder(compiled)
    return lambda text, _: hosts.finditer(text)


def _mails(compiled: regex.Pattern[str]) -> Finditer:
    return lambda text, _: mail_addresses(compiled, text)


_FASTER: Final[dict[tuple[str, str], Callable[[regex.Pattern[str]], Finditer]]] = {
    ("UsLicenseRecognizer", "Driver License - Alphanumeric (weak)"): _licenses,
    ("UrlRecognizer", "Non schema URL"): _hosts,
    ("EmailRecognizer", "Email (Medium)"): _mails,
}
"""By pattern: another way to the same matches as its `finditer`."""
