"""Reading the curation file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import yaml

from schemas.curation import Curation
from streams.errors import SettingError


def load(path: str) -> Curation:
    """The curation that a YAML file says; the built-in one for no path.

    Raises `SettingError` with the field that is wrong.
    """
    if not path:
        return Curation()
    try:
        said = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return msgspec.convert({} if said is None else said, Curation)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError) as exc:
        raise SettingError("MILLRACE_CURATION", path, str(exc)) from exc
