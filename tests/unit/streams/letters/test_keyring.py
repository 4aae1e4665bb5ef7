"""Private keys come from files, open what is theirs, and are told to nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from millrace.keys import app as keys_app
from streams.errors import SettingError, StreamError
from streams.letters.keyring import Keyring, keyring, readable_by_others
from streams.redaction.sealing import Sealer, key_id, new_key_pair


@pytest.mark.parametrize("arguments", [["pair"], ["pair", "--json"]])
def test_what_keys_pair_prints_is_a_key_file(tmp_path: Path, arguments: list[str]) -> None:
    printed = CliRunner().invoke(keys_app, arguments).stdout
    file = tmp_path / "pair"
    file.write_text(printed)
    (name,) = keyring([file]).ids
    public = next(word for word in printed.replace('"', " ").replace("=", "= ").split() if key_id(word) == name[:16])
    assert key_id(public) == name


def test_keys_come_a_line_each_from_any_number_of_files(tmp_path: Path) -> None:
    pairs = [new_key_pair() for _ in range(3)]
    (tmp_path / "a").write_text(f"# old\n{pairs[0].private}\n\n{pairs[1].private}\n")
    (tmp_path / "b").write_text(pairs[2].private)
    keys = keyring([tmp_path / "a", tmp_path / "b"])
    assert keys.ids == [key_id(pair.public) for pair in pairs]
    for pair in pairs:
        assert keys.open(Sealer([pair.public]).seal(b"original")) == b"original"


@pytest.mark.parametrize("content", ["", "# nothing\n", "{}", "secret-but-wrong", '{"private": 5}', b"\xff\xfe"])
def test_a_file_without_a_key_is_named_and_not_quoted(tmp_path: Path, content: str | bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingError, match=str(file)) as refusal:
        keyring([file])
    assert "secret" not in str(refusal.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read"):
        keyring([tmp_path / "nothing"])


def test_a_wrong_key_says_which_ones_would_open_and_which_there_are() -> None:
    mine, theirs = new_key_pair(), new_key_pair()
    keys = Keyring([mine.private])
    sealed = Sealer([theirs.public]).seal(b"original")
    assert not keys.opens(copy.key_id for copy in sealed.copies)
    with pytest.raises(StreamError) as refusal:
        keys.open(sealed)
    assert key_id(theirs.public) in str(refusal.value)
    assert key_id(mine.public) in str(refusal.value)
    assert mine.private not in str(refusal.value)


@pytest.mark.parametrize(("mode", "found"), [(0o600, 0), (0o640, 1), (0o604, 1)])
def test_a_key_file_that_others_may_read_is_found(tmp_path: Path, mode: int, found: int) -> None:
    file = tmp_path / "key"
    file.write_text("x")
    file.chmod(mode)
    assert len(readable_by_others([file])) == found
