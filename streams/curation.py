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
        return _with_terms(msgspec.convert({} if said is None else said, Curation), Path(path).parent)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError) as exc:
        raise SettingError("MILLRACE_CURATION", path, str(exc)) from exc


def _with_terms(curation: Curation, folder: Path) -> Curation:
    """With the term lists that are files read in, so that the hash tells their contents. Files lie beside the YAML.

    Raises `OSError`, `UnicodeDecodeError`.
    """
    terms = curation.gates.policy.terms
    read = {
        category: _lines((folder / listed).read_text(encoding="utf-8")) if isinstance(listed, str) else listed
        for category, listed in terms.items()
    }
    policy = msgspec.structs.replace(curation.gates.policy, terms=read)
    return msgspec.structs.replace(curation, gates=msgspec.structs.replace(curation.gates, policy=policy))


def _lines(text: str) -> tuple[str, ...]:
    """A term a line; empty ones and those that begin with `#` are none."""
    stripped = (line.strip() for line in text.splitlines())
    return tuple(line for line in stripped if line and not line.startswith("#"))
