from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from millrace.collector import collector


def test_a_wrong_setting_is_a_clear_error_with_exit_code_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MILLRACE_COLLECTOR_PORT", "eighty")
    app = typer.Typer()
    app.command()(collector)
    result = CliRunner().invoke(app)
    assert result.exit_code == 2
    assert result.output.startswith("error: MILLRACE_COLLECTOR_PORT='eighty'")
