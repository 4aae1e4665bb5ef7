"""Language: by the script of the text, and where several share one by their commonest words.

A look into a table a word, so that it costs next to nothing; enough for an answer of a sentence, not for two words.
"""

from __future__ import annotations

import re
from typing import Final

from schemas.curation import Profile
from schemas.outcomes import GateOutcome
from schemas.reasons import Reason
from streams.gates import Candidate, Gate, plain

_CHARS: Final = 400
"""So much of a text is looked at."""

_FEWEST_CHARS: Final = 60
"""To a shorter answer the question is added."""

_LEAST_CONFIDENCE: Final = 0.2
_LEAST_EVIDENCE: Final = 1.1
"""In words that only one language has; a word that three have is a third for each."""

_FOREIGN: Final = re.compile(r"[^\x00-\u024f\u1e00-\u1eff\u2000-\u206f\u20a0-\u2bff\ufe00-\ufe0f\U0001f000-\U0001faff]")
"""What is no Latin letter, general punctuation, symbol or emoji."""

_SCRIPTS: Final = (
    ("ja", "\u3040-\u30ff"),
    ("zh", "\u3400-\u4dbf\u4e00-\u9fff"),
    ("ko", "\u1100-\u11ff\uac00-\ud7af"),
    ("el", "\u0370-\u03ff"),
    ("cyrillic", "\u0400-\u052f"),
    ("hy", "\u0530-\u058f"),
    ("he", "\u0590-\u05ff"),
    ("arabic", "\u0600-\u06ff"),
    ("hi", "\u0900-\u097f"),
    ("bn", "\u0980-\u09ff"),
    ("pa", "\u0a00-\u0a7f"),
    ("gu", "\u0a80-\u0aff"),
    ("ta", "\u0b80-\u0bff"),
    ("te", "\u0c00-\u0c7f"),
    ("kn", "\u0c80-\u0cff"),
    ("ml", "\u0d00-\u0d7f"),
    ("th", "\u0e00-\u0e7f"),
    ("ka", "\u10a0-\u10ff"),
)
_SCRIPT_PATTERNS: Final = [(name, re.compile(f"[{span}]")) for name, span in _SCRIPTS]
_JAPANESE_SHARE: Final = 0.1
"""Kana among Han: so many make it Japanese."""

_COMMON: Final = {
    "en": "the and of to is are was you that it for with this have not be on i can what your how do if but they would "
    "there from about don't it's i'm which an or as by will their some has been i've i'd i'll you're you'd "
    "let's that's can't doesn't would could should think know good people just like want me my your yes "
    "help more any he she were them when where who why because",
    "de": "der die das und ist nicht ein eine zu den von mit sie auf für dem im ich es auch wie wird bei sind oder aus "
    "wenn nach werden kann haben einen diese dass über nur noch "
    "kein keine dieser "
    "dieses diese ihr ihre ihren muss müssen bitte sein wir mich haben hat war vom zum zur am um durch nicht mehr bis",
    "fr": "le la les des et est une un pas que dans pour vous qui sur ce je il au du ne avec par plus sont cette mais "
    "ou votre être c'est nous aux comme tout fait "
    "ces ses leur leurs elle ils peut doit même sans sous entre chaque tous toutes autre été avez était veuillez",
    "es": "el la los las de que y en un una es por con para no se del su al lo como más pero sus le está este son "
    "puede muy también usted ser si "
    "este esta estos estas cada todos todas todo sólo solo hay tiene pueden debe tu tus sin entre desde hasta ha",
    "it": "il la di che e un una per non è in con sono del della le si da i gli come anche più ma nel alla questo "
    "essere dei delle al può hai ho lo",
    "pt": "o a os as de que e em um uma não é para com por do da no na se mais como mas seu sua ao você são foi ou ser "
    "muito isso pode está dos das",
    "nl": "de het een en van is dat niet in op te met voor je zijn aan er ook maar om deze als bij kan naar uit wordt "
    "worden hebben heeft dit nog over",
    "sv": "och att det som en är på för av med den till inte har jag om ett men var kan du så från eller när också "
    "din alla ska "
    "denna detta dessa vid vad hur mycket bara bli blir vi ditt måste vara ha mig dig sig under mellan någon",
    "da": "og at det er en på til af for med ikke der den har jeg de som et var kan du så men fra eller når også din "
    "skal vil blev efter "
    "af denne dette disse hvis "
    "noget nogle være mig dig hvad hvordan meget kun blive bliver alle du vi dit have fejl skal må",
    "no": "og at det er en på til av for med ikke som den har jeg de et var kan du så men fra eller når også din skal "
    "vil ble etter noe "
    "av denne dette disse hvis noe noen være meg deg hva hvordan mye bare bli blir alle du vi ditt må kun feil",
    "fi": "ja on ei se että oli mutta ovat voi myös kun tai jos hän niin kuin sinä minä tämä olla joka ole mitä sekä "
    "vain ne "
    "tätä tämän ovat sen niitä joka jotka ovat eivät kanssa tulee pitää vähintään voit siitä nyt jo vielä",
    "pl": "i w nie na się z do to jest że o jak ale po co za od czy przez są dla może tak który być jego tym oraz lub "
    "aby jeśli",
    "cs": "a je se v na že to s z do o i jako ale pro jsou by který nebo k ve jeho může být jak po není také pokud jen",
    "sk": "a je sa v na že to s z do o aj ako ale pre sú by ktorý alebo k vo jeho môže byť po nie tiež ak len "
    "táto tento toto tieto bol bola bolo iba môžete musí svoje ich nemôže alebo pri prosím",
    "ro": "și de la în nu că pe cu este un o din mai pentru să sunt ce se care au fost sau dar poate acest prin fi "
    "dacă ca",
    "hu": "a az és hogy nem is egy van meg de ez csak azt mint már vagy ha volt kell lehet ezt akkor még nagyon mert "
    "fel ami "
    "ezek azok minden lesz vannak nincs legalább között után kérem által amely ki fel be vissza csak tud ezzel",
    "tr": "ve bir bu için ile da de çok ne var daha olarak gibi değil ama kadar mi en olan ben sen veya o nasıl "
    "şey her",
    "id": "yang dan di ini itu dengan untuk dari tidak dalam adalah anda pada ke akan saya bisa atau juga ada dapat "
    "oleh karena lebih sudah",
    "vi": "và của là có không được cho một trong với này những người để khi các đã tôi bạn từ như ở thì rất nếu",
    "ca": "el la els les de que i en un una és per amb no del al com més però són aquest aquesta també ser si o "
    "molt pot "
    "aquests aquestes amb els seus seva teu teva ha hi heu hauria pot poden ni cada tots totes sense fins des només",
}
_CYRILLIC: Final = {
    "ru": "и в не на что с как это по но из за от для то вы я бы у если или так же был есть его может быть "
    "эта этот эти все она они нет только уже когда чтобы при должно должны можно вы ваш без одно",
    "uk": "і в не на що з як це та до але від для ви я або якщо так був є його може бути про щоб "
    "ця цей ці всі вона вони немає тільки вже коли щоб при має можна ваш без не",
    "bg": "и в не на че с как това по но от за да се са е или ако ще си ви при много може като след "
    "тази този това тези всички тя те няма само вече когато за да трябва ваш без една бъде поне",
    "sr": "и у не на да је се са као то али од за или ако би су сам може бити све који "
    "ова овај ово сви она они нема само већ када при мора може ваш без треба једна није али",
}
_ARABIC: Final = {
    "ar": "في من على أن إلى هذا هذه التي ما لا هو مع عن كان",
    "fa": "در به از که این را با است برای آن یک هم می",
    "ur": "ہے کے میں کی کو سے اور یہ نہیں کا پر ہیں",
}
_LETTERS: Final = {
    "ß": "de", "ñ": "es", "¿": "es", "¡": "es", "ã": "pt", "õ": "pt", "ł": "pl", "ż": "pl", "ř": "cs", "ě": "cs",
    "ů": "cs", "ľ": "sk", "ĺ": "sk", "ș": "ro", "ț": "ro", "ő": "hu", "ű": "hu", "ğ": "tr", "ı": "tr", "ş": "tr",
    "đ": "vi", "ơ": "vi", "ư": "vi", "œ": "fr", "ø": "da no", "æ": "da no",
    "ы": "ru", "э": "ru", "ї": "uk", "є": "uk", "ґ": "uk", "ъ": "bg", "љ": "sr", "њ": "sr", "ђ": "sr", "ћ": "sr",
    "ј": "sr", "ة": "ar", "ژ": "fa", "پ": "fa ur", "چ": "fa ur", "گ": "fa ur", "ٹ": "ur",
    "ڈ": "ur", "ڑ": "ur", "ے": "ur",
}  # fmt: skip
"""Letters that hardly any other of these languages has."""


_ONE: Final = 420
"""Evidence of a word that one language has, of one that two have 210: whole numbers, whose sum has no order."""

_Table = dict[str, list[tuple[str, int]]]


def _table(owned: dict[str, list[str]]) -> _Table:
    """What each word or letter is evidence of, and how much."""
    return {word: [(code, _ONE // len(codes)) for code in codes] for word, codes in owned.items()}


def _words(common: dict[str, str]) -> _Table:
    owners: dict[str, list[str]] = {}
    for code, words in common.items():
        for word in sorted(set(words.split())):
            owners.setdefault(word, []).append(code)
    return _table(owners)


_LATIN_TABLE: Final = _words(_COMMON)
_OTHER_TABLES: Final = {"cyrillic": _words(_CYRILLIC), "arabic": _words(_ARABIC)}
_LETTER_TABLE: Final = _table({letter: codes.split() for letter, codes in _LETTERS.items()})


def detect(text: str) -> tuple[str | None, float]:
    """The language's ISO 639 code and a confidence in [0, 1]; None where it cannot be told.

    `text` is in lower case, with `'` for `’`.
    """
    foreign = [] if text.isascii() else _FOREIGN.findall(text)
    if foreign and len(foreign) * 3 > sum(map(str.isalpha, text)):
        return _by_script("".join(foreign), text)
    return _by_words(text, _LATIN_TABLE)


def _by_script(foreign: str, text: str) -> tuple[str | None, float]:
    counts = {name: len(pattern.findall(foreign)) for name, pattern in _SCRIPT_PATTERNS}
    if counts["ja"] > _JAPANESE_SHARE * counts["zh"]:
        counts["ja"] += counts["zh"]
        counts["zh"] = 0
    script = max(counts, key=counts.__getitem__)
    share = counts[script] / len(foreign)
    if not counts[script]:
        return None, 0.0
    if script not in _OTHER_TABLES:
        return script, share
    return _by_words(text, _OTHER_TABLES[script])


def _by_words(text: str, table: _Table) -> tuple[str | None, float]:
    """The language with the most evidence; confidence is how far ahead of the next it is, as a share."""
    seen = [table[word] for word in table.keys() & set(text.split())]
    if not text.isascii():
        seen += [_LETTER_TABLE[letter] for letter in _LETTER_TABLE.keys() & set(text)]
    evidence: dict[str, int] = {}
    for owners in seen:
        for code, weight in owners:
            evidence[code] = evidence.get(code, 0) + weight
    if not evidence:
        return None, 0.0
    most = max(evidence.values())
    code = min(code for code, weight in evidence.items() if weight == most)
    del evidence[code]
    confidence = 1 - max(evidence.values(), default=0) / most
    return code if most >= _LEAST_EVIDENCE * _ONE and confidence >= _LEAST_CONFIDENCE else None, confidence


class Language(Gate):
    """Tells an answer's language; drops one that the profile does not allow. What cannot be told passes."""

    name = "language"
    unit = "confidence"

    def __init__(self, profile: Profile) -> None:
        self._allowed = frozenset(profile.languages)
        self.wants = " or ".join(sorted(self._allowed)) or "any"

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`. The detail is the language's code."""
        text = sample.lowered[:_CHARS]
        if len(text) < _FEWEST_CHARS:
            text = f"{text} {plain(sample.normalised.instruction[:_CHARS])}"
        code, confidence = detect(text)
        barred = code is not None and self._allowed and code not in self._allowed
        return self.outcome(round(confidence, 4), Reason.LANGUAGE if barred else None, code)
