"""CoNLL files to natural text with labelled spans, and the one rule that says which sentences are held out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

HELD_OUT: Final = 0.1
"""Share of the sentences of a training file that only the benchmark reads."""

LABELS: Final = {
    "person": "PERSON",
    "per": "PERSON",
    "location": "LOCATION",
    "loc": "LOCATION",
    "corporation": "ORGANIZATION",
    "group": "ORGANIZATION",
    "org": "ORGANIZATION",
}
"""CoNLL label → finding type. W-NUT's `group` (bands, teams, clubs) counts as an organisation, as in BTC's ORG."""

_NO_SPACE_BEFORE: Final = re.compile(r"(?:[.,!?;:%…)\]}”]+|['’](?:s|m|d|ll|re|ve|t)|n['’]t)$", re.IGNORECASE)
_NO_SPACE_AFTER: Final = re.compile(r"[(\[{“$£€#@]$")


class Sentence(NamedTuple):
    """A text and its names as (start, end, type), in order, without overlap."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


def read(path: Path) -> Iterator[Sentence]:
    """The sentences of a file with one `token<TAB>BIO tag` a line and blank lines between sentences."""
    tokens: list[str] = []
    tags: list[str] = []
    for line in [*path.read_text(encoding="utf-8").split("\n"), ""]:
        if line.strip():
            token, _, tag = line.rstrip("\n").partition("\t")
            tokens.append(token)
            tags.append(tag)
        elif tokens:
            yield join(tokens, tags)
            tokens, tags = [], []


def held_out(text: str) -> bool:
    """Whether a sentence is kept from training: by its hash, so that trainer and benchmark agree without a list."""
    return hashlib.sha256(text.encode()).digest()[0] < HELD_OUT * 256


def join(tokens: list[str], tags: list[str]) -> Sentence:
    """Tokens as a person would have written them, with the labelled spans in that text."""
    text = ""
    tight = True
    quoted = False
    spans: list[tuple[int, int, str]] = []
    for index, (token, tag) in enumerate(zip(tokens, tags, strict=True)):
        glued = tight or bool(_NO_SPACE_BEFORE.match(token)) or (token == '"' and quoted)
        tight = bool(_NO_SPACE_AFTER.match(token)) or (token == '"' and not quoted)
        quoted = quoted != (token == '"')
        if not glued:
            text += " "
        start = len(text)
        text += token
        prefix, _, name = tag.partition("-")
        kind = LABELS.get(name.lower())
        if kind is None:
            continue
        previous = tags[index - 1] if index else "O"
        if prefix == "I" and spans and previous.partition("-")[2] == name:
            spans[-1] = (spans[-1][0], len(text), kind)
        else:
            spans.append((start, len(text), kind))
    return Sentence(text, tuple(spans))
