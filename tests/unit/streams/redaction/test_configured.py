"""What the redaction that the settings ask for loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
LOAD = """
import sys
from streams.redaction import configured
from streams.settings import load
found = configured.detector(load()).analyze("Write to jo@example.com")
assert "EMAIL_ADDRESS" in {finding.type for finding in found}
assert sys.modules.get("torch", "") is not None, "hidden only while Presidio is loaded"
"""


@pytest.mark.parametrize(("own", "wanted"), [(False, set()), (True, {"torch", "transformers"})])
def test_pytorch_is_loaded_only_where_recognizers_of_the_user_s_own_may_need_it(
    own: bool, wanted: set[str], tmp_path: Path
) -> None:
    for name in ("torch", "transformers"):
        (tmp_path / f"{name}.py").write_text(f"print({name!r})\nraise ImportError")
    rules = tmp_path / "rules.yaml"
    pattern = {"name": "number", "regex": "[0-9]{9}", "score": 0.5}
    rules.write_text(
        f"recognizers: [{{name: Own, supported_entity: OWN, supported_language: en, patterns: [{pattern}]}}]"
    )
    variables = {"MILLRACE_REDACTION_RECOGNIZERS": str(rules)} if own else {}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path), **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == wanted
