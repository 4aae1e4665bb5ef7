"""Fills templates with names from the gazetteer: texts with labelled spans, the same for the same seed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Final

from faker import Faker

from streams.redaction.names.training import lists
from streams.redaction.names.training.conll import Sentence
from streams.redaction.names.training.gazetteer import Gazetteer
from streams.redaction.names.training.templates import TEMPLATES

_SLOT: Final = re.compile(r"\{(\w+)\}")

_ADDRESS_LOCALES: Final = (
    *("en_US", "en_US", "en_US", "en_GB", "en_GB", "en_AU", "en_CA", "en_NZ", "en_IN", "en_IE", "en_PH"),
    *("de_DE", "de_AT", "de_CH", "fr_FR", "fr_CA", "fr_CH", "es_ES", "es_MX", "nl_NL", "sv_SE", "da_DK"),
    *("no_NO", "fi_FI", "pl_PL", "pt_BR", "pt_PT", "cs_CZ", "hu_HU"),
)
"""English ones more often; the others write streets before numbers and postcodes before cities.

Not it_IT: it reads a set, so that its values change with the interpreter's hash seed.
"""

_COMPANY_LOCALES: Final = (
    *("en_US", "en_US", "en_US", "en_GB", "en_PH", "de_DE", "fr_FR", "es_ES", "nl_NL", "sv_SE", "pl_PL"),
)

_ENGLISH: Final = ("en_US", "en_GB", "en_IE", "en_NZ")

_DOTTED: Final = {"Mr", "Mrs", "Ms", "Dr", "Prof", "Rev", "Capt", "Sgt", "Lt", "Col", "Gen", "Sen", "Gov", "Rep"}

_PARTICLES: Final = ("van", "de", "von", "van der", "al", "bin", "da", "di", "del", "Mc", "St.")

_PHONE_PARTS: Final = ((200, 999), (100, 999), (1000, 9999))

_PERSON: Final = "PERSON"
_PLACE: Final = "LOCATION"
_ORG: Final = "ORGANIZATION"


class Generator:
    """A stream of labelled sentences. `common` are lower-case words for the slots that hold no name."""

    def __init__(self, gazetteer: Gazetteer, common: list[str], seed: int) -> None:
        self._random = random.Random(seed)
        self._gazetteer = gazetteer
        self._common = common
        self._locales = sorted(set(gazetteer.given) & set(gazetteer.family))
        self._cities = [name for name, _ in gazetteer.cities]
        self._city_weights = [population**0.5 for _, population in gazetteer.cities]
        self._fakers: dict[str, Faker] = {}
        for index, locale in enumerate(sorted({*_ADDRESS_LOCALES, *_COMPANY_LOCALES})):
            self._fakers[locale] = Faker(locale)
            self._fakers[locale].seed_instance(seed * 1000 + index)
        self._slots: dict[str, tuple[str | None, Callable[[], str]]] = {
            "per": (_PERSON, self._person),
            "full": (_PERSON, self._full),
            "first": (_PERSON, self._first),
            "last": (_PERSON, self._last),
            "loc": (_PLACE, self._place),
            "city": (_PLACE, self._city),
            "country": (_PLACE, lambda: self._pick(gazetteer.countries)),
            "addr": (_PLACE, self._address),
            "org": (_ORG, self._organisation),
            "title": (None, self._title),
            "demonym": (None, lambda: self._pick(lists.DEMONYMS)),
            "date": (None, lambda: self._pick(lists.DATES)),
            "other": (None, lambda: self._pick(lists.OTHER)),
            "num": (None, self._number),
            "handle": (None, self._handle),
            "word": (None, lambda: self._pick(self._common)),
        }

    def sentences(self, count: int) -> Iterator[Sentence]:
        """`count` texts; one in five is two or three templates in a row, and casing varies as it does in chat."""
        for _ in range(count):
            lines = self._random.choice((1, 1, 1, 1, 2, 3))
            text = ""
            spans: list[tuple[int, int, str]] = []
            for _ in range(lines):
                if text:
                    text += self._pick((" ", " ", "\n", " - "))
                text = self._fill(self._pick(TEMPLATES), text, spans)
            yield self._cased(Sentence(text, tuple(spans)))

    def person(self) -> str:
        """Somebody, in one of the forms that people write."""
        return self._person()

    def place(self) -> str:
        """Somewhere."""
        return self._place()

    def organisation(self) -> str:
        """A company, an agency, a team or a band."""
        return self._organisation()

    def _fill(self, template: str, text: str, spans: list[tuple[int, int, str]]) -> str:
        end = 0
        for slot in _SLOT.finditer(template):
            text += template[end : slot.start()]
            kind, make = self._slots[slot.group(1)]
            value = make()
            if not text or text.endswith((". ", "\n", "! ", "? ")):
                value = value[:1].upper() + value[1:]
            if kind is not None:
                spans.append((len(text), len(text) + len(value), kind))
            text += value
            end = slot.end()
        return text + template[end:]

    def _cased(self, sentence: Sentence) -> Sentence:
        roll = self._random.random()
        text = sentence.text
        if roll < 0.25:
            changed = text.lower()
        elif roll < 0.29:
            changed = text.upper()
        elif roll < 0.31:
            changed = text.title()
        else:
            return sentence
        return sentence._replace(text=changed) if len(changed) == len(text) else sentence

    def _pick(self, values: list[str] | tuple[str, ...]) -> str:
        return values[int(self._random.random() * len(values))]

    def _locale(self) -> str:
        return self._pick(_ENGLISH) if self._random.random() < 0.45 else self._pick(self._locales)

    def _first(self) -> str:
        return self._pick(self._gazetteer.given[self._locale()])

    def _last(self) -> str:
        name = self._pick(self._gazetteer.family[self._locale()])
        return name if self._random.random() > 0.05 else f"{name}-{self._pick(self._gazetteer.family[self._locale()])}"

    def _full(self) -> str:
        if self._random.random() < 0.08:
            return self._pick(lists.FAMOUS)
        locale = self._locale()
        first = self._pick(self._gazetteer.given[locale])
        last = self._pick(self._gazetteer.family[locale])
        roll = self._random.random()
        letter = chr(65 + self._random.randrange(26))
        if roll < 0.75:
            return f"{first} {last}"
        if roll < 0.8:
            return f"{first} {letter}. {last}"
        if roll < 0.84:
            return f"{letter}. {last}"
        if roll < 0.87:
            return f"{letter}. {chr(65 + self._random.randrange(26))}. {last}"
        if roll < 0.92:
            return f"{first} {self._pick(_PARTICLES)} {last}"
        return f"{first} {last}{self._pick((' Jr.', ' Jr', ' Sr.', ' II', ' III'))}"

    def _person(self) -> str:
        roll = self._random.random()
        return self._full() if roll < 0.55 else self._first() if roll < 0.85 else self._last()

    def _city(self) -> str:
        if self._random.random() < 0.15:
            return self._fakers[self._pick(("en_US", "en_GB", "en_AU", "fr_FR", "de_DE"))].city()
        return self._random.choices(self._cities, self._city_weights)[0]

    def _place(self) -> str:
        roll = self._random.random()
        if roll < 0.4:
            return self._city()
        if roll < 0.6:
            return self._pick(self._gazetteer.countries)
        if roll < 0.9:
            return self._pick(self._gazetteer.regions)
        faker = self._fakers[self._pick(("en_US", "en_GB", "en_AU", "en_CA"))]
        return faker.street_name()

    def _address(self) -> str:
        locale = self._pick(_ADDRESS_LOCALES)
        faker = self._fakers[locale]
        roll = self._random.random()
        if roll < 0.5:
            return faker.address().replace("\n", self._pick(("\n", ", ", " ", ", ")))
        if roll < 0.7:
            return faker.street_address().replace("\n", self._pick((", ", " ")))
        if roll < 0.8:
            return f"{faker.building_number()} {faker.street_name()}, {faker.city()}"
        if roll < 0.9:
            return f"{faker.street_address()} {faker.city()} {faker.postcode()}".replace("\n", " ")
        return f"{faker.city()} {faker.postcode()}"

    def _organisation(self) -> str:
        roll = self._random.random()
        if roll < 0.5:
            return self._pick(lists.ORGANISATIONS)
        if roll < 0.65:
            return self._fakers[self._pick(_COMPANY_LOCALES)].company()
        stem = self._pick(lists.ORG_STEMS) if roll < 0.8 else self._last() if roll < 0.9 else self._city()
        if roll > 0.95:
            return (
                f"{self._pick(('University', 'Bank', 'Church', 'College', 'City', 'Port Authority'))} of {self._city()}"
            )
        return f"{stem} {self._pick(lists.ORG_TRADES)}"

    def _title(self) -> str:
        title = self._pick(lists.TITLES[:8] if self._random.random() < 0.8 else lists.TITLES)
        return title + "." if title in _DOTTED and self._random.random() < 0.7 else title

    def _number(self) -> str:
        roll = self._random.random()
        if roll < 0.4:
            return str(self._random.randrange(100))
        if roll < 0.7:
            return str(self._random.randrange(1900, 2030))
        area, exchange, line = (self._random.randrange(low, high) for low, high in _PHONE_PARTS)
        return f"{area}-{exchange}-{line}"

    def _handle(self) -> str:
        return "@" + self._pick(self._common) + self._pick(("", "_", "123", "xx")) + self._first().split()[0]
