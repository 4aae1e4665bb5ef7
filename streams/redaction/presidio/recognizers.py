"""Which recognizers run: Presidio's English ones and a user's own."""

from __future__ import annotations

import hashlib
import importlib
import logging
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import spacy
import yaml
from presidio_analyzer import EntityRecognizer, PatternRecognizer, RecognizerRegistry, pattern_recognizer
from presidio_analyzer.nlp_engine import SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import EmailRecognizer, SpacyRecognizer
from spacy.language import Language
from spacy.tokens import Doc
from tldextract import TLDExtract

from streams.errors import RedactionError, SettingError

LANGUAGE: Final = "en"
SETTING: Final = "MILLRACE_REDACTION_RECOGNIZERS"


class _FailClosed(logging.Filter):
    """Presidio logs a pattern that ran out of time and goes on without it: that text would pass unredacted."""

    def filter(self, record: logging.LogRecord) -> bool:
        if "timed out" in str(record.msg):
            raise RedactionError("a pattern took too long")
        return False  # its other warnings list the languages that we did not ask for


pattern_recognizer.REGEX_TIMEOUT_SECONDS = 2
_PRESIDIO_LOGGER: Final = logging.getLogger("presidio-analyzer")
_PRESIDIO_LOGGER.setLevel(logging.WARNING)  # its own, so that no level of ours keeps a warning from the filter
_PRESIDIO_LOGGER.addFilter(_FailClosed())


class OfflineEmailRecognizer(EmailRecognizer):
    """Stock asks `tldextract`, which fetches a list from the network at the first mail; this reads the bundled one."""

    _bundled = TLDExtract(suffix_list_urls=(), cache_dir=None)

    def validate_result(self, pattern_text: str) -> bool:
        """Whether the address ends in a domain that can be registered."""
        return self._bundled(pattern_text).fqdn != ""


@Language.component("lower_case_lemma")
def _lower_case_lemma(doc: Doc) -> Doc:
    """Presidio boosts a finding by the lemmas around it; a blank pipeline has none, and the boost silently dies."""
    for token in doc:
        token.lemma_ = token.lower_
    return doc


def blank_nlp() -> SpacyNlpEngine:
    """spaCy's English tokeniser with lower-case lemmas and no model: nothing to download."""
    nlp = spacy.blank(LANGUAGE)
    nlp.add_pipe("lower_case_lemma")
    engine = SpacyNlpEngine(models=[{"lang_code": LANGUAGE, "model_name": "blank"}])
    engine.nlp = {LANGUAGE: nlp}  # what load() would set after a download
    return engine


def stock_registry(own: Sequence[EntityRecognizer] = ()) -> RecognizerRegistry:
    """Presidio's recognizers that are on by default for English, without a model, and a user's own after them."""
    registry = RecognizerRegistry(supported_languages=[LANGUAGE])
    registry.load_predefined_recognizers(languages=[LANGUAGE])
    registry.recognizers = [
        recognizer
        for recognizer in registry.recognizers
        if not isinstance(recognizer, (EmailRecognizer, SpacyRecognizer))
    ]
    registry.add_recognizer(OfflineEmailRecognizer(name="EmailRecognizer"))
    for recognizer in own:
        registry.add_recognizer(recognizer)
    return registry


def own_recognizers(sources: Sequence[str]) -> list[EntityRecognizer]:
    """A user's own recognizers.

    A source is a YAML file in Presidio's form (`recognizers:` with `name`, `supported_entity`, `patterns`, …), or a
    Python name `module:attribute` of a recognizer, of a class that needs no arguments, or of a list of either. Either
    may say `trigger`, a regular expression without which a text cannot have a finding; then it only runs where that is
    found. Raises `SettingError` for a source that cannot be read.
    """
    return [recognizer for source in sources for recognizer in _load(source)]


def rules_version(recognizers: Sequence[EntityRecognizer]) -> str:
    """16 hex digits over what decides a finding: libraries, patterns, scores, context words, triggers."""
    described = [
        (
            type(recognizer).__qualname__,
            str(recognizer.name),
            str(recognizer.version),
            sorted(recognizer.supported_entities),
            sorted(recognizer.context or ()),
            [(pattern.name, pattern.regex, pattern.score) for pattern in getattr(recognizer, "patterns", ())],
            getattr(recognizer, "trigger", None),
        )
        for recognizer in recognizers
    ]
    libraries = [version(name) for name in ("presidio-analyzer", "phonenumbers", "spacy", "tldextract")]
    return hashlib.sha256(repr((libraries, sorted(described, key=repr))).encode()).hexdigest()[:16]


def _load(source: str) -> list[EntityRecognizer]:
    try:
        found = _from_yaml(Path(source)) if source.endswith((".yaml", ".yml")) else _from_python(source)
    except (OSError, ImportError, AttributeError, TypeError, ValueError, KeyError, yaml.YAMLError) as exc:
        raise SettingError(SETTING, source, f"cannot be loaded: {type(exc).__name__}: {exc}") from exc
    for recognizer in found:
        if not isinstance(recognizer, EntityRecognizer):
            raise SettingError(SETTING, source, f"is no Presidio recognizer but a {type(recognizer).__name__}")
    return found


def _from_yaml(file: Path) -> list[EntityRecognizer]:
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or not isinstance(document.get("recognizers"), list):
        raise ValueError("a list `recognizers` is missing")
    found = []
    for described in document["recognizers"]:
        own = {key: value for key, value in described.items() if key != "trigger"}
        recognizer = PatternRecognizer.from_dict({"supported_language": LANGUAGE, **own})
        recognizer.trigger = described.get("trigger")
        found.append(recognizer)
    return found


def _from_python(source: str) -> list[EntityRecognizer]:
    module, _, attribute = source.partition(":")
    if not attribute:
        raise ValueError("write a YAML file or module:attribute")
    value = getattr(importlib.import_module(module), attribute)
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return [each() if isinstance(each, type) else each for each in values]
