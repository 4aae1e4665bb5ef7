"""`millrace` as a user runs it: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "millrace", *arguments]


def environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'client'}", "PYTHONWARNINGS": "ignore"}


def millrace(*arguments: str, exit_code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*arguments), env=environ(), input=stdin, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == exit_code, done.stderr
    return done


def run(file: Path, lake: Path, *more: str, exit_code: int = 0) -> dict[str, Any]:
    done = millrace("run", str(file), "--lake", str(lake), "--json", *more, exit_code=exit_code)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    interactions = result["received"].get("interaction", 0)
    assert interactions == (
        result["samples"]
        + result["duplicates"]
        + sum(result["rejected"].values())
        + result["waiting"]
        + result["dead_lettered"]
        + result["replayed_interactions"]
        + result["updates"]
    )
    assert (result["lost"], result["double"]) == (0, 0)
    return result
