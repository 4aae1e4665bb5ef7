"""Presidio is loaded as the roles load it, without PyTorch, before test modules import it themselves."""

from __future__ import annotations

from streams.redaction import configured
from streams.settings import Settings

configured.patterns_of(Settings())
