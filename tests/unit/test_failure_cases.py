"""`docs/failure-cases.md` names a test for every case, and each of them is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = re.findall(r"^\| (\d+) \|(.*)\|$", (ROOT / "docs" / "failure-cases.md").read_text(), re.MULTILINE)
NAMED = sorted({(path, name) for _, row in ROWS for path, name in re.findall(r"`([\w/]+\.py)::(\w+)`", row)})


def test_every_case_has_a_test() -> None:
    cases = {int(number) for number, row in ROWS if "::test_" in row}
    assert cases == {*range(1, 23), 24, 25}


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_named_test_is_there(path: str, name: str) -> None:
    defined = ast.parse((ROOT / path).read_text()).body
    assert name in {each.name for each in defined if isinstance(each, ast.FunctionDef)}
