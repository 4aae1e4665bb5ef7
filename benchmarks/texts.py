"""Texts to measure redaction on: clean dialogues, the same with PII in one of ten, and texts dense with PII.

Clean texts are turns of real dialogues where MILLRACE_TEST_DATA has them, else made-up ones. PII is made up by Faker
for eight locales, each value in the way that people write it. The same seed gives the same texts.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from faker import Faker

TEXT_CHARS = 300
"""About the length of a chat message; field figures for redaction are given for it."""

DENSE_SENTENCES = 5
_LOCALES = ("en_US", "en_GB", "de_DE", "fr_FR", "pt_BR", "en_IN", "es_ES", "it_IT")
_DIALOGUES = "dialogues/hh_rlhf_harmless_test.jsonl.gz"

_CARRIERS = (
    "My {kind} is {value}.",
    "please use {value} for the {kind}",
    "{value} is what I gave them, is that right?",
    "Sure! The {kind} on file: {value}",
    "I can't log in, {kind} {value}, please help.",
    "You can reach them at {value} any time",
    '{{"{kind}": "{value}"}}',
    "({value})",
    "Then it said {value}; what now?",
    "- {kind}: {value}\n",
)


def dialogues() -> Path | None:
    """The file of real dialogues, where there is one."""
    folder = os.environ.get("MILLRACE_TEST_DATA")
    return Path(folder) / _DIALOGUES if folder else None


def clean(count: int) -> list[str]:
    """`count` texts of about `TEXT_CHARS` characters, as they come: a few of the real ones hold PII too."""
    file = dialogues()
    source = made_up_chat(random.Random(1)) if file is None else _turns(file)
    return list(itertools.islice(source, count))


def mixed(count: int, seed: int = 2) -> list[str]:
    """`count` clean texts, every tenth with one piece of PII in it."""
    sentences = pii_sentences(seed)
    return [f"{text} {next(sentences)}" if place % 10 == 0 else text for place, text in enumerate(clean(count))]


def dense(count: int, seed: int = 3) -> list[str]:
    """`count` texts of five sentences, each sentence with a piece of PII."""
    sentences = pii_sentences(seed)
    return [" ".join(itertools.islice(sentences, DENSE_SENTENCES)) for _ in range(count)]


def pii_sentences(seed: int) -> Iterator[str]:
    """Sentences, each with one value of some kind of PII."""
    chance = random.Random(seed)
    fakers = [Faker(locale) for locale in _LOCALES]
    for place, faker in enumerate(fakers):
        faker.seed_instance(seed * 100 + place)
    while True:
        kind, make = chance.choice(_KINDS)
        yield chance.choice(_CARRIERS).format(kind=kind, value=make(chance.choice(fakers), chance))


def conversations(count: int) -> Iterator[list[str]]:
    """Up to `count` dialogues as the messages of their turns; made-up ones where there are no real ones."""
    file = dialogues()
    if file is None:
        chat = made_up_chat(random.Random(4))
        yield from ([next(chat) for _ in range(6)] for _ in range(count))
        return
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in itertools.islice(lines, count):
            turns = re.split(r"\n\n(?:Human|Assistant): ", json.loads(line)["chosen"])
            yield [turn for turn in turns if turn]


def made_up_chat(chance: random.Random) -> Iterator[str]:
    """Chat without PII, for a machine that has no real dialogues."""
    openings = ("How do I", "Can you tell me how to", "What is the best way to", "I don't know how to", "Why should I")
    deeds = ("bake bread", "repair a bicycle", "learn to draw", "sort a list of 3 things", "write a letter to my team")
    turns = ("without an oven", "when it rains", "in an afternoon", "on a small budget", "if nobody is there to help")
    answers = ("Start small and be patient.", "That depends on what you have at hand.", "There are two ways to do it.")
    while True:
        parts: list[str] = []
        while sum(map(len, parts)) < TEXT_CHARS:
            asked = f"{chance.choice(openings)} {chance.choice(deeds)} {chance.choice(turns)}?"
            parts.append(f"{asked} {chance.choice(answers)}")
        yield " ".join(parts)


def _turns(file: Path) -> Iterator[str]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            text = " ".join(json.loads(line)["chosen"].split())
            for start in range(0, len(text) - TEXT_CHARS // 2, TEXT_CHARS):
                yield text[start : start + TEXT_CHARS]


def _card(faker: Faker, chance: random.Random) -> str:
    digits = faker.credit_card_number()
    separator = chance.choice(("", " ", "-"))
    return separator.join(digits[place : place + 4] for place in range(0, len(digits), 4))


def _phone(faker: Faker, chance: random.Random) -> str:
    return faker.phone_number() if chance.random() < 0.8 else chance.choice(("555-0199", "212.555.0187", "911"))


def _iban(faker: Faker, chance: random.Random) -> str:
    digits = faker.iban()
    return digits if chance.random() < 0.5 else " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))


def _date(faker: Faker, chance: random.Random) -> str:
    form = chance.choice(("%m/%d/%Y", "%Y-%m-%d", "%d.%m.%y", "%d-%b-%Y", "%Y-%m-%dT%H:%M:%SZ", "%m/%y", "%d/%m/%Y"))
    return faker.date_time_between("-40y").strftime(form)


_KINDS: tuple[tuple[str, Callable[[Faker, random.Random], str]], ...] = (
    ("email", lambda faker, _: faker.email()),
    ("mail address", lambda faker, _: faker.company_email()),
    ("phone number", _phone),
    ("cell", _phone),
    ("credit card", _card),
    ("bank account", _iban),
    ("iban", _iban),
    ("ssn", lambda faker, _: faker.ssn()),
    ("ip address", lambda faker, _: faker.ipv4()),
    ("host", lambda faker, _: faker.ipv6()),
    ("website", lambda faker, _: faker.url() + faker.uri_path()),
    ("mac", lambda faker, _: faker.mac_address()),
    ("date of birth", _date),
    ("account", lambda faker, _: faker.bban()),
    ("id", lambda faker, _: faker.uuid4()),
    ("driver license", lambda faker, _: faker.bothify("?#######").upper()),
    ("passport", lambda faker, _: faker.bothify("#########")),
    ("address", lambda faker, _: faker.address().replace("\n", ", ")),
    ("name", lambda faker, _: faker.name()),
    ("order", lambda _, chance: f"{chance.randrange(10**12)}"),
    ("price", lambda _, chance: f"{chance.randrange(1000)}.{chance.randrange(100):02} USD"),
)
