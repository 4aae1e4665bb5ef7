"""Values that are spelled: letters and digits apart, digits as words, addresses with "at" and "dot" as words.

Each rewrite asks for the whole shape of a value, so that prose, tables, versions and formulas stay.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from streams.redaction.disguises.view import Rewrite

_APART: Final = re.compile(r"""(?<![^\s(\[{"'<])\S(?:[ \t]{1,16}\S(?![^\s,.;:!?)\]}"'>])){5,}+""")
"""The first character may follow an opening mark, the last may stand before a closing one."""
_APART_GATE: Final = re.compile(r" \S[ \t]{1,16}\S[ \t]{1,16}\S(?!\S)|\t\S[ \t]\S[ \t]\S[ \t]")
_GAP: Final = re.compile(r"[ \t]+")

_SEPARATED: Final = re.compile(
    r"(?<![A-Za-z0-9])[A-Za-z0-9]([-_/|*~])[A-Za-z0-9@.](?:\1[A-Za-z0-9@.]){4,}+(?![A-Za-z0-9])"
)
_SEPARATED_GATE: Final = re.compile(r"([-_/|*~])[A-Za-z0-9@.]\1[A-Za-z0-9@.]\1[A-Za-z0-9@.]\1[A-Za-z0-9@.]\1")

_SEPARATOR: Final = r" ?[._/\\|~*,:-] ?| {1,3}"
_GROUPS: Final = re.compile(
    rf"(?<![A-Za-z0-9])[0-9]{{1,6}}(?P<separator>{_SEPARATOR})[0-9]{{1,6}}(?:(?P=separator)[0-9]{{1,6}})++(?![A-Za-z0-9])"
)
_GROUPS_GATE: Final = re.compile(
    # Phone numbers and dates with usual separators are the common case, and need no view.
    r"[0-9](?:( ?[_/\\|~*,:] ?| [.-] )[0-9]{1,6}\1[0-9]|(?<![0-9].)([ .-]{1,3})[0-9]\2[0-9]\2[0-9](?![0-9])"
    r"|([ .-])[0-9]{2}\3[0-9]{2}\3[0-9]{2}(?![0-9])|[0-9]{3}\.[0-9]{4,6}\.[0-9]{4,5})"
)
_ONE_BY_ONE: Final = re.compile(r"(?<![A-Za-z0-9])[0-9](?:[ ._/\\|~*,:-]{1,3}[0-9](?![0-9])){12,18}+(?![A-Za-z0-9])")
_PHONES: Final = ((3, 3, 4), (1, 3, 3, 4))
_SOCIAL_SECURITY: Final = (3, 2, 4)
_CARD: Final = (4, 4, 4, 4)
_FOUND_AS_THEY_ARE: Final = frozenset((" ", "-", "."))
"""Separators that the recognisers know in phone and social security numbers; in cards all but the dot."""

_CARD_DIGITS: Final = range(13, 20)
_NUMBER_DIGITS: Final = range(9, 13)
"""Digits of a phone or social security number: fewer are found in no recogniser without their separators."""

_COUNTING: Final = "0123456789" * 3

_DIGIT_WORDS: Final = {
    **dict(zip("zero one two three four five six seven eight nine".split(), "0123456789", strict=True)),  # noqa: SIM905
    "oh": "0",
    "o": "0",
    "nought": "0",
    "dash": "-",
    "hyphen": "-",
}
_DIGIT_WORD: Final = r"zero|one|two|three|four|five|six|seven|eight|nine|oh|o|nought"
_SPELLED: Final = re.compile(
    rf"(?<![A-Za-z0-9])(?:(?:double|triple)[ -])?(?:{_DIGIT_WORD})"
    rf"(?:[\s,.-]{{1,3}}(?:(?:double|triple)[ -])?(?:{_DIGIT_WORD}|dash|hyphen|[0-9]{{1,4}})(?![A-Za-z0-9])){{4,}}+",
    re.IGNORECASE,
)
_SPELLED_ITEM: Final = re.compile(r"(?:(double|triple)[ -])?([A-Za-z]+|[0-9])", re.IGNORECASE)
_SPELLED_GATE: Final = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "zero")
_SPELLED_PAIR: Final = re.compile(rf"(?:{_DIGIT_WORD})[\s,.-]{{1,3}}(?:(?:double|triple)[ -])?(?:{_DIGIT_WORD}|[0-9])")

_AT: Final = re.compile(
    r"(?P<bracketed>\s{0,3}(?:[\[({<]{1,2}\s{0,2}(?:at|@)\s{0,2}[\])}>]{1,2}|(?<=[A-Za-z0-9])[_-]at[_-](?=[A-Za-z0-9]))\s{0,3})"
    r"|(?P<sign>\s{1,3}@\s{1,3}|@\s{0,3})|(?P<bare>\s{1,3}at\s{1,3})",
    re.IGNORECASE,
)
_WORDED_DOT: Final = (
    r"\s{0,3}[\[({<]{1,2}\s{0,2}(?:dot|d0t|\.|punkt|punto|point)\s{0,2}[\])}>]{1,2}\s{0,3}|\s{1,3}(?:dot|d0t)\s{1,3}"
    r"|(?<=[A-Za-z0-9])[_-]dot[_-](?=[A-Za-z0-9])"
)
_DOT: Final = re.compile(rf"{_WORDED_DOT}|\s?\.\s?", re.IGNORECASE)
_LABEL: Final = r"[A-Za-z0-9][A-Za-z0-9-]{0,62}"
_LOCAL_BEFORE: Final = re.compile(
    rf"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_%+-]{{1,64}}(?:(?:{_WORDED_DOT}|\.)[A-Za-z0-9_%+-]{{1,64}}){{0,4}}\Z",
    re.IGNORECASE,
)
_LOCAL_CHARS: Final = 90
_DOMAIN_AFTER: Final = re.compile(
    rf"(?P<labels>(?:{_LABEL}(?:{_WORDED_DOT}|\s?\.\s?)){{1,4}})(?P<tld>[A-Za-z]{{2,24}})(?![A-Za-z0-9-]|\s?@)",
    re.IGNORECASE,
)
_WORDED_ONLY: Final = re.compile(_WORDED_DOT, re.IGNORECASE)
_AT_GATE: Final = re.compile(r"at(?:\s{0,2}[)\]}>]|(?<=[_-]at)[_-])")
_SIGN_GATE: Final = re.compile(r"@[\s\])}>]")

_COMMON_TLDS: Final = frozenset(
    (
        *("com", "org", "net", "edu", "gov", "mil", "int", "io", "co", "ai", "dev", "app", "me", "info", "biz", "xyz"),
        *("uk", "de", "fr", "es", "it", "nl", "eu", "us", "ca", "au", "in", "jp", "cn", "br", "ru", "ch", "at", "be"),
        *("se", "no", "dk", "fi", "pl", "ie", "nz", "mx", "kr", "za", "pt", "gr", "cz", "tv"),
    )
)
_PROVIDERS: Final = (
    "gmail",
    "googlemail",
    "yahoo",
    "hotmail",
    "outlook",
    "icloud",
    "aol",
    "protonmail",
    "proton",
    "gmx",
    "live",
)
_PROVIDERS_GATE: Final = re.compile(rf" at (?:{'|'.join(_PROVIDERS)})")
_NO_LOCALS: Final = frozenset(
    (
        *(
            "a",
            "account",
            "accounts",
            "address",
            "am",
            "and",
            "are",
            "arrive",
            "available",
            "be",
            "been",
            "buy",
            "check",
        ),
        *(
            "found",
            "go",
            "he",
            "her",
            "here",
            "him",
            "hosted",
            "i",
            "is",
            "it",
            "just",
            "look",
            "looking",
            "me",
            "meet",
        ),
        *("not", "now", "of", "online", "or", "out", "page", "read", "see", "she", "shop", "site", "that", "them"),
        *(
            "there",
            "they",
            "this",
            "to",
            "up",
            "us",
            "visit",
            "was",
            "we",
            "website",
            "were",
            "work",
            "worked",
            "working",
        ),
        *("works", "you", "login", "inbox", "today"),
    )
)
"""Words before "at" that are no names of mailboxes."""


def suspicious(text: str) -> bool:
    """Whether a text may hold any of it; most texts are done after a few look-ups."""
    lowered = text.lower()
    return (
        _APART_GATE.search(text) is not None
        or _GROUPS_GATE.search(text) is not None
        or _SEPARATED_GATE.search(text) is not None
        or "dot" in lowered
        or _AT_GATE.search(lowered) is not None
        or _PROVIDERS_GATE.search(lowered) is not None
        or ("@" in text and _SIGN_GATE.search(text) is not None)
        or (any(map(lowered.__contains__, _SPELLED_GATE)) and _SPELLED_PAIR.search(lowered) is not None)
    )


def apart(text: str) -> Iterator[Rewrite]:
    """`j o h n @ e x a m p l e . c o m`: single characters with the same gap between each; another gap is a space."""
    for match in _APART.finditer(text):
        characters = _GAP.sub("", match[0])
        number = "".join(filter(str.isdigit, characters))
        if not characters.strip("0123456789.,-()/+") and not _is_number(number):
            continue
        gaps = [gap.span() for gap in _GAP.finditer(text, *match.span())]
        common = Counter(end - start for start, end in gaps).most_common(1)[0][0]
        address = "@" in characters
        one_more = _ends_address(characters[:-1]) and not _ends_address(characters)
        for start, end in gaps:
            turn = text[start - 1].isdigit() != text[end].isdigit() and (text[start - 1] + text[end]).isalnum()
            apart = end - start != common or (turn and not address) or (one_more and end == match.end() - 1)
            yield start, end, " " if apart else ""


def _ends_address(characters: str) -> bool:
    return "@" in characters and characters.rpartition(".")[2].lower() in _COMMON_TLDS


def separated(text: str) -> Iterator[Rewrite]:
    """`j-o-h-n-@-e-x-a-m-p-l-e-.-c-o-m`: single characters with one and the same sign between each."""
    for match in _SEPARATED.finditer(text):
        joined = match[0][::2]
        if "@" in joined or (joined.isdigit() and _is_number(joined)):
            for at in range(match.start() + 1, match.end(), 2):
                yield at, at + 1, ""


def grouped(text: str) -> Iterator[Rewrite]:
    """`4111_1111_1111_1111`, `212/555/0199`, `4.1.1.1.…`: numbers of a known shape with unknown separators."""
    for match in _GROUPS.finditer(text):
        separator = match["separator"]
        groups = match[0].split(separator)
        lengths = tuple(map(len, groups))
        digits = "".join(groups)
        if (lengths in _PHONES or lengths == _SOCIAL_SECURITY) and separator not in _FOUND_AS_THEY_ARE:
            between = "-"
        elif lengths == _CARD and separator in " -":
            continue
        elif len(set(lengths)) == 1 or lengths in ((4, 6, 5), (4, 4, 4, 4, 3)):
            if not (_is_card(digits) or (lengths[0] == 1 and _is_number(digits))):
                continue
            between = ""
        else:
            continue
        at = match.start()
        for length in lengths[:-1]:
            at += length
            yield at, at + len(separator), between
            at += len(separator)


def one_by_one(text: str) -> Iterator[Rewrite]:
    """`4.1.1.1 1.1.1.1 …`: the digits of a card with whatever between each."""
    for match in _ONE_BY_ONE.finditer(text):
        if _is_card("".join(filter(str.isdigit, match[0]))):
            for gap in re.finditer(r"[^0-9]+", match[0]):
                yield match.start() + gap.start(), match.start() + gap.end(), ""


def spelled(text: str) -> Iterator[Rewrite]:
    """`five five five one two …`: seven or more digits of which at least five are words."""
    for match in _SPELLED.finditer(text):
        items = [item for item in _SPELLED_ITEM.finditer(text, *match.span()) if item[2].isdigit() or _digit(item)]
        digits = "".join(_digit(item) for item in items)
        bare = digits.replace("-", "")
        if len(bare) < 7 or bare in _COUNTING or bare in _COUNTING[::-1]:
            continue
        made = [(_digit(item), item.start(), item.end()) for item in items]
        if bare == digits and len(bare) == sum(_SOCIAL_SECURITY) == len(made):
            made = [*made[:3], ("-", *made[2][1:]), *made[3:5], ("-", *made[4][1:]), *made[5:]]
        yield match.start(), match.end(), made


def worded(text: str) -> Iterator[Rewrite]:
    """`john [at] example [dot] com`, `john at example dot com`, `john @ example . com`."""
    done = 0
    for sign in _AT.finditer(text):
        local = _LOCAL_BEFORE.search(text, max(done, sign.start() - _LOCAL_CHARS), sign.start())
        domain = _DOMAIN_AFTER.match(text, sign.end())
        if local is None or domain is None or not _is_address(local[0], str(sign.lastgroup), domain):
            continue
        for dot in _DOT.finditer(text, *local.span()):
            yield dot.start(), dot.end(), "."
        yield sign.start(), sign.end(), "@"
        for dot in _DOT.finditer(text, *domain.span()):
            yield dot.start(), dot.end(), "."
        done = domain.end()


def _is_address(local: str, sign: str, domain: re.Match[str]) -> bool:
    tld, labels = domain["tld"], domain["labels"]
    in_words = _WORDED_ONLY.search(labels) is not None
    if sign == "bracketed":
        return in_words or " " not in labels or tld in _COMMON_TLDS
    if sign == "sign":
        return (tld.lower() if in_words else tld) in _COMMON_TLDS
    if tld.lower() not in _COMMON_TLDS or local.lower() in _NO_LOCALS:
        return False
    return in_words or labels.rstrip(" .").lower() in _PROVIDERS


def _digit(item: re.Match[str]) -> str:
    """The digit, or digits, of a word with its "double" or "triple"; "" for another word."""
    digit = item[2] if item[2].isdigit() else _DIGIT_WORDS.get(item[2].lower(), "")
    return digit * {"double": 2, "triple": 3}.get((item[1] or "").lower(), 1)


def _is_number(digits: str) -> bool:
    """Whether digits that stood apart may be a card, a phone or a social security number, and no table or count."""
    if len(digits) in _CARD_DIGITS:
        return _is_card(digits)
    return (
        len(digits) in _NUMBER_DIGITS
        and len(set(digits)) > 3
        and digits not in _COUNTING
        and digits not in _COUNTING[::-1]
        and set(digits) != set("123456789")  # a row of a sudoku
    )


def _is_card(digits: str) -> bool:
    """The Luhn checksum (ISO/IEC 7812-1), the length and the first digit of a payment card."""
    if len(digits) not in _CARD_DIGITS or digits[0] not in "3456" or len(set(digits)) == 1:
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0
