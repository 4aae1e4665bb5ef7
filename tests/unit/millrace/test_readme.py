"""The README says what is: every setting with its default, every subcommand."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from millrace.__main__ import COMMANDS
from streams.settings import Settings, described

README = (Path(__file__).parent.parent.parent.parent / "README.md").read_text()
INTERNAL = {"embedded_topic_ids"}


@pytest.mark.parametrize("name", [name for name in described() if name not in INTERNAL])
def test_the_settings_table_has_every_setting_with_its_default_and_purpose(name: str) -> None:
    default = msgspec.structs.asdict(Settings())[name]
    shown = ",".join(default) if isinstance(default, tuple) else str(default)
    cell = f"`{shown}`" if shown else ""
    assert f"| `MILLRACE_{name.upper()}` | {cell} | {described()[name]} |" in README


@pytest.mark.parametrize("name", COMMANDS)
def test_every_subcommand_is_mentioned(name: str) -> None:
    assert f"millrace {name}" in README or f"`{name}`" in README
