"""Stock Presidio: its English recognizers on a blank spaCy pipeline. The only module that imports it.

Without a model it finds patterns (mail, phone, cards, ids, …) and no names.
"""

from __future__ import annotations

import hashlib
import logging
from functools import cached_property
from importlib.metadata import version
from typing import Final

import spacy
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry, pattern_recognizer
from presidio_analyzer.nlp_engine import SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import EmailRecognizer
from spacy.language import Language
from spacy.tokens import Doc
from tldextract import TLDExtract

from streams.errors import RedactionError
from streams.redaction import Finding

MIN_SCORE: Final = 0.35
"""Below it Presidio's bare patterns are mostly wrong: its licence pattern has precision 0.03 there (measured)."""


REGEX_TIMEOUT_S: Final = 2
"""How long one pattern may search one text; chat texts take milliseconds, made-up ones (100 kB of dots) hours."""


class _FailClosed(logging.Filter):
    """Presidio logs a pattern that ran out of time and goes on without it: that text would pass unredacted."""

    def filter(self, record: logging.LogRecord) -> bool:
        if "timed out" in str(record.msg):
            raise RedactionError("a pattern took too long")
        return False  # its other warnings list the languages that we did not ask for


pattern_recognizer.REGEX_TIMEOUT_SECONDS = REGEX_TIMEOUT_S
_PRESIDIO_LOGGER: Final = logging.getLogger("presidio-analyzer")
_PRESIDIO_LOGGER.setLevel(logging.WARNING)  # its own, so that no level of ours keeps a warning from the filter
_PRESIDIO_LOGGER.addFilter(_FailClosed())


@Language.component("lower_case_lemma")
def _lower_case_lemma(doc: Doc) -> Doc:
    """Presidio boosts a finding by the lemmas around it; a blank pipeline has none, and the boost silently dies."""
    for token in doc:
        token.lemma_ = token.lower_
    return doc


class PresidioAnalyzer:
    """`Analyzer` over a stock `AnalyzerEngine`."""

    def __init__(self) -> None:
        nlp = spacy.blank("en")
        nlp.add_pipe("lower_case_lemma")
        engine = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": "blank"}])
        engine.nlp = {"en": nlp}  # type: ignore[assignment]  # what load() would set after a download
        registry = RecognizerRegistry(supported_languages=["en"])
        registry.load_predefined_recognizers(languages=["en"])
        registry.remove_recognizer("EmailRecognizer")
        registry.add_recognizer(_OfflineEmailRecognizer(name="EmailRecognizer"))
        self._engine = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])

    def analyze(self, text: str) -> list[Finding]:
        """See `Analyzer.analyze`."""
        results = self._engine.analyze(text, language="en", score_threshold=MIN_SCORE)
        return [Finding(result.entity_type, result.start, result.end, result.score) for result in results]

    @cached_property
    def version(self) -> str:
        """See `Analyzer.version`."""
        names = sorted(str(recognizer.name) for recognizer in self._engine.registry.recognizers)  # type: ignore[has-type]
        rules = "|".join(("presidio", version("presidio-analyzer"), str(MIN_SCORE), *names))
        return hashlib.sha256(rules.encode()).hexdigest()[:16]


class _OfflineEmailRecognizer(EmailRecognizer):
    """Stock asks `tldextract`, which fetches a list from the network at the first mail; this reads the bundled one."""

    _bundled = TLDExtract(suffix_list_urls=(), cache_dir=None)

    def validate_result(self, pattern_text: str) -> bool:
        return self._bundled(pattern_text).fqdn != ""
