from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.settings import load
from trainer_trigger import targets

ROOT = Path(__file__).parents[3]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
DEV = dict(
    line.split("=", 1) for line in (ROOT / "deploy/dev.env").read_text().splitlines() if not line.startswith("#")
)
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)


def filled(value: str) -> str:
    return re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: DEV[found[1]], value)


@pytest.mark.parametrize("name", OURS)
def test_each_role_in_the_compose_file_can_read_its_settings(name: str, tmp_path: Path) -> None:
    environ = {key: filled(str(value)) for key, value in SERVICES[name]["environment"].items()}
    load(environ, toml=tmp_path / "none.toml")


def test_the_targets_of_the_compose_file_can_be_read() -> None:
    assert targets.load(str(ROOT / "deploy/targets.yaml")).keys() == {"assistant"}
