"""The leak audit: a second look at redacted texts with other means than the redactor's.

No recognizer, no phone library, no model: plain patterns on a copy of the text without placeholders, disguised digits
and letters undone. So it errs otherwise than the redactor does: it finds less, and among what it finds is what is
nobody's, such as a long number. Its figure, findings per million characters, is for comparing days, rules and
sources; a jump is a leak or a new kind of text. What a policy keeps or replaces by a surrogate is counted too.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from schemas.events import Message, RedactedEvent
from streams.redaction import Finding, placeholders

MOST_PLACES: Final = 20
"""So many places a report keeps; enough to see what kind of text leaks."""

_RULE: Final = "audit"

# --- what is looked at ---

_IMAGE: Final = re.compile(r";base64,[A-Za-z0-9+/=]{40,}")
"""A file within a text: no words."""

_BLANK: Final = "\x00"
"""Fills what was taken out, so that all else keeps its place: no word, no digit, no white space."""

_TO_PLAIN: Final = re.compile(r"(?:\\u[0-9a-fA-F]{4}){1,50}|[\x00-\x7f]?[^\x00-\x7f]{1,200}")
"""JSON's escapes, or characters beyond ASCII with the one before, which an accent may belong to. Bounded: to normalise
a run of combining marks takes a time that grows with its square."""

_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")

_UNSEEN: Final = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff"
    "\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
"""Characters without width: soft hyphens, joiners, directions, variation selectors, tags."""

# --- what is looked for ---

_AT: Final = re.compile(r"(?<=[\w.+%'-])@(?:[\w-]{1,63}\.){1,8}([^\W\d_]{2,24})(?![\w@])")
_LOCAL_PART: Final = re.compile(r"[\w.+%'-]+\Z")
_LONGEST_LOCAL_PART: Final = 64
"""RFC 5321, 4.5.3.1.1."""
_RESOLUTION: Final = re.compile(r"@[0-9]x\.")
"""`logo@2x.png` is a file."""

_QUAD: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)")

FEWEST_DIGITS: Final = 9
"""The shortest run that counts: a social security number, a national phone number with its area code."""

_BETWEEN: Final = r"(?:[ .\-/\u2010-\u2015\u2212]|\)[ ]?)"
_DIGITS: Final = re.compile(rf"\d(?:{_BETWEEN}?\d){{{FEWEST_DIGITS - 1},}}")
_THOUSANDS: Final = re.compile(r"[1-9]\d{0,2}(?:( |\.)\d{3})(?:\1\d{3})*")
_DECIMALS: Final = re.compile(r"\d+\.\d+(?:[ /-]\d+\.\d+)*")
_YEARS: Final = re.compile(r"(?:1[89]|20)\d\d(?:[ /-](?:1[89]|20)\d\d)*")
_DATE: Final = re.compile(
    r"(?:(?:1[89]|20)\d\d([-/.])[01]?\d\1[0-3]?\d|[0-3]?\d([-/.])[0-3]?\d\2(?:1[89]|20)\d\d)"
    r"(?:[ -](?:(?:1[89]|20)\d\d([-/.])[01]?\d\3[0-3]?\d|[0-3]?\d([-/.])[0-3]?\d\4(?:1[89]|20)\d\d|[0-2]\d))?"
)
"""A day, a span of days, or a day with its hour."""
_UUID: Final = re.compile(r"(?<!\w)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?!\w)", re.IGNORECASE)
_CARD_DIGITS: Final = range(13, 20)
"""ISO/IEC 7812-1: a card number has up to 19 digits; none in use has fewer than 13."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_+=-]{20,}")
_LEAST_BITS: Final = 3.5
"""Shannon's entropy a character: a random token of 20 has 3.8 and more, one that repeats itself less."""

_WORD: Final = r"[^\W\d_][\w'’-]{1,40}"
_TAKEN_OUT: Final = r"(?:\x00{1,120}\s)?"
"""A first name that was found and a last one that was not."""
_CUE: Final = re.compile(
    rf"\b(?:(?i:my name is|my name['’]s|i am called|signed,|yours sincerely,|(?:kind|best) regards,)\s{{1,3}}"
    rf"|(?:Mr|Mrs|Ms|Dr|Prof)\b\.?\s)"
    rf"{_TAKEN_OUT}({_WORD})"
    rf"|\b(?i:dear)\s{_TAKEN_OUT}({_WORD})(?:\s{_WORD}){{0,2}}[,:!]"
    rf"|\b(?i:I am|I['’]m|this is)\s{_TAKEN_OUT}({_WORD})(?:\s{_WORD}){{0,2}}\s(?:from|calling|speaking)\b"
)
_CUE_WORDS: Final = ("name", "dear", "signed", "called", "regards", "sincerely", "mr", "ms", "dr", "prof")
_FROM_WORDS: Final = ("from", "calling", "speaking")

# fmt: off
_NO_NAMES: Final = frozenset((
    "admin", "all", "also", "america", "american", "applicant", "assistant", "british", "buyer", "candidate",
    "chair", "client", "colleague", "colleagues", "community", "customer", "customers", "diary", "doctor", "editor",
    "everybody", "everyone", "evil", "fellow", "folks", "friend", "friends", "from", "german", "god", "guest",
    "guests", "hiring", "just", "lady", "ladies", "lord", "madam", "manager", "me", "member", "members", "mom",
    "mum", "mr", "mrs", "ms", "mx", "my", "neighbor", "neighbour", "no", "nobody", "not", "now", "one", "only",
    "parents", "pepper", "president", "prof", "professor", "reader", "recipient", "recruiter", "santa", "seller",
    "sir", "sirs", "sorry", "speaking", "student", "students", "support", "team", "that", "the", "there", "this",
    "unknown", "user", "users", "valued", "very", "we", "what", "who", "you", "your",
))
# fmt: on
"""Words after a cue that are no names, in lower case."""


class Kind(StrEnum):
    """What the audit tells apart."""

    EMAIL = "email"
    IP_ADDRESS = "ip_address"
    CARD = "card"
    DIGITS = "digits"
    TOKEN = "token"
    NAME = "name"


class Place(msgspec.Struct, frozen=True):
    """Where a finding is: characters [start, end) of a field. Never the value."""

    event_id: str
    field: str
    kind: Kind
    start: int
    end: int


class Report(msgspec.Struct, frozen=True):
    """What an audit came to. `chars` counts the texts as they are, placeholders included; `places` are the first."""

    events: int = 0
    texts: int = 0
    chars: int = 0
    findings: dict[Kind, int] = msgspec.field(default_factory=dict)
    places: tuple[Place, ...] = ()

    def plus(self, other: Report) -> Report:
        """Both reports as one."""
        return Report(
            self.events + other.events,
            self.texts + other.texts,
            self.chars + other.chars,
            dict(Counter(self.findings) + Counter(other.findings)),
            (*self.places, *other.places)[:MOST_PLACES],
        )

    def per_million_chars(self, kind: Kind | None = None) -> float:
        """Findings of a kind, or of all, per million characters; 0 where there was no text."""
        found = sum(self.findings.values()) if kind is None else self.findings.get(kind, 0)
        return found * 1_000_000 / self.chars if self.chars else 0.0


def audit(event: RedactedEvent) -> Report:
    """The report of one event."""
    texts = chars = 0
    findings: Counter[Kind] = Counter()
    places: list[Place] = []
    for field, text in fields_of(event):
        texts += 1
        chars += len(text)
        for found in leaks(text):
            kind = Kind(found.type)
            findings[kind] += 1
            if len(places) < MOST_PLACES:
                places.append(Place(event.event_id, field, kind, found.start, found.end))
    return Report(1, texts, chars, dict(findings), tuple(places))


def sampled(event_id: str, share: float) -> bool:
    """Whether an event belongs to a sample of `share` in [0, 1]; always the same, so that a replay is no new look."""
    digest = hashlib.blake2b(event_id.encode("utf-8", "replace"), digest_size=8, person=b"millrace-audit").digest()
    return int.from_bytes(digest, "big") < share * 2**64


def texts_of(event: RedactedEvent) -> Iterator[str]:
    """Every text of an event that a person may have written."""
    return (text for _, text in fields_of(event))


def fields_of(event: RedactedEvent) -> Iterator[tuple[str, str]]:
    """As `texts_of`, each with its place in the record, such as `interaction.messages[0].content`.

    Left out are ids, keyed hashes, and what the app's configuration says: model, its version, variant, role, source.
    """
    return ((field, text) for field, text in _fields(event) if text)


def _fields(event: RedactedEvent) -> Iterator[tuple[str, str | None]]:
    if event.interaction is not None:
        for index, message in enumerate(event.interaction.messages):
            yield from _message(f"interaction.messages[{index}]", message)
        yield "interaction.tools", event.interaction.tools
        yield "interaction.task_type", event.interaction.task_type
        yield "interaction.intent", event.interaction.intent
        for index, tag in enumerate(event.interaction.tags):
            yield f"interaction.tags[{index}]", tag
    for index, score in enumerate(event.scores):
        yield f"scores[{index}].text", score.text
    if event.review is not None:
        yield "review.output", event.review.output
        yield "review.comment", event.review.comment


def _message(at: str, message: Message) -> Iterator[tuple[str, str | None]]:
    yield f"{at}.content", message.content
    yield f"{at}.name", message.name
    for index, part in enumerate(message.parts):
        yield f"{at}.parts[{index}].type", part.type
        yield f"{at}.parts[{index}].text", part.text
        yield f"{at}.parts[{index}].data", part.data
    for index, call in enumerate(message.tool_calls):
        yield f"{at}.tool_calls[{index}].name", call.name
        yield f"{at}.tool_calls[{index}].type", call.type
        yield f"{at}.tool_calls[{index}].arguments", call.arguments


def leaks(text: str) -> list[Finding]:
    """What looks like personal data in a redacted text, by start and disjoint; each type is a `Kind`.

    Where two kinds could be found in the same characters, the first in the order of `Kind` is. Time is linear in
    the text's length.
    """
    plain = _plain(text)
    found: list[Finding] = []
    rest = plain.text
    for look in (_emails, _quads, _digits, _tokens, _names):
        spans = list(look(rest))
        if not spans:
            continue
        found += [Finding(kind, *plain.original(start, end), 1.0, _RULE) for kind, start, end in spans]
        rest = _without(rest, [(start, end) for _, start, end in spans])
    return sorted(found, key=lambda each: each.start)


class _Span(NamedTuple):
    kind: Kind
    start: int
    end: int


def _emails(text: str) -> Iterator[_Span]:
    if "@" not in text:
        return
    end = 0
    for match in _AT.finditer(text):
        if _RESOLUTION.match(text, match.start()):
            continue
        local = _LOCAL_PART.search(text[max(end, match.start() - _LONGEST_LOCAL_PART) : match.start()])
        length = len(local[0]) if local is not None else 0
        end = match.end()
        yield _Span(Kind.EMAIL, match.start() - length, end)


def _quads(text: str) -> Iterator[_Span]:
    for match in _QUAD.finditer(text):
        if all(int(number) < 256 for number in match[0].split(".")):
            yield _Span(Kind.IP_ADDRESS, *match.span())


def _digits(text: str) -> Iterator[_Span]:
    uuids: list[tuple[int, int]] | None = None
    for match in _DIGITS.finditer(text):
        run = match[0]
        if any(shape.fullmatch(run) for shape in (_THOUSANDS, _DECIMALS, _YEARS, _DATE)):
            continue
        digits = [int(char) for char in run if char.isdecimal()]
        if len(set(digits)) == 1:
            continue  # 000 000 0000 and its like stand for a number and are none
        start, end = match.span()
        if _in_hexadecimal(text, start, end):
            continue
        if uuids is None:
            uuids = [uuid.span() for uuid in _UUID.finditer(text)]
        place = bisect_right(uuids, start, key=lambda span: span[1])
        if place < len(uuids) and uuids[place][0] <= start:
            continue
        card = len(digits) in _CARD_DIGITS and _passes_luhn(digits)
        yield _Span(Kind.CARD if card else Kind.DIGITS, start, end)


def _in_hexadecimal(text: str, start: int, end: int) -> bool:
    """Whether a run of digits goes on in small hexadecimal letters: part of a hash."""
    return text[end : end + 1] in _HEX_LETTERS or text[max(0, start - 1) : start] in _HEX_LETTERS


_HEX_LETTERS: Final = frozenset("abcdef")


def _passes_luhn(digits: Sequence[int]) -> bool:
    """ISO/IEC 7812-1, annex B."""
    doubled = (digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(reversed(digits)))
    return sum(doubled) % 10 == 0


def _tokens(text: str) -> Iterator[_Span]:
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token.islower() or token.isupper() or token.isalpha():
            continue
        has = (str.isupper, str.islower, str.isdigit)
        if all(any(map(test, token)) for test in has) and _entropy(token) >= _LEAST_BITS:
            yield _Span(Kind.TOKEN, *match.span())


def _entropy(token: str) -> float:
    """Bits a character, of the token's own distribution."""
    return -sum(count / len(token) * math.log2(count / len(token)) for count in Counter(token).values())


def _names(text: str) -> Iterator[_Span]:
    lower = text.lower()
    cued = any(word in lower for word in _CUE_WORDS) or any(f" {word}" in lower for word in _FROM_WORDS)
    for match in _CUE.finditer(text) if cued else ():
        group = match.lastindex or 0
        word = match[group]
        bare = re.sub(r"['’]s\Z", "", word).casefold()
        if word[0].isupper() and bare not in _NO_NAMES:
            yield _Span(Kind.NAME, *match.span(group))


class _Plain(NamedTuple):
    """A text as patterns read it, and the way back: where a part has another length than what it stands for."""

    text: str
    changed: Sequence[tuple[int, int, int, int]]  # start and end in `text`, start and end in the original

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Characters of the original that cover [start, end) of `text`."""
        if not self.changed:
            return start, end
        return self._original(start, last=False), self._original(end - 1, last=True)

    def _original(self, at: int, *, last: bool) -> int:
        place = bisect_right(self.changed, at, key=lambda part: part[0]) - 1
        if place < 0:
            return at + last
        _, end, first_original, end_original = self.changed[place]
        if at < end:
            return end_original if last else first_original
        return end_original + at - end + last


def _plain(text: str) -> _Plain:
    """A text without placeholders and files, its compatibility forms as plain ones (NFKC), nothing without width."""
    if "<" in text:
        text = placeholders.ANY.sub(_blank, text)
    if ";base64," in text:
        text = _IMAGE.sub(_blank, text)
    if text.isascii() and "\\u" not in text:
        return _Plain(text, ())
    pieces: list[str] = []
    changed: list[tuple[int, int, int, int]] = []
    length = at = 0
    for match in _TO_PLAIN.finditer(text):
        piece = _UNSEEN.sub("", unicodedata.normalize("NFKC", _ESCAPE.sub(_unescaped, match[0])))
        length += match.start() - at
        if len(piece) != len(match[0]):
            changed.append((length, length + len(piece), *match.span()))
        pieces += (text[at : match.start()], piece)
        length += len(piece)
        at = match.end()
    return _Plain("".join((*pieces, text[at:])), changed)


def _blank(match: re.Match[str]) -> str:
    return _BLANK * len(match[0])


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """A text with some spans (by start, disjoint) blank."""
    pieces, at = [], 0
    for start, end in spans:
        pieces += [text[at:start], _BLANK * (end - start)]
        at = end
    return "".join((*pieces, text[at:]))
