"""The redaction that the settings ask for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from streams import metrics
from streams.errors import SettingError
from streams.redaction import Analyzer, policy
from streams.redaction.detector import Beside, Detector, Together
from streams.redaction.hashing import KeyedHasher
from streams.redaction.mail import MailAddresses
from streams.redaction.memo import Memo
from streams.redaction.names import NamesModel
from streams.redaction.redactor import Redactor
from streams.redaction.secrets import Secrets
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.redaction.presidio import PresidioAnalyzer

_TORCH: Final = ("torch", "transformers")


def redactor(settings: Settings, hasher: KeyedHasher) -> Redactor:
    """What the `redact` agent runs: the detector behind its memo, and the policy."""
    memo = Memo(detector(settings), settings.redaction_memo_texts, _counter())
    return Redactor(memo, hasher, settings.max_text_chars, policy.parse(settings.redaction_policy))


def detector(settings: Settings) -> Detector:
    """All that finds. Raises `SettingError` for recognizers, a model or a policy that cannot be loaded."""
    actions = policy.parse(settings.redaction_policy)
    patterns = patterns_of(settings)
    names = names_of(settings)
    types = patterns.types | Secrets.types | (names.types if names is not None else frozenset())
    kept = [kind for kind in types if actions.action(kind) is policy.Action.KEEP]
    return Detector(Beside(Together(patterns, Secrets()), MailAddresses()), names, kept)


def as_written(settings: Settings) -> Together:
    """Only what stands in a text as it is written, without names: what stock Presidio finds, and secrets."""
    return Together(patterns_of(settings), Secrets())


def patterns_of(settings: Settings) -> PresidioAnalyzer:
    """Presidio's recognizers and the user's own."""
    with _without_torch(settings):
        from streams.redaction.presidio import PresidioAnalyzer
        from streams.redaction.presidio.recognizers import own_recognizers

    return PresidioAnalyzer(settings.redaction_min_score, own_recognizers(settings.redaction_recognizers))


def names_of(settings: Settings) -> Analyzer | None:
    """The names model: the one that ships, one of spaCy's or Presidio's, or none."""
    source = settings.redaction_names
    if source == "bundled":
        return NamesModel.bundled()
    if source == "off":
        return None
    from streams.redaction.presidio import models

    kind, _, where = source.partition(":")
    if kind == "spacy" and where:
        return models.PresidioNames.of_spacy(where)
    if kind == "presidio" and where:
        return models.PresidioNames.of_configuration(where)
    raise SettingError(models.SETTING, source, "must be bundled, off, spacy:MODEL or presidio:FILE.yaml")


@contextmanager
def _without_torch(settings: Settings) -> Iterator[None]:
    """Presidio and spaCy load PyTorch wherever it is installed, which costs a process 7 s and 700 MB.

    Only recognizers and models of the user's own can need it.
    """
    own = bool(settings.redaction_recognizers) or settings.redaction_names not in ("bundled", "off")
    hidden = () if own else [name for name in _TORCH if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: import raises ImportError
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _counter() -> Callable[[bool], None]:
    hits, misses = (metrics.REDACTION_MEMO.labels(outcome) for outcome in ("hit", "miss"))
    return lambda hit: (hits if hit else misses).inc()
