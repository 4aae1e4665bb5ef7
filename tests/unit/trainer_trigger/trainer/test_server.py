from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streams.errors import SettingError
from streams.settings import Settings
from tests import trainers
from trainer_trigger.trainer import server
from trainer_trigger.trainer.server import Trainer, serve


def test_an_address_beyond_loopback_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(SettingError) as wrong:
        serve(Settings(trainer_host="0.0.0.0", trainer_home=str(tmp_path)))
    assert wrong.value.variable == "MILLRACE_TRAINER_KEY"


def test_a_home_has_one_service(tmp_path: Path) -> None:
    settings = Settings(trainer_home=str(tmp_path / "home"), trainer_models=str(tmp_path))
    first = Trainer(settings)
    with pytest.raises(SettingError) as wrong:
        Trainer(settings)
    assert "another trainer" in str(wrong.value)
    first.close(1)
    Trainer(settings).close(1)


def test_a_home_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError) as wrong:
        Trainer(Settings(trainer_home=str(tmp_path / "file")))
    assert wrong.value.variable == "MILLRACE_TRAINER_HOME"


def test_it_is_not_ready_without_base_models_or_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = tmp_path / "models"
    trainer = Trainer(Settings(trainer_home=str(tmp_path / "home"), trainer_models=str(models)))
    try:
        monkeypatch.setattr(server, "find_spec", lambda name: None if name == "peft" else object())
        assert trainer.problem() == "peft not installed: pip install 'millrace[trainer]'"
        monkeypatch.setattr(server, "find_spec", lambda _name: object())
        assert "MILLRACE_TRAINER_MODELS" in (trainer.problem() or "")
        trainers.stand_in_models(models)
        assert trainer.problem() is None
    finally:
        trainer.close(1)


def test_the_service_loads_no_pytorch() -> None:
    heavy = ("torch", "transformers", "peft", "trl", "accelerate", "datasets")
    code = (
        f"import sys, trainer_trigger.trainer.server, trainer_trigger.trainer.supervisor; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=trainers.REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
