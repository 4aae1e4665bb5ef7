"""Reading the targets file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import yaml

from schemas.targets import NONE, Target, Targets
from streams.errors import SettingError


def load(path: str) -> dict[str, Target]:
    """The targets of a YAML file by name, with its paths made absolute. Raises `SettingError` with the wrong field."""
    if not path:
        raise SettingError("MILLRACE_TARGETS", path, "names no file of tuning targets; see docs/trigger.md")
    try:
        said = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        targets = msgspec.convert(said, Targets).targets
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError) as exc:
        raise SettingError("MILLRACE_TARGETS", path, " ".join(str(exc).split())) from exc
    folder = Path(path).resolve().parent
    return {name: _absolute(target, folder) for name, target in targets.items()}


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
