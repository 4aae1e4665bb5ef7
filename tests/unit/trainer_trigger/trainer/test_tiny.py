"""The tiny base."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

from tests import tuning
from tests.trainers import need_torch
from trainer_trigger.trainer.tiny import make_tiny

pytestmark = pytest.mark.filterwarnings("ignore")


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_it_is_made_in_a_moment_and_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    need_torch()
    texts = [text for pair in tuning.prompts() for text in pair]
    make_tiny(tmp_path / "first", texts)
    before = time.process_time()
    make_tiny(tmp_path / "second", texts)
    assert time.process_time() - before < 1
    make_tiny(tmp_path / "other", texts, seed=1)
    first, second, other = (_hashes(tmp_path / name) for name in ("first", "second", "other"))
    assert first == second
    assert first["model.safetensors"] != other["model.safetensors"]
    assert first["tokenizer.json"] == other["tokenizer.json"]
