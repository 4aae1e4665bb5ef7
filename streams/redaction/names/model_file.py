"""The model file: a numpy archive with the lexicon and the weights of each network."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from streams.errors import SettingError
from streams.redaction.names.features import ROWS
from streams.redaction.names.lexicon import Lexicon
from streams.redaction.names.network import Weights

BUNDLED: Final = Path(__file__).with_name("model.npz")

_LEXICON_COLUMNS: Final = (np.uint8, np.uint8, np.uint8, np.uint32, np.uint32, np.uint32)


class Model(NamedTuple):
    """What a file holds, and the first 16 hex digits of its SHA-256."""

    lexicon: Lexicon
    members: tuple[Weights, ...]
    digest: str


def pack(words: list[str], columns: np.typing.NDArray[np.uint32], members: Sequence[Weights]) -> bytes:
    """The bytes of a model file; the same arguments give the same bytes."""
    arrays: dict[str, np.typing.NDArray[np.generic]] = {
        "words": np.frombuffer("\n".join(words).encode(), np.uint8),
        **{f"column{index}": columns[:, index].astype(kind) for index, kind in enumerate(_LEXICON_COLUMNS)},
    }
    for number, weights in enumerate(members):
        for field in fields(weights):
            arrays[f"{number}.{field.name}"] = getattr(weights, field.name)
        arrays[f"{number}.slots"] = np.flatnonzero(weights.slots).astype(np.int32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # its stub takes `allow_pickle` for an array
    return buffer.getvalue()


def load(path: Path = BUNDLED) -> Model:
    """Reads a model file. Raises `SettingError` if it is missing or damaged."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingError(
            "names model", str(path), "a model file that can be read; reinstall, or train one"
        ) from error
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            words = archive["words"].tobytes().decode().split("\n")
            columns = np.stack([archive[f"column{index}"].astype(np.uint32) for index in range(6)], axis=1)
            lexicon = Lexicon(words, columns)
            count = sum(name.endswith(".slots") for name in archive.files)
            members = tuple(_weights(archive, f"{number}.") for number in range(count))
    except (ValueError, KeyError, OSError, EOFError, IndexError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise SettingError("names model", str(path), "the file is damaged; reinstall, or train one") from error
    return Model(lexicon, members, hashlib.sha256(content).hexdigest()[:16])


def _weights(archive: Mapping[str, Any], prefix: str) -> Weights:
    used = archive[prefix + "slots"]
    slots = np.zeros(ROWS, np.int32)
    slots[used] = np.arange(1, len(used) + 1)
    rest = {field.name: archive[prefix + field.name] for field in fields(Weights) if field.name != "slots"}
    return Weights(slots=slots, **rest)
