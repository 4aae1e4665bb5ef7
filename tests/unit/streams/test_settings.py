"""Settings: where they come from, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.errors import SettingError
from streams.settings import Settings, described, environment, load

NOWHERE = Path("/nonexistent/millrace.toml")


def _load(**variables: str) -> Settings:
    return load({f"MILLRACE_{name}": value for name, value in variables.items()}, NOWHERE)


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    toml = tmp_path / "millrace.toml"
    toml.write_text('lake = "from-file"\nbatch_events = 7\nsources = ["a=b"]\n')
    settings = load({"MILLRACE_LAKE": "from-environment"}, toml)
    assert (settings.lake, settings.batch_events, settings.log_level) == ("from-environment", 7, "INFO")
    assert settings.tenant_of_source == {"a": "b"}


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("k" * 32 + "\n")
    assert _load(HASH_KEY_FILE=str(path)).hash_key == "k" * 32


def test_sources_say_whose_topic_it_is() -> None:
    settings = _load(SOURCES="feedback.events, acme.feedback=acme")
    assert settings.tenant_of_source == {"feedback.events": None, "acme.feedback": "acme"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BATCH_EVENTS", "0"),
        ("BATCH_EVENTS", "many"),
        ("LAKE_COMMIT_S", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("COLLECTOR_PORT", "70000"),
        ("NO_SUCH_SETTING", "x"),
        ("HASH_KEY_FILE", "/nonexistent"),
    ],
)
def test_a_wrong_setting_names_the_variable_and_the_value(name: str, value: str) -> None:
    with pytest.raises(SettingError) as caught:
        _load(**{name: value})
    assert caught.value.variable == f"MILLRACE_{name}"
    assert value in str(caught.value)


@pytest.mark.parametrize("tenant", ["a/b", "a b", "-a", "x" * 65, "a\n"])
def test_a_source_s_tenant_must_be_a_plain_name(tenant: str) -> None:
    with pytest.raises(SettingError, match="MILLRACE_SOURCES"):
        load({"MILLRACE_SOURCES": f"topic={tenant}x" if tenant.endswith("\n") else f"topic={tenant}"}, NOWHERE)


def test_a_short_secret_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingError) as caught:
        _load(HASH_KEY="hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_wrong_file_says_what_is_wrong(tmp_path: Path) -> None:
    toml = tmp_path / "millrace.toml"
    for text in ("not toml", "no_such_setting = 1"):
        toml.write_text(text)
        with pytest.raises(SettingError, match=r"millrace\.toml"):
            load({}, toml)


def test_a_required_setting_is_named_with_what_it_is_for() -> None:
    with pytest.raises(SettingError, match=r"MILLRACE_HASH_KEY=''.*is required: secret"):
        Settings().require("hash_key")


def test_settings_survive_the_way_through_a_child_s_environment() -> None:
    settings = Settings(lake_commit_s=0.5, sources=("a=b", "c"), kafka_bootstrap="h:1", deadletter_public_keys=("x",))
    assert load(environment(settings), NOWHERE) == settings


def test_every_setting_says_what_it_is_for() -> None:
    assert all(described().values())
