"""Names by a spaCy model, or by any NLP engine that a Presidio configuration describes, instead of the bundled one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import spacy
from presidio_analyzer.nlp_engine import NlpEngine, NlpEngineProvider, SpacyNlpEngine

from streams.errors import SettingError
from streams.redaction import Finding
from streams.redaction.presidio.recognizers import LANGUAGE

SETTING: Final = "MILLRACE_REDACTION_NAMES"


def _never_download(model: str) -> None:
    if not spacy.util.is_package(model) and not Path(model).is_dir():
        raise ValueError(f"{model} is no installed spaCy model: install its package, or give its folder")


SpacyNlpEngine._download_spacy_model_if_needed = staticmethod(_never_download)  # stock fetches what is missing


class PresidioNames:
    """`Analyzer` over the entities of an NLP engine, with Presidio's names for their types."""

    def __init__(self, engine: NlpEngine, described: str) -> None:
        self.types = frozenset(engine.get_supported_entities())
        self.version = hashlib.sha256(described.encode()).hexdigest()[:16]
        self._engine = engine

    @classmethod
    def of_spacy(cls, model: str) -> PresidioNames:
        """A spaCy model by package name or folder. Raises `SettingError` where it is not installed: none is fetched."""
        configuration = {"nlp_engine_name": "spacy", "models": [{"lang_code": LANGUAGE, "model_name": model}]}
        try:
            engine = NlpEngineProvider(nlp_configuration=configuration).create_engine()
            return cls(engine, f"{model} {engine.nlp[LANGUAGE].meta.get('version')}")
        except (Exception, SystemExit) as exc:  # whatever a model's own library raises
            raise SettingError(SETTING, model, f"cannot be loaded: {exc}") from exc

    @classmethod
    def of_configuration(cls, file: str) -> PresidioNames:
        """What an NLP configuration in Presidio's YAML form describes. Raises `SettingError` for one that fails."""
        if not Path(file).is_file():
            raise SettingError(SETTING, file, "there is no such file")
        try:
            return cls(NlpEngineProvider(conf_file=file).create_engine(), Path(file).read_text(encoding="utf-8"))
        except (Exception, SystemExit) as exc:
            raise SettingError(SETTING, file, f"cannot be loaded: {exc}") from exc

    def analyze(self, text: str) -> list[Finding]:
        """See `Analyzer.analyze`."""
        artifacts = self._engine.process_text(text, LANGUAGE)
        return [
            Finding(entity.label_, entity.start_char, entity.end_char, float(score), f"names: {entity.label_}")
            for entity, score in zip(artifacts.entities, artifacts.scores, strict=True)
        ]
