"""Values after a word that says what they are: passwords, and keys and tokens of no known format.

A word such as "password" is followed by the rest of its name (`_prod`), by a separator (`=`, `:`, "is", a header's
colon, a table's bar) and by the value. What the value has to look like depends on the word and on the separator: after
`password=` anything but a template or code, in prose something that no English word is, for keys and tokens what may
have been drawn at random.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from streams.redaction import Finding
from streams.redaction.secrets import headers
from streams.redaction.secrets.shapes import looks_random, templated

_TRIGGERS: Final = (
    *(
        "pass",
        "pwd",
        "key",
        "secret",
        "token",
        "cred",
        "auth",
        "sess",
        "jwt",
        "sid=",
        "sid:",
        "pw:",
        "pw=",
        "bearer",
        "basic ",
    ),
    *("cookie", "heroku", "cloudfl", "datadog", "kennwort", "contrase", "senha", "curl ", "mnemonic", "phrase"),
)
_OTHER_SCRIPTS: Final = ("пароль", "密码", "密碼", "パスワード", "비밀번호")

_WORD: Final = re.compile(
    # At a trigger.
    r"(?P<password>pass(?:word|wd|phrase|code|wort)s?|(?<=mot de )passe|pwd|kennwort|contrase(?:ñ|n)a|(?<![a-z])senha"
    r"|(?<![a-z])pw(?=[:=])|(?<![a-z])pass(?=[\"'_\s]{0,2}[:=])|пароль|密码|密碼|パスワード|비밀번호)"
    r"|(?P<key>secret[_\s.-]{0,2}access[_\s.-]{0,2}key|secret[_\s.-]{0,2}keys?|keys?(?:[_\s-]?id)?"
    r"|(?<![a-z])(?:heroku|cloudflare|datadog))"
    r"|(?P<token>tokens?|jwt|(?<![a-z])sess(?:ion)?[_-]?(?:id|key)|sessid|session|sid(?=[:=])|authorization"
    r"|(?<![a-z])auth(?=[\"']?\s?[:=])|credentials?)"
    r"|(?P<secret>secrets?)"
)
_KEY_OF: Final = re.compile(
    r"(?:api|access|secret|private|auth|subscription|encryption|signing|account|master|service|app|application|client|storage"
    r"|shared|licen[cs]e|admin|deploy|webhook|consumer|session|server|project|integration|personal)[_\s.-]{0,2}\Z|_\Z"
)
"""What stands before "key" or "secret" where it is one of a service's."""

_KEY_OF_CHARS: Final = 16

_TAIL: Final = re.compile(
    r"(?P<name>[A-Za-z0-9_.\[\]-]{0,32})(?:\\{0,3}[\"'`]|\*\*|\]|\)){0,3}"
    r"(?:\s?\([^()\n]{1,40}\))?(?:\s(?:for|to|of|on|at|in|here)\b[^\n:=]{0,40}?)?"
    r"(?P<separator>\s{0,8}(?::=|=>|={1,3}|:|：|->|→)(?:\s{0,3}\|)?|\s{1,2}[-–—]{1,2}(?=\s)|\s{1,3}(?:is|was|are|ist|est|es|é)\b(?:\s{0,2}[:=])?|\s?[是为為は]\s?"
    r"|\s{0,40}\|)(?P<gap>\s{0,40})(?P<quote>\\{0,3}[\"'`]|\*\*|[“«‘])?",
    re.IGNORECASE,
)
_OF_NO_VALUE: Final = re.compile(
    r"(?:.*[A-Za-z0-9])?[_-]?(?:name|ref|type|field|length|len|count|hint|policy|url|uri|path|file|limit|expiry|regex)s?",
    re.IGNORECASE,
)
_FLAG: Final = re.compile(r"(?P<name>)(?P<separator>\s{1,3}|=)(?P<gap>)(?P<quote>[\"'])?(?=[^\s-])")
_BESIDE: Final = re.compile(r"(?P<name>)(?P<separator>\s{1,2})(?P<gap>)(?P<quote>[\"'`])?(?=\S)")
_XML: Final = re.compile(r"[A-Za-z0-9_.-]{0,32}>([^<>\n\0]{3,256})</")

_CLOSING: Final = {"“": "”", "«": "»", "‘": "’"}
_LONGEST: Final = 512
"""Characters of a value. A longer one is covered to there and is mostly no secret but a document."""

_BARE: Final = re.compile(rf"\S{{1,{_LONGEST}}}+")
_NEXT_FIELD: Final = re.compile(
    # One class first, so that the search skips to it.
    r"[,;&\\\"'`<](?:(?<=[,;&])[\s\"']{0,4}[A-Za-z_][\w .-]{0,30}\\?[\"']?\s{0,2}[:=]"
    r"|(?<=\\)[nr]|(?<=[\"'`])\s?[)}\],]|(?<=<)/)"
)
_AROUND: Final = ".,;:)]}>\"'`*|”»’\\"
_END_OF_FIELD: Final = re.compile(r"[\"'`*.)}\]!]{0,3}\s{0,4}(?:[,;|}\n\r]|\\[nr]|$|(?:and|for|to)\s)")

_SAID_OF_SECRETS: Final = """
2fa above aes-256 aes256 also and any anything argon2 argon2id bad base64 bcrypt below blank bool boolean broken bytes
case changed char class column compromised confidential const correct def different easy email empty encrypted
everything expired false field file final fine forgotten from function gone good hard hash hashed here hidden http
https id import important incorrect input int invalid just key label leaked let long lost md5 missing my n/a name
necessary needed new nil no none not null oauth2 object off okay on only optional passwd password pbkdf2 personal
private protected public pwd required reset return safe same secret secure self set sha-256 sha-512 sha1 sha256 sha512
short simple someone something static stolen stored str string strong tbd text that the this token too true type
undefined unknown user username users utf-8 utf8 value values var varchar very visible weak what working wrong yes
your
"""
_NOT_VALUES: Final = frozenset(_SAID_OF_SECRETS.split())
"""What is said about a secret, or stands in code where its value would."""

_UNITS: Final = re.compile(
    r"\s{0,2}(?:-|–)?\s?(?:characters?|chars?|digits?|letters?|symbols?|words?|attempts?|times?|minutes?|mins?|hours?|days?|"
    r"years?|months?|weeks?|bits?|bytes?|people|users|or more|or fewer|of the|%)",
    re.IGNORECASE,
)
_CODE: Final = re.compile(
    r"[A-Za-z_$][\w$]*(?:(?:\.|->|::|\?\.)[A-Za-z_$][\w$]*)*\s?(?:\(|\[)|[a-z_$][\w$]*(?:(?:\.|->|::|\?\.)[A-Za-z_$][A-Za-z_$]*)+\W*$"
    r"|&?\$[a-z_]\w*\W*$|[a-z]{3,8}:/{2}"
)
_OWNED: Final = re.compile(r"\b(?:my|our|his|her|their|your|the)\b[^.\n]{0,24}$", re.IGNORECASE)
_END_OF_SENTENCE: Final = re.compile(r"[\"'.!]{0,2}\s{0,4}(?:[,;\n\r]|$|(?<=[.!\s])[A-Z])")
_NUMBERS: Final = re.compile(r"\d+(?:[-–:/.,]\d+)+|\d{1,3}[%+]?")
_ENDINGS: Final = ("ed", "ing", "able", "ible", "ful", "less", "ly", "'t", "’t")
_SYMBOL: Final = re.compile(r"(?<=\w)[@#$%^&*!?=+~](?=\S)|[@#$%^*!?=+~]$|^[@#$%^&*!]")
_DIGIT: Final = re.compile(r"[0-9]")
_LETTER: Final = re.compile(r"[^\W\d_]")

RULES: Final = (
    *(pattern.pattern for pattern in (_WORD, _KEY_OF, _TAIL, _OF_NO_VALUE, _FLAG, _BESIDE, _XML, _NEXT_FIELD)),
    *(pattern.pattern for pattern in (_END_OF_FIELD, _OWNED, _END_OF_SENTENCE, _UNITS, _CODE, _NUMBERS, _SYMBOL)),
    *sorted(_NOT_VALUES),
    *_TRIGGERS,
    *headers.RULES,
)


class _Value(NamedTuple):
    """A value in its place: characters [start, end) of the text, and what came between it and its word."""

    text: str
    start: int
    end: int
    separator: str
    gap: str
    quoted: bool

    @property
    def value(self) -> str:
        return self.text[self.start : self.end]

    @property
    def assigned(self) -> bool:
        """Whether code, a header or a form gave it, and not a sentence."""
        return "=" in self.separator or self.quoted

    @property
    def in_prose(self) -> bool:
        return self.separator.strip()[:1].isalpha() or not self.separator.strip()

    def last_in_field(self) -> bool:
        return _END_OF_FIELD.match(self.text, self.end) is not None


def found(text: str, lowered: str) -> Iterator[Finding]:
    """Findings in a text; `lowered` is the text in lower case, character by character."""
    if "AKIA" in text or "ASIA" in text:
        yield from headers.aws_secrets(text)
    triggers = [trigger for trigger in _TRIGGERS if trigger in lowered]
    if not text.isascii():
        triggers += [trigger for trigger in _OTHER_SCRIPTS if trigger in lowered]
    if not triggers:
        return
    yield from _worded(text, lowered, triggers)
    yield from headers.found(text, lowered, triggers)


def _words(text: str, lowered: str, triggers: list[str]) -> Iterator[tuple[str, str, int]]:
    """The words at triggers, in order: the kind, the word with what stands before it, and where it ends."""
    hits: list[int] = []
    for trigger in triggers:
        at = lowered.find(trigger)
        while at >= 0:
            hits.append(at)
            at = lowered.find(trigger, at + len(trigger))
    for at in sorted(hits):
        if (match := _WORD.match(lowered, at)) is None:
            continue
        kind, word = str(match.lastgroup), match[0]
        if word.startswith(("key", "secret")):
            start = max(0, at - _KEY_OF_CHARS)
            of = _KEY_OF.search(lowered[start:at])
            if of is not None:
                kind, word = "key", of[0] + word
            elif word.startswith("key"):
                continue
        following = text[match.end() : match.end() + 1]
        if "a" <= following <= "z" and kind != "password":
            continue  # tokenizer, secretary, keyboard
        yield kind, word, match.end()


def _worded(text: str, lowered: str, triggers: list[str]) -> Iterator[Finding]:
    done = 0
    for kind, word, end in _words(text, lowered, triggers):
        start = end - len(word)
        if start < done:
            continue
        if ">" in text[end : end + 33] and (xml := _XML.match(text, end)) is not None:
            value = _Value(text, *xml.span(1), "=", "", True)
            if (score := _score(kind, value)) is not None:
                done = value.end
                yield Finding(_type(kind, word), value.start, value.end, score, f"secrets:{kind}-element")
                continue
        for value in _values(text, start, end, kind):
            if (score := _score(kind, value)) is not None:
                done = value.end
                yield Finding(_type(kind, word), value.start, value.end, score, f"secrets:{kind}")
                break


def _type(kind: str, word: str) -> str:
    if kind == "token":
        return "ACCESS_TOKEN"
    if kind == "key":
        return "PRIVATE_KEY" if word.startswith("private") and not word.endswith("id") else "API_KEY"
    return "PASSWORD"


def _values(text: str, word_start: int, word_end: int, kind: str) -> Iterator[_Value]:
    """What may be the value of a word: after a separator, after a command's flag, or right beside it."""
    tails = [_TAIL.match(text, word_end)]
    if text[max(0, word_start - 20) : word_start].rpartition(" ")[2].startswith("-"):
        tails.append(_FLAG.match(text, word_end))
    elif kind in ("password", "key"):
        tails.append(_BESIDE.match(text, word_end))
    for tail in tails:
        if tail is None or _OF_NO_VALUE.fullmatch(tail["name"] or ""):
            continue
        start, quote = tail.end(), tail["quote"] or ""
        closing = _closing(text, start, quote) if quote else -1
        if closing > start and "\n" not in text[start:closing]:
            yield _Value(text, start, closing, tail["separator"], tail["gap"], True)
        elif (bare := _BARE.match(text, start)) is not None:
            cut = _NEXT_FIELD.search(text, start, bare.end() + 40)
            end = min(bare.end(), cut.start()) if cut else bare.end()
            value = text[start:end].rstrip(_AROUND)
            yield _Value(text, start, start + len(value), tail["separator"], tail["gap"], False)


def _closing(text: str, start: int, quote: str) -> int:
    """Where a quoted value ends, -1 if that is too far away. A quote after a backslash is part of the value."""
    closing = text.find(_CLOSING.get(quote, quote), start, start + _LONGEST)
    while closing > start and len(quote) == 1 and text[closing - 1] == "\\":
        closing = text.find(quote, closing + 1, start + _LONGEST)
    return closing


def _score(kind: str, value: _Value) -> float | None:
    """How sure it is that a value is a secret, None if it is none."""
    if not value.value or templated(value.value):
        return None
    if kind == "password":
        return _password(value)
    if kind == "secret":
        return _secret(value)
    return _token(value)


def _token(value: _Value) -> float | None:
    if len(value.value) < 12 or not looks_random(value.value, 1 if value.assigned else 2):
        return None
    if not value.separator.strip() and len(value.value) < 20:
        return None
    return 0.85 if value.assigned or ":" in value.separator else 0.75


def _secret(value: _Value) -> float | None:
    written = value.value
    if _is_word_or_code(value) or any(character.isspace() for character in written) or len(written) < 6:
        return None
    mixed = bool(_DIGIT.search(written) and _LETTER.search(written))
    if value.assigned:
        return 0.8 if mixed or (len(written) >= 8 and value.quoted) else None
    return 0.7 if mixed and not _NUMBERS.fullmatch(written) and not value.in_prose else None


def _password(value: _Value) -> float | None:
    written = value.value
    if len(written) < 4 or _is_word_or_code(value):
        return None
    symbol, digit = _SYMBOL.search(written) is not None, _DIGIT.search(written) is not None
    if not value.separator.strip():  # right beside the word, or after a flag
        strong = digit and _LETTER.search(written) is not None and len(written) >= 6
        return 0.65 if strong and not _NUMBERS.fullmatch(written) else None
    if value.in_prose:
        if digit or symbol or value.quoted:
            return 0.75 if not _UNITS.match(value.text, value.end) else None
        return 0.6 if _said_plainly(value) else None
    if value.assigned:
        return 0.9
    if digit or symbol:
        return 0.85 if not _UNITS.match(value.text, value.end) else None
    single = value.last_in_field() and "\n" not in value.gap and not written.lower().endswith(_ENDINGS)
    return 0.7 if single else None


def _said_plainly(value: _Value) -> bool:
    """Whether a sentence ends in a plain word after "my password is"."""
    written = value.value
    before = value.text[max(0, value.start - 60) : value.start]
    return (
        len(written) >= 5
        and written.isalpha()
        and not written.lower().endswith(_ENDINGS)
        and _OWNED.search(before) is not None
        and _END_OF_SENTENCE.match(value.text, value.end) is not None
    )


def _is_word_or_code(value: _Value) -> bool:
    """Whether a value is a word that is said about secrets, a number of something, or an expression."""
    written = value.value
    lowered = written.lower()
    first = re.split(r"[|,.;:!?/)]", lowered, maxsplit=1)[0]
    if lowered in _NOT_VALUES or first in _NOT_VALUES or lowered.startswith(("http://", "https://", "www.")):
        return True
    if (
        not value.assigned
        and (_NUMBERS.fullmatch(written) or _UNITS.match(value.text, value.end))
        and not written.isdigit()
    ):
        return True
    if value.quoted:
        return False
    if _CODE.match(written) or value.text[value.end : value.end + 1] == "(":
        return True
    spaced = value.separator[:1].isspace() and "=" in value.separator
    letters_only = not _DIGIT.search(written) and not _SYMBOL.search(written)
    return letters_only and (("pass" in lowered or "pwd" in lowered) or spaced) and "=" in value.separator
