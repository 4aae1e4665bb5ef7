from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest

from streams.collector.keys import KeyFile, Keyring
from streams.errors import InvalidKeyError, KeyFileError

from .conftest import NOW, Clock


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def test_a_key_is_shown_once_and_only_its_hash_is_stored(file: KeyFile) -> None:
    plaintext = file.create("acme", "backend", "write", NOW)
    prefix, key_id, secret = plaintext.split("_", 2)
    assert (prefix, len(key_id)) == ("mr", 12)
    assert len(secret) == 43  # 256 bits in base64
    assert secret not in file.path.read_text()
    (key,) = file.listed()
    assert (key.id, key.tenant, key.name, key.scope) == (key_id, "acme", "backend", "write")
    assert (key.created_at, key.revoked_at) == ("2026-03-01T00:00:00Z", None)


def test_the_file_is_private_and_no_draft_of_it_stays_behind(file: KeyFile) -> None:
    file.create("acme", "backend", "write", NOW)
    file.revoke(file.listed()[0].id, NOW)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert {path.name for path in file.path.parent.iterdir()} == {"keys.json", "keys.json.lock"}


def test_a_key_is_found_by_its_plaintext_and_by_nothing_near_it(file: KeyFile) -> None:
    plaintext = file.create("acme", "backend", "write", NOW)
    other = file.create("globex", "backend", "write", NOW)
    keyring = Keyring(file, Clock())
    key = keyring.find(plaintext)
    assert key is not None
    assert key.tenant == "acme"
    crossed = "_".join([*plaintext.split("_")[:2], other.split("_", 2)[2]])
    for wrong in (
        "",
        "mr",
        "mr__",
        plaintext[:-1],
        plaintext + "x",
        plaintext.upper(),
        " " + plaintext,
        crossed,
        "ü_ü_ü",
    ):
        assert keyring.find(wrong) is None


def test_revoking_is_for_good_and_says_when(file: KeyFile) -> None:
    plaintext = file.create("acme", "backend", "write", NOW)
    key = file.revoke(plaintext.split("_")[1], NOW)
    assert key.revoked_at == "2026-03-01T00:00:00Z"
    assert file.revoke(key.id, NOW.replace(year=2027)) == key
    assert Keyring(file, Clock()).find(plaintext) is None


def test_an_unknown_id_cannot_be_revoked(file: KeyFile) -> None:
    with pytest.raises(InvalidKeyError, match="no key with the id 'nope'"):
        file.revoke("nope", NOW)


@pytest.mark.parametrize("tenant", ["", "x" * 201, "a\nb", "a\x00b", "acme\n", " acme", "acme "])
def test_a_tenant_is_an_identifier(file: KeyFile, tenant: str) -> None:
    with pytest.raises(InvalidKeyError, match="tenant"):
        file.create(tenant, "backend", "write", NOW)
    assert file.listed() == ()


def test_a_scope_is_write_or_browser(file: KeyFile) -> None:
    with pytest.raises(InvalidKeyError, match="write, browser"):
        file.create("acme", "backend", "read", NOW)


def test_the_file_is_looked_at_once_a_second_and_read_again_when_it_has_changed(file: KeyFile) -> None:
    clock = Clock()
    keyring = Keyring(file, clock)
    plaintext = file.create("acme", "backend", "write", NOW)
    clock.now_s += 0.9
    assert keyring.find(plaintext) is None
    clock.now_s += 0.1
    assert keyring.find(plaintext) is not None
    file.path.unlink()
    clock.now_s += 1.0
    assert keyring.find(plaintext) is None


def test_a_file_that_breaks_leaves_the_keys_read_last_and_is_logged(
    file: KeyFile, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    plaintext = file.create("acme", "backend", "write", NOW)
    keyring = Keyring(file, clock)
    file.path.write_text('{"version": 1, "keys": [')
    clock.now_s += 1.0
    assert keyring.find(plaintext) is not None
    assert "broken" in caplog.text


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2, "keys": []}', '{"version": 1}', "\xff"])
def test_a_broken_file_at_the_start_is_an_error_that_names_it(file: KeyFile, text: str) -> None:
    file.path.write_text(text, encoding="latin-1")
    with pytest.raises(KeyFileError, match=r"keys\.json"):
        Keyring(file, Clock())


def test_a_file_that_cannot_be_read_or_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be written"):
        KeyFile(tmp_path / "missing" / "keys.json").create("acme", "backend", "write", NOW)
    with pytest.raises(KeyFileError, match="cannot be read"):
        KeyFile(tmp_path).listed()


def test_a_linked_file_is_replaced_where_it_lies(tmp_path: Path) -> None:
    target = tmp_path / "target.json"
    KeyFile(target).create("acme", "one", "write", NOW)
    (tmp_path / "link.json").symlink_to(target)
    KeyFile(tmp_path / "link.json").create("acme", "two", "write", NOW)
    assert (tmp_path / "link.json").is_symlink()
    assert [key.name for key in KeyFile(target).listed()] == ["one", "two"]


def _create_ten(path: Path, name: str) -> None:
    for _ in range(10):
        KeyFile(path).create("acme", name, "write", NOW)


def test_keys_created_at_the_same_time_are_all_there(file: KeyFile) -> None:
    context = multiprocessing.get_context("spawn")
    creators = [context.Process(target=_create_ten, args=(file.path, name)) for name in ("one", "two", "three")]
    for creator in creators:
        creator.start()
    for creator in creators:
        creator.join(60)
        assert creator.exitcode == 0
    assert len({key.id for key in file.listed()}) == 30
