"""Personal data: what was found and may not even have been there, and what is still there.

The second look has other means than the redactor, and fewer: formats that can hardly be anything else, as a sample is
dropped for each. What the redaction policy leaves in a text on purpose is not looked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from schemas.outcomes import GateOutcome
from schemas.reasons import Reason
from streams.gates import Candidate, Gate
from streams.redaction import placeholders
from streams.redaction.policy import Action, Policy


class BarredPii(Gate):
    """Drops what held one of the types that the redaction policy bars, redacted or not."""

    name = "pii"
    family = "safety"
    unit = "findings, taken out"

    def __init__(self, barred: frozenset[str]) -> None:
        self._barred = barred
        self.wants = f"none of {', '.join(sorted(barred))}" if barred else "any, none is barred"

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`. The detail has the barred types."""
        pii = sample.normalised.joined.pii
        there = self._barred & pii.keys()
        if there:
            return self.outcome(float(sum(pii.values())), Reason.PII_BARRED, ", ".join(sorted(there)))
        return self.outcome(float(sum(pii.values())))


class ResidualPii(Gate):
    """Drops what still looks like personal data or a secret, in prompt, answer, rejected answer and feedback."""

    name = "residual_pii"
    family = "safety"
    unit = "findings, still there"
    wants = "none"

    def __init__(self, redaction: Policy) -> None:
        """`redaction` says which types stay in a text on purpose."""
        left = (Action.KEEP, Action.SURROGATE)
        self._looks = [
            (kind, look, in_numbers)
            for kind, (types, look, in_numbers) in _KINDS.items()
            if not any(redaction.action(type_) in left for type_ in types)
        ]

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`. The detail has the kinds."""
        text = "\n".join(_texts(sample))
        if "<" in text:
            text = placeholders.ANY.sub("\0", text)
        numbers = _LONG_NUMBER.search(text) is not None
        found = {
            kind: count
            for kind, look, in_numbers in self._looks
            if (numbers or not in_numbers) and (count := len(look(text)))
        }
        if found:
            return self.outcome(float(sum(found.values())), Reason.PII_RESIDUAL, ", ".join(found))
        return self.outcome(0.0)


def _texts(sample: Candidate) -> Iterator[str]:
    normalised = sample.normalised
    yield sample.prompt
    yield sample.output
    if normalised.rejected_output is not None:
        yield normalised.rejected_output
    for held in normalised.joined.scores:
        if held.score.text is not None:
            yield held.score.text
    for message in normalised.messages:
        for call in message.tool_calls:
            yield call.arguments


# --- what is looked for; every pattern is bounded, so that the time grows with the length of the text ---

_AT: Final = re.compile(r"[\w+%-]@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w@])")
_RESOLUTION: Final = re.compile(r"@[0-9]x\.")
"""`logo@2x.png` is a file."""

_LONG_NUMBER: Final = re.compile(r"\d[0-9 .()/-]{6}")
"""What a text has anywhere that holds a phone, card, account or social security number."""

_PHONE: Final = re.compile(
    r"(?<![\w.+])(?:\+[1-9]\d{0,2}(?:[ .()/-]{0,2}\d){7,12}|\([2-9]\d\d\) ?\d{3}[-. ]\d{4}|[2-9]\d\d([-.])\d{3}\1\d{4})"
    r"(?![\w-])"
)
"""With a country's code, or as in North America with area code and separators."""

_CARD: Final = re.compile(
    r"(?<![\w.-])[2-6](?:\d{12,18}|\d{3}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{3}([ -])\d{6}\2\d{5})(?![\w-])"
)
"""ISO/IEC 7812-1: networks of payment cards begin with 2 to 6."""

_IBAN: Final = re.compile(r"(?<!\w)[A-Z]{2}\d\d(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")
_SSN: Final = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])")

_SECRETS: Final = {
    "-": {
        "sk-": r"sk-[\w-]{20,}",
        "glpat-": r"glpat-[\w-]{18,}",
        "xox": r"xox[abeprs]-[\w-]{10,}",
        "-----BEGIN": r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY",
    },
    "_": {
        "sk_live_": r"sk_live_\w{16,}",
        "ghp_": r"ghp_\w{30,}",
        "github_pat_": r"github_pat_\w{30,}",
        "hf_": r"hf_[A-Za-z0-9]{30,}",
    },
    "A": {"AKIA": r"AKIA[A-Z0-9]{16}", "AIza": r"AIza[\w-]{30,}"},
    "eyJ": {"eyJ": r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\."},
}
"""What keys and tokens begin with and how they go on, by a sign that the text then has anywhere."""

_SECRET_PATTERNS: Final = [
    (sign, [(prefix, re.compile(rf"(?<![\w-]){pattern}")) for prefix, pattern in patterns.items()])
    for sign, patterns in _SECRETS.items()
]


_Look = Callable[[str], Sequence[object]]


def _emails(text: str) -> Sequence[object]:
    if "@" not in text:
        return ()
    return [match for match in _AT.finditer(text) if not _RESOLUTION.match(match[0], 1)]


def _each(pattern: re.Pattern[str], is_one: Callable[[str], bool] = bool) -> _Look:
    return lambda text: [match for match in pattern.finditer(text) if is_one(match[0])]


def _is_card(run: str) -> bool:
    """ISO/IEC 7812-1, annex B: the check digit."""
    digits = [int(char) for char in run if char.isdecimal()]
    doubled = (digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(reversed(digits)))
    return len(set(digits)) > 1 and sum(doubled) % 10 == 0


def _is_iban(run: str) -> bool:
    """ISO 13616: 97 divides it with a remainder of 1, letters as numbers from 10 on."""
    plain = run.replace(" ", "")
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def _secrets(text: str) -> Sequence[object]:
    likely = [
        pattern for sign, patterns in _SECRET_PATTERNS if sign in text for prefix, pattern in patterns if prefix in text
    ]
    return [match for pattern in likely for match in pattern.finditer(text)] if likely else ()


_KINDS: Final[dict[str, tuple[tuple[str, ...], _Look, bool]]] = {
    "email": (("EMAIL_ADDRESS",), _emails, False),
    "phone": (("PHONE_NUMBER",), _each(_PHONE), True),
    "card": (("CREDIT_CARD",), _each(_CARD, _is_card), True),
    "iban": (("IBAN_CODE",), _each(_IBAN, _is_iban), True),
    "ssn": (("US_SSN",), _each(_SSN), True),
    "secret": (("API_KEY", "ACCESS_TOKEN", "PRIVATE_KEY"), _secrets, False),
}
"""What is looked for: the redactor's types for it, how, and whether it needs a long number."""
