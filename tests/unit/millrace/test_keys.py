from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from millrace.keys import app
from streams.collector.keys import KeyFile
from streams.redaction.sealing import KeyPair, Sealer, unseal
from trainer_trigger.api import keys as trigger


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MILLRACE_COLLECTOR_KEYS_FILE", str(tmp_path / "keys.json"))
    return tmp_path / "keys.json"


def run(*arguments: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == exit_code, result.output
    return result.output


def test_create_prints_the_key_and_nothing_else(path: Path) -> None:
    plaintext = run("create", "acme", "--name", "backend").strip()
    (key,) = KeyFile(path).listed()
    assert plaintext.startswith(f"mr_{key.id}_")
    assert (key.tenant, key.name, key.scope) == ("acme", "backend", "write")


def test_create_list_and_revoke_speak_json(path: Path) -> None:
    created = json.loads(run("create", "acme", "--name", "page", "--scope", "browser", "--json"))
    assert created["key"].startswith(f"mr_{created['id']}_")
    (listed,) = json.loads(run("list", "--json"))
    assert (listed["id"], listed["scope"], listed["revoked_at"]) == (created["id"], "browser", None)
    assert not {"sha256", "key"} & set(listed)
    assert json.loads(run("revoke", created["id"], "--json"))["revoked_at"]
    assert KeyFile(path).listed()[0].revoked_at


def test_list_shows_names_as_they_are_and_no_secret(path: Path) -> None:
    plaintext = run("create", "acme", "--name", "[red]app[/red]").strip()
    shown = run("list")
    assert "[red]app[/red]" in shown
    assert plaintext.split("_", 2)[2] not in shown
    assert KeyFile(path).listed()[0].sha256 not in shown


def test_revoke_says_what_it_revoked(path: Path) -> None:
    run("create", "acme", "--name", "backend")
    key_id = KeyFile(path).listed()[0].id
    assert run("revoke", key_id) == f"revoked {key_id} (acme, backend)\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("create", "a\nb"), "tenant"),
        (("create", ""), "tenant"),
        (("create", "acme", "--scope", "read"), "write, browser"),
        (("create", "acme", "--name", ""), "name"),
        (("revoke", "nope"), "nope"),
    ],
)
def test_what_cannot_be_is_a_clear_error_with_exit_code_2(path: Path, arguments: tuple[str, ...], says: str) -> None:
    shown = run(*arguments, exit_code=2)
    assert shown.startswith("error: ")
    assert says in shown
    assert "Traceback" not in shown
    assert not path.exists()


def test_a_pair_seals_and_opens_a_dead_letter(path: Path) -> None:
    made = json.loads(run("pair", "--json"))
    pair = KeyPair(**made)
    assert unseal(Sealer([pair.public]).seal(b"original"), pair) == b"original"


@pytest.fixture
def trigger_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MILLRACE_TRIGGER_KEYS_FILE", str(tmp_path / "trigger.json"))
    return tmp_path / "trigger.json"


def test_a_key_for_the_trigger_has_scopes_and_targets_and_lies_in_its_own_file(path: Path, trigger_path: Path) -> None:
    for_trigger = ("--for", "trigger", "--scope", "read", "--scope", "fire", "--target", "support-chat", "--json")
    made = json.loads(run("create", "deploy bot", *for_trigger))
    (key,) = trigger.KeyFile(trigger_path).listed()
    assert made == {
        "id": key.id,
        "name": "deploy bot",
        "scopes": ["read", "fire"],
        "targets": ["support-chat"],
        "key": made["key"],
    }
    assert (key.scopes, key.targets) == (("read", "fire"), ("support-chat",))
    assert not path.exists()
    assert "read, fire" in run("list", "--for", "trigger")
    assert run("revoke", key.id, "--for", "trigger") == f"revoked {key.id} (deploy bot)\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("bot", "--for", "trigger"), "read, fire, approve, admin"),
        (("bot", "--for", "trigger", "--scope", "write"), "read, fire, approve, admin"),
        (("bot", "--for", "trigger", "--scope", "read", "--target", "A!"), "target"),
        (("bot", "--for", "trigger", "--scope", "read", "--name", "other"), "one name"),
        (("", "--for", "trigger", "--scope", "read"), "name"),
        (("acme", "--scope", "write", "--scope", "browser"), "one scope"),
        (("acme", "--target", "support-chat"), "no target"),
    ],
)
def test_a_key_that_no_server_takes_is_not_made(
    path: Path, trigger_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    shown = run("create", *arguments, exit_code=2)
    assert shown.startswith("error: ")
    assert says in shown
    assert not path.exists()
    assert not trigger_path.exists()


def test_the_key_file_of_one_server_is_none_for_the_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("create", "acme")
    monkeypatch.setenv("MILLRACE_TRIGGER_KEYS_FILE", str(path))
    assert "no file of these API keys" in run("list", "--for", "trigger", exit_code=2)
