"""Phone numbers as `phonenumbers.PhoneNumberMatcher` finds them for several regions, in one scan.

Stock walks the text once a region and parses every candidate in each, which is most of what a text with numbers costs.
Where a candidate lies does not depend on the region, and digits that a region's numbering plan cannot hold are known
at a look: only what is left is parsed, by `phonenumbers` itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import phonenumbers
from phonenumbers import phonenumbermatcher as matching
from phonenumbers import phonenumberutil as numbering
from phonenumbers.phonemetadata import NumberFormat, PhoneMetadata

_MAX_DIGITS: Final = matching._DIGIT_BLOCK_LIMIT
"""The most digits in one block of a candidate, and the most blocks: with fewer, no limit cut the candidate short."""

_PLAIN: Final = re.compile(r"[0-9 ()\[\]./-]+")
"""A candidate whose digits alone decide; others (a plus, an extension, Unicode digits) are parsed at once."""

_WITHOUT_EXTENSION: Final = re.compile(r"[0-9 ()\[\]./+-]+")
_NOT_DIGITS: Final = re.compile(r"[^0-9]+")
_BRACKET: Final = re.compile(f"[{matching._OPENING_PARENS}{matching._CLOSING_PARENS}]")
_PLUS: Final = re.compile(r"[^\d+＋]*[+＋]")
_INSERTED_DIGIT: Final = re.compile(r"(?<!\\)[0-9]")
_PATTERNS_OF_A_TYPE: Final = (
    *("premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail"),
    *("fixed_line", "mobile"),
)


class _Attempt(NamedTuple):
    """A part of a text that some regions may read as a phone number."""

    text: str
    start: int
    regions: frozenset[str]
    international: bool


class _Candidate(NamedTuple):
    """Where a region's walk looks next: the attempts in order, and where to go on if none is a number.

    `closed`: a walk that goes on from inside it finds nothing that reaches over its end.
    """

    start: int
    end: int
    attempts: tuple[_Attempt, ...]
    closed: bool


class PhoneFinder:
    """Finds the numbers of several regions ("US", …) at a leniency of `phonenumbers.Leniency`.

    Stock gives up on a text after 65,535 candidates that are no numbers; this does not.
    """

    def __init__(self, regions: Sequence[str], leniency: int) -> None:
        self._leniency = leniency
        self._plans = _Plans(regions, by_digits=leniency >= matching.Leniency.VALID)

    def spans(self, text: str) -> set[tuple[int, int]]:
        """Characters [start, end) of matches in any region: all but some that lie within another."""
        scan = _Scan(text, self._plans)
        if scan.candidate_from(0) is None:
            return set()
        return {span for region in self._plans.regions for span in self._walk(scan, region)}

    def _walk(self, scan: _Scan, region: str) -> Iterator[tuple[int, int]]:
        """One region's matches, as `PhoneNumberMatcher` walks from match to match."""
        at = 0
        while (candidate := scan.candidate_from(at)) is not None:
            at = candidate.end
            if candidate.start in scan.whole:
                continue
            for attempt in candidate.attempts:
                if region in attempt.regions and self._is_number(scan, attempt, region):
                    at = attempt.start + len(attempt.text)
                    if candidate.closed and (attempt.start, at) == (candidate.start, candidate.end):
                        scan.whole.add(candidate.start)
                    yield attempt.start, at
                    break

    def _is_number(self, scan: _Scan, attempt: _Attempt, region: str) -> bool:
        key = (attempt.start, attempt.text, "" if attempt.international else region)
        known = scan.verdicts.get(key)
        if known is None:
            known = scan.verdicts[key] = self._verify(scan.text, attempt.text, region)
        return known

    def _verify(self, text: str, candidate: str, region: str) -> bool:
        try:
            number = numbering.parse(candidate, region, keep_raw_input=True)
        except numbering.NumberParseException:
            return False
        matcher = matching.PhoneNumberMatcher(text, region, leniency=self._leniency)
        return bool(matching._verify(self._leniency, number, candidate, matcher))


class _Scan:
    """The candidates of one text, found once for all regions."""

    def __init__(self, text: str, plans: _Plans) -> None:
        self.text = text
        self.verdicts: dict[tuple[int, str, str], bool] = {}
        self.whole: set[int] = set()
        self._plans = plans
        self._from: dict[int, _Candidate | None] = {}

    def candidate_from(self, index: int) -> _Candidate | None:
        """The first candidate that begins at `index` or later and that some region may read as a number."""
        if index not in self._from:
            at = index
            while (match := matching._PATTERN.search(self.text, at)) is not None:
                candidate = self._candidate(match)
                if candidate.attempts:
                    self._from[index] = candidate
                    return candidate
                at = candidate.end
            self._from[index] = None
        return self._from[index]

    def _candidate(self, match: re.Match[str]) -> _Candidate:
        start, candidate = match.start(), match.group()
        if (second := matching._SECOND_NUMBER_START_PATTERN.search(candidate)) is not None:
            candidate = candidate[: second.start()]
        end = start + len(candidate)
        digits = len(_NOT_DIGITS.sub("", candidate)) if candidate.isascii() else _MAX_DIGITS
        if digits < self._plans.min_digits or self._is_date_or_time(candidate, end):
            return _Candidate(start, end, (), False)
        parts = {(candidate, start): None, **dict.fromkeys(_inner_parts(candidate, start))}
        attempts = (self._attempt(part, at) for part, at in parts if part)
        hopeful = (attempt for attempt in attempts if attempt.regions and self._stands_alone(attempt))
        return _Candidate(
            start,
            end,
            tuple(hopeful),
            second is None and digits < _MAX_DIGITS and _WITHOUT_EXTENSION.fullmatch(candidate) is not None,
        )

    def _attempt(self, part: str, start: int) -> _Attempt:
        if _PLUS.match(part):
            return _Attempt(part, start, self._plans.all, _has_calling_code(part))
        number = part if _PLAIN.fullmatch(part) else numbering._maybe_strip_extension(part)[1]
        if not _PLAIN.fullmatch(number):
            return _Attempt(part, start, self._plans.all, False)
        return _Attempt(part, start, self._plans.that_may_hold(_NOT_DIGITS.sub("", number)), False)

    def _is_date_or_time(self, candidate: str, end: int) -> bool:
        if matching._SLASH_SEPARATED_DATES.search(candidate):
            return True
        if not matching._TIME_STAMPS.search(candidate):
            return False
        return matching._TIME_STAMPS_SUFFIX.match(self.text, end) is not None

    def _stands_alone(self, attempt: _Attempt) -> bool:
        """What `PhoneNumberMatcher._parse_and_verify` asks of a part before it parses it."""
        part, start = attempt.text, attempt.start
        if _BRACKET.search(part) and (
            matching._MATCHING_BRACKETS.fullmatch(part) is None or matching._PUB_PAGES.search(part)
        ):
            return False
        if not self._plans.by_digits:
            return True
        if start > 0 and not matching._LEAD_PATTERN.match(part) and _belongs_to_a_word(self.text[start - 1]):
            return False
        end = start + len(part)
        return end >= len(self.text) or not _belongs_to_a_word(self.text[end])


class _Plans:
    """The numbering plans of some regions: which of them may hold some digits."""

    def __init__(self, regions: Sequence[str], by_digits: bool) -> None:
        self.regions = tuple(regions)
        self.all = frozenset(regions)
        self.by_digits = by_digits  # a lenient finder also takes numbers that are in no plan
        self._plans = [_Plan(region) for region in regions]
        self.min_digits = min(plan.min_digits for plan in self._plans) if by_digits else 0
        self._prefixes = _any_of(prefix for plan in self._plans for prefix in plan.prefixes)
        lengths = sorted({length for plan in self._plans for length in plan.numbers})
        self._numbers = {
            length: _any_of(plan.numbers[length].pattern for plan in self._plans if length in plan.numbers)
            for length in lengths
        }

    def that_may_hold(self, digits: str) -> frozenset[str]:
        """The regions that may read a number in these digits, with a prefix or without."""
        if not self.by_digits:
            return self.all
        if not self._prefixes.match(digits):  # then only a number of just this length
            whole = self._numbers.get(len(digits))
            if whole is None or not whole.fullmatch(digits):
                return frozenset()
        return frozenset(plan.region for plan in self._plans if plan.may_hold(digits))


class _Plan:
    """What decides whether digits may be a number of a region: its calling code and its numbers by length."""

    def __init__(self, region: str) -> None:
        self.region = region
        metadata = PhoneMetadata.metadata_for_region(region, None)
        never = "(?!)"
        self._code = str(metadata.country_code)
        self._abroad = re.compile(metadata.international_prefix or never)
        self._prefix = re.compile(metadata.national_prefix_for_parsing or never)
        self._inserts_digits = _INSERTED_DIGIT.search(metadata.national_prefix_transform_rule or "") is not None
        patterns: dict[int, set[str]] = {}
        for sharing in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[metadata.country_code]:
            shared = PhoneMetadata.metadata_for_region(sharing, None)
            for kind in _PATTERNS_OF_A_TYPE:
                described = getattr(shared, kind)
                if described is not None and described.national_number_pattern:
                    for length in described.possible_length or shared.general_desc.possible_length:
                        patterns.setdefault(length, set()).add(described.national_number_pattern)
        self.numbers = {length: _any_of(sorted(each)) for length, each in sorted(patterns.items()) if length > 0}
        main = PhoneMetadata.metadata_for_region(phonenumbers.region_code_for_country_code(metadata.country_code), None)
        self._formats = [_format(each) for each in main.number_format]
        self.prefixes = ("",) if self._inserts_digits else (self._abroad.pattern, self._prefix.pattern, self._code)
        self.min_digits = 0 if self._inserts_digits else min(self.numbers)

    def may_hold(self, digits: str) -> bool:
        """False only if the region reads no number in these digits, with a prefix or without."""
        if self._inserts_digits or self._abroad.match(digits):
            return True
        begins = self._begins(digits)
        if not begins:
            return self._holds(digits, 0) and not self._is_written_with_prefix(digits)
        return self._holds(digits, 0) or any(self._holds(digits, begin) for begin in begins)

    def _holds(self, digits: str, begin: int) -> bool:
        pattern = self.numbers.get(len(digits) - begin)
        return pattern is not None and pattern.fullmatch(digits, begin) is not None

    def _begins(self, digits: str) -> list[int]:
        """Where the number itself may begin: after a calling code, and after national prefixes, stripped repeatedly."""
        begins = [len(self._code)] if digits.startswith(self._code) else []
        for start in (0, *begins):
            at = start
            while (prefix := self._prefix.match(digits, at)) is not None and prefix.end() > at:
                groups = (prefix.start(group) for group in range(1, self._prefix.groups + 1))
                begins += [prefix.end(), *(begin for begin in groups if begin >= 0)]
                at = prefix.end()
        return begins

    def _is_written_with_prefix(self, digits: str) -> bool:
        """Whether such a number has a prefix: `phonenumbermatcher._is_national_prefix_present_if_required`."""
        for leading, pattern, with_prefix in self._formats:
            if leading.match(digits) and pattern.fullmatch(digits):
                return with_prefix
        return False


def _format(described: NumberFormat) -> tuple[re.Pattern[str], re.Pattern[str], bool]:
    leading = described.leading_digits_pattern[-1] if described.leading_digits_pattern else ""
    with_prefix = (
        bool(described.national_prefix_formatting_rule)
        and not described.national_prefix_optional_when_formatting
        and not numbering._formatting_rule_has_first_group_only(described.national_prefix_formatting_rule)
    )
    return re.compile(leading), re.compile(described.pattern), with_prefix


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile(_either(*patterns))


def _either(*patterns: str) -> str:
    return "|".join(f"(?:{pattern})" for pattern in patterns)


def _inner_parts(candidate: str, start: int) -> Iterator[tuple[str, int]]:
    """Parts of a candidate that may be a number where the whole is none: `PhoneNumberMatcher._extract_inner_match`."""
    for pattern in matching._INNER_MATCHES:
        group = pattern.search(candidate)
        if group is not None:
            yield _without_end(candidate[: group.start()]), start
        while group is not None:
            yield _without_end(group.group(1)), start + group.start(1)
            group = pattern.search(candidate, group.start() + 1)


def _has_calling_code(part: str) -> bool:
    """Whether every region reads a number with a plus alike: a code that is none counts as the region's digits."""
    digits = _NOT_DIGITS.sub("", part)
    if not (digits and part.isascii()) or digits.startswith("0"):
        return False
    return any(int(digits[:length]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE for length in (1, 2, 3))


def _without_end(part: str) -> str:
    unwanted = matching._UNWANTED_END_CHAR_PATTERN.search(part)
    return part if unwanted is None else part[: unwanted.start()]


@lru_cache(maxsize=4096)
def _belongs_to_a_word(char: str) -> bool:
    matcher = matching.PhoneNumberMatcher
    return matcher._is_invalid_punctuation_symbol(char) or matcher._is_latin_letter(char)
