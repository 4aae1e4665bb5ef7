"""Stock Presidio, as its users run it: the peer that the fast engine's findings and speed are compared with."""

from __future__ import annotations

from collections.abc import Sequence

from presidio_analyzer import AnalyzerEngine, EntityRecognizer

from streams.redaction import Finding
from streams.redaction.presidio.recognizers import LANGUAGE, blank_nlp, rules_version, stock_registry


class StockAnalyzer:
    """`Analyzer` over a stock `AnalyzerEngine` on a blank pipeline, with a user's own recognizers beside its own."""

    def __init__(self, min_score: float = 0.0, own: Sequence[EntityRecognizer] = ()) -> None:
        registry = stock_registry(own)
        self._engine = AnalyzerEngine(registry=registry, nlp_engine=blank_nlp(), supported_languages=[LANGUAGE])
        self._min_score = min_score
        self.version = rules_version(registry.recognizers)
        self.types = frozenset(entity for each in registry.recognizers for entity in each.supported_entities)

    def analyze(self, text: str) -> list[Finding]:
        """See `Analyzer.analyze`."""
        results = self._engine.analyze(text, language=LANGUAGE, score_threshold=self._min_score)
        return [Finding(result.entity_type, result.start, result.end, result.score) for result in results]
