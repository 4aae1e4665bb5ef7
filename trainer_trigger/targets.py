"""Reading the targets file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from schemas.targets import NONE, Target, Targets
from streams.errors import SettingError

MERGE: Final = "tag:yaml.org,2002:merge"


def load(path: str) -> dict[str, Target]:
    """The targets of a YAML file by name, with its paths made absolute. Raises `SettingError` with the wrong field."""
    if not path:
        raise SettingError("MILLRACE_TARGETS", path, "names no file of tuning targets; see docs/trigger.md")
    try:
        said = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)  # a SafeLoader
        for place in _endless(said, "$"):
            raise ValueError(f"{place} is no finite number")
        targets = msgspec.convert(said, Targets).targets
    except (OSError, ValueError, RecursionError, yaml.YAMLError, msgspec.ValidationError) as exc:
        raise SettingError("MILLRACE_TARGETS", path, " ".join(str(exc).split())) from exc
    folder = Path(path).resolve().parent
    return {name: _absolute(target, folder) for name, target in targets.items()}


class _Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error: of two targets of one name, one would be lost unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        said = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                name = self.construct_object(key)
                if name in said:
                    raise yaml.constructor.ConstructorError(None, None, f"{name!r} stands twice", key.start_mark)
                said.add(name)
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


def _endless(said: object, place: str) -> Iterator[str]:
    """The places of numbers that are infinite or none: JSON has no word for them, so nothing could keep them."""
    if isinstance(said, dict):
        for name, value in said.items():
            yield from _endless(value, f"{place}.{name}")
    elif isinstance(said, list):
        for number, value in enumerate(said):
            yield from _endless(value, f"{place}[{number}]")
    elif isinstance(said, float) and not math.isfinite(said):
        yield place


def _absolute(target: Target, folder: Path) -> Target:
    plan = msgspec.structs.replace(
        target.dataset, golden=_beside(target.dataset.golden, folder), harm=_beside(target.dataset.harm, folder)
    )
    command = target.launcher.command
    launcher = target.launcher
    if command is not None:
        runs = str(folder / command.runs)
        launcher = msgspec.structs.replace(launcher, command=msgspec.structs.replace(command, runs=runs))
    return msgspec.structs.replace(target, dataset=plan, launcher=launcher)


def _beside(path: str | None, folder: Path) -> str | None:
    if path is None or path == NONE or "://" in path:
        return path
    return str(folder / path)
