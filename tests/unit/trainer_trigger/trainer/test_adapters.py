"""Folders that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trainer_trigger.trainer.adapters import MANIFEST, publish, verify
from trainer_trigger.trainer.errors import BrokenAdapterError


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    publish(folder, _filled, "job", "/base", 7)
    return folder


def _filled(folder: Path) -> None:
    (folder / "weights").write_bytes(b"0123456789")
    (folder / "config").write_bytes(b"{}")


def _filled_otherwise(folder: Path) -> None:
    (folder / "weights").write_bytes(b"other")


def test_a_published_folder_is_verified_with_where_it_comes_from(adapter: Path) -> None:
    manifest = verify(adapter)
    assert manifest.files.keys() == {"weights", "config"}
    assert (manifest.job_id, manifest.base_model, manifest.step) == ("job", "/base", 7)


def test_a_folder_that_is_left_half_filled_never_appears_and_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"

    def dies(part: Path) -> None:
        (part / "weights").write_bytes(b"01234")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(folder, dies)
    assert not folder.exists()
    publish(folder, _filled)
    verify(folder)


def test_a_published_folder_stays_as_it_is(adapter: Path) -> None:
    publish(adapter, _filled_otherwise)
    assert (adapter / "weights").read_bytes() == b"0123456789"


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda folder: (folder / "weights").write_bytes(b"012345678x"), "weights is not the file"),
        (lambda folder: (folder / "weights").write_bytes(b"01234567"), "weights is not the file"),
        (lambda folder: (folder / "weights").unlink(), "weights is missing"),
        (lambda folder: (folder / "adapter_model.bin").write_bytes(b""), "adapter_model.bin is not in the manifest"),
        (lambda folder: (folder / MANIFEST).unlink(), "has no manifest"),
        (lambda folder: (folder / MANIFEST).write_bytes(b"{"), "cannot be read"),
    ],
)
def test_any_damage_is_refused_by_name(adapter: Path, harm: Callable[[Path], object], told: str) -> None:
    harm(adapter)
    with pytest.raises(BrokenAdapterError, match=told):
        verify(adapter)
