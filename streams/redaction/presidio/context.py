"""Context words: what stands before a finding and makes it surer.

Presidio runs a whole NLP pipeline over every text for this. spaCy's tokeniser splits at white space first and then each
chunk by itself, so that the chunks around a finding tell the same words; chunks repeat, and their tokens are memoised.
Constants and rules are those of Presidio's `LemmaContextAwareEnhancer` and `NlpArtifacts.set_keywords`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import Final, NamedTuple

import regex
from spacy.lang.lex_attrs import is_punct
from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.vocab import Vocab

BOOST: Final = 0.35
MIN_BOOSTED: Final = 0.4
WORDS_BEFORE: Final = 5

_MEMO_CHUNKS: Final = 50_000
_NO_KEYWORDS: Final = frozenset(("-PRON-", "be"))
_LONE_SURROGATE: Final = regex.compile(r"[\ud800-\udfff]")
"""No text has one; what slipped in must not stop spaCy, which encodes what it reads."""

_SPAN: Final = regex.compile(r"\S+|\s+")


class _Token(NamedTuple):
    end: int  # within its chunk
    lemma: str
    parts: tuple[str, ...]  # a keyword's, split at its colons; none for a stop word or punctuation


class _Chunk(NamedTuple):
    tokens: tuple[_Token, ...]
    keywords: tuple[str, ...]  # last first


class Tokeniser:
    """spaCy's English tokeniser, a chunk at a time, memoised.

    spaCy keeps every string that it ever saw, with a dozen attributes. This keeps none of the attributes, and drops the
    strings with the memo when that is full: memory stays bounded and no personal data stays for good.
    """

    def __init__(self, nlp: Language) -> None:
        self._nlp = nlp
        self._stop_words = nlp.Defaults.stop_words
        self._forget()

    def read(self, chunk: str) -> _Chunk:
        """The tokens of a chunk without white space, or of white space only."""
        known = self._memo.get(chunk)
        if known is None:
            self._read += 1
            if self._read > _MEMO_CHUNKS:
                self._forget()
            tokens = tuple(
                self._token(token.idx, token.text) for token in self._tokenizer(_LONE_SURROGATE.sub("\ufffd", chunk))
            )
            keywords = tuple(token.lemma for token in reversed(tokens) if len(token.parts) == 1)
            known = self._memo[chunk] = _Chunk(tokens, keywords)
        return known

    def _token(self, start: int, text: str) -> _Token:
        lemma = text.lower()
        return _Token(start + len(text), lemma, () if self.is_no_keyword(lemma) else tuple(lemma.split(":")))

    def is_no_keyword(self, lemma: str) -> bool:
        """Whether Presidio takes a word for no keyword: a stop word, punctuation."""
        return lemma in self._stop_words or is_punct(lemma) or lemma in _NO_KEYWORDS

    def _forget(self) -> None:
        own = self._nlp.tokenizer
        self._memo: dict[str, _Chunk] = {}
        self._read = 0
        self._tokenizer = Tokenizer(
            Vocab(),
            rules=own.rules,
            prefix_search=own.prefix_search,
            suffix_search=own.suffix_search,
            infix_finditer=own.infix_finditer,
            token_match=own.token_match,
            url_match=own.url_match,
        )


class Context:
    """The words around any place of one text."""

    def __init__(self, text: str, tokeniser: Tokeniser) -> None:
        self._read = tokeniser.read
        self._is_no_keyword = tokeniser.is_no_keyword
        self._text = text
        self._present: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._words: dict[tuple[int, int], str] = {}

    def supports(self, start: int, supporting: tuple[str, ...]) -> bool:
        """Whether a supporting word (lower case) is part of a word at or up to five words before `start`."""
        present = self._present.get(supporting)
        if present is None:
            present = self._present[supporting] = tuple(word for word in supporting if word in self._lower)
        if not present:
            return False
        place = self._token_at(start)
        words = self._words.get(place)
        if words is None:
            words = self._words[place] = "\0".join((*self._before(*place), *self._after(*place)))
        return any(word in words for word in present)

    @cached_property
    def _lower(self) -> str:
        return self._text.lower()

    @cached_property
    def _cut(self) -> tuple[list[int], list[str]]:
        return _chunks(self._text)

    def _token_at(self, start: int) -> tuple[int, int]:
        """The chunk and the token in it that holds `start`, or the next one."""
        starts, chunks = self._cut
        chunk = bisect_right(starts, start) - 1
        if chunk < 0 or start >= starts[chunk] + len(chunks[chunk]):
            return chunk + 1, 0
        offset = start - starts[chunk]
        for place, token in enumerate(self._read(chunks[chunk]).tokens):
            if offset < token.end:
                return chunk, place
        return chunk + 1, 0

    def _before(self, chunk: int, place: int) -> list[str]:
        """Up to six keywords, going back from a token."""
        words: list[str] = []
        chunks = self._cut[1]
        if chunk < len(chunks):
            words += self._keywords(self._read(chunks[chunk]).tokens[place::-1])
        for at in range(min(chunk, len(chunks)) - 1, -1, -1):
            if len(words) > WORDS_BEFORE:
                break
            read = self._read(chunks[at])
            words += self._keywords(read.tokens[::-1]) if self._part_words else read.keywords
        return words[: WORDS_BEFORE + 1]

    def _after(self, chunk: int, place: int) -> list[str]:
        """The first keyword from a token on: the token itself, or where it is none, the next."""
        chunks = self._cut[1]
        for at in range(chunk, len(chunks)):
            words = self._keywords(self._read(chunks[at]).tokens[place if at == chunk else 0 :])
            if words:
                return words[:1]
        return []

    def _keywords(self, tokens: Sequence[_Token]) -> list[str]:
        parts = self._part_words
        return [token.lemma for token in tokens if len(token.parts) == 1 or token.lemma in parts]

    @cached_property
    def _part_words(self) -> frozenset[str]:
        """Words that are keywords only as a part of another word: Presidio splits keywords at colons."""
        split = (token.parts for chunk in self._cut[1] if ":" in chunk for token in self._read(chunk).tokens)
        return frozenset(part for parts in split if len(parts) > 1 for part in parts if self._is_no_keyword(part))


def _chunks(text: str) -> tuple[list[int], list[str]]:
    """Where spaCy cuts a text before it tokenises: the chunks and their starts."""
    chunks = text.split()
    starts = list(accumulate((len(chunk) + 1 for chunk in chunks), initial=0))
    if starts[-1] == len(text) + 1 and " ".join(chunks) == text:
        return starts[:-1], chunks
    starts, chunks = [], []
    for match in _SPAN.finditer(text):
        start, chunk = match.start(), match.group()
        if start and chunk[0] == " ":  # one blank after a token belongs to the token
            start, chunk = start + 1, chunk[1:]
        if chunk:
            starts.append(start)
            chunks.append(chunk)
    return starts, chunks
