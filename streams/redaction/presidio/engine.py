"""The fast engine: Presidio's findings without most of its work.

Equal to `stock.StockAnalyzer` in type, start, end and score of every finding, with the same recognizers: a differential
test and `benchmarks/redaction.py` hold it to that. What stock does on every text is done here where it can matter:

1. a recognizer runs where its trigger is
2. a recognizer with code of its own runs as it is, on an NLP pass that only it pays for
3. context is read around the findings only
4. a finding within a surer one of its type goes
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Final

import regex
from presidio_analyzer import EntityRecognizer, RecognizerResult

from streams.errors import RedactionError
from streams.redaction import Finding
from streams.redaction.presidio.context import BOOST, MIN_BOOSTED, Context, Tokeniser
from streams.redaction.presidio.finders import UNTIMED_CHARS, Finder, Hit, finder, without_contained
from streams.redaction.presidio.recognizers import LANGUAGE, blank_nlp, rules_version, stock_registry

MIN_SCORE: Final = 0.35
"""Below it Presidio's bare patterns are mostly wrong: its licence pattern has precision 0.03 there (measured)."""

MAX_TEXT_SECONDS: Final = 5.0
"""CPU time that the patterns may take on one text: 100,000 characters of nothing but numbers take a third of it."""

_DIGIT: Final = regex.compile(r"\d")


class PresidioAnalyzer:
    """`Analyzer` over Presidio's recognizers and a user's own.

    `analyze` raises `RedactionError` where a pattern or the whole text takes longer than `max_seconds` of CPU time.
    """

    def __init__(
        self,
        min_score: float = MIN_SCORE,
        own: Sequence[EntityRecognizer] = (),
        max_seconds: float = MAX_TEXT_SECONDS,
    ) -> None:
        self._min_score = min_score
        self._max_seconds = max_seconds
        self._recognizers = stock_registry(own).recognizers
        self._finders: list[Finder] = []
        self._as_they_are: list[EntityRecognizer] = []
        for recognizer in self._recognizers:
            fast = finder(recognizer)
            if fast is None:
                recognizer.load()
                self._as_they_are.append(recognizer)
            else:
                self._finders.append(fast)
        self._nlp = blank_nlp()
        self._tokeniser = Tokeniser(self._nlp.get_nlp(LANGUAGE))
        self._without_digits = [each for each in self._finders if not each.needs_digit]

    @cached_property
    def types(self) -> frozenset[str]:
        """See `Analyzer.types`."""
        return frozenset(entity for each in self._recognizers for entity in each.supported_entities)

    @cached_property
    def version(self) -> str:
        """See `Analyzer.version`."""
        return rules_version(self._recognizers)

    def analyze(self, text: str) -> list[Finding]:
        """See `Analyzer.analyze`."""
        deadline = time.thread_time() + self._max_seconds if len(text) > UNTIMED_CHARS else None
        found: list[Finding] = []
        context: Context | None = None
        finders = self._finders if _DIGIT.search(text) else self._without_digits
        try:
            for each in finders:
                hits = each.find(text, None if deadline is None else _seconds_to(deadline))
                if hits:
                    context = context or Context(text, self._tokeniser)
                    found += _findings(each, hits, context)
        except TimeoutError as exc:
            raise RedactionError("a pattern took too long") from exc
        if self._as_they_are:
            found += self._by_own_code(text)
        if not found:
            return found
        return _surest(finding for finding in found if finding.score >= self._min_score)

    def _by_own_code(self, text: str) -> list[Finding]:
        """What recognizers with Python code of their own find, given what stock would give them."""
        artifacts = self._nlp.process_text(text, LANGUAGE)
        raw = [(each, each.analyze(text, sorted(self.types), artifacts) or []) for each in self._as_they_are]
        context = Context(text, self._tokeniser)
        found: list[Finding] = []
        for recognizer, results in raw:
            others = [result for other, theirs in raw if other is not recognizer for result in theirs]
            enhanced = recognizer.enhance_using_context(
                text=text,
                raw_recognizer_results=results,
                other_raw_recognizer_results=others,
                nlp_artifacts=artifacts,
                context=None,
            )
            supporting = tuple(word.lower() for word in recognizer.context or ())
            found += [_own_finding(result, recognizer, supporting, context) for result in enhanced]
        return found


def _own_finding(
    result: RecognizerResult, recognizer: EntityRecognizer, supporting: tuple[str, ...], context: Context
) -> Finding:
    boosted = (result.recognition_metadata or {}).get(RecognizerResult.IS_SCORE_ENHANCED_BY_CONTEXT_KEY)
    score = result.score
    if supporting and not boosted and context.supports(result.start, supporting):
        score = _boosted(score)
    return Finding(result.entity_type, result.start, result.end, score, str(recognizer.name))


def _seconds_to(deadline: float) -> float:
    seconds = deadline - time.thread_time()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _findings(each: Finder, hits: Iterable[Hit], context: Context) -> Iterator[Finding]:
    for start, end, score, rule in hits:
        if each.context and context.supports(start, each.context):
            yield Finding(each.type, start, end, _boosted(score), f"{rule}, in context")
        else:
            yield Finding(each.type, start, end, score, rule)


def _boosted(score: float) -> float:
    return min(max(score + BOOST, MIN_BOOSTED), EntityRecognizer.MAX_SCORE)


def _surest(found: Iterable[Finding]) -> list[Finding]:
    """The findings of each type without those within a surer one."""
    by_type: dict[str, list[Hit]] = {}
    for kind, start, end, score, rule in found:
        by_type.setdefault(kind, []).append(Hit(start, end, score, rule))
    return [Finding(kind, *hit) for kind, hits in by_type.items() for hit in without_contained(hits)]
