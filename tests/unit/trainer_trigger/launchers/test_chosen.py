"""The launcher that a target chose, and what keeps it from working."""

from __future__ import annotations

import io

import pytest

from schemas.targets import Command, LauncherChoice, OpenAI
from tests.trigger_parts import target
from trainer_trigger.launchers.chosen import identity_of, launcher_of, problem
from trainer_trigger.launchers.command import CommandLauncher
from trainer_trigger.launchers.errors import LauncherUnavailable
from trainer_trigger.launchers.openai import OpenAILauncher

URL = "http://127.0.0.1:9/v1"


def test_a_key_that_is_not_set_is_named_and_nothing_is_called() -> None:
    hosted = target(launcher=LauncherChoice(openai=OpenAI(base_url=URL, api_key_env="TEAM_KEY")))
    assert problem(hosted, {}) == f"the environment variable TEAM_KEY is not set: the key of {URL}"
    assert problem(hosted, {"TEAM_KEY": ""}) == problem(hosted, {})
    with pytest.raises(LauncherUnavailable, match="TEAM_KEY"):
        launcher_of(hosted, {}, lambda _place: io.BytesIO())
    assert problem(hosted, {"TEAM_KEY": "sk"}) == ""


@pytest.mark.parametrize(
    ("choice", "settles_s"),
    [
        (OpenAI(base_url=URL), None),
        (OpenAI(base_url=URL, settles_s=60.0), 60.0),
        (OpenAI(base_url=URL, provider="millrace"), 0.0),
        (OpenAI(base_url=URL, provider="millrace", settles_s=5.0), 5.0),
    ],
)
def test_only_our_own_trainer_is_known_to_settle_at_once(choice: OpenAI, settles_s: float | None) -> None:
    made = launcher_of(target(launcher=LauncherChoice(openai=choice)), {"OPENAI_API_KEY": "sk"}, lambda _: io.BytesIO())
    assert isinstance(made, OpenAILauncher)
    assert made.settles_s == settles_s
    made.close()


def test_our_own_trainer_may_do_without_a_key() -> None:
    assert problem(target(launcher=LauncherChoice(openai=OpenAI(base_url=URL, provider="millrace"))), {}) == ""


def test_a_base_url_that_the_client_does_not_take_is_named_before_a_client_is_made() -> None:
    url = "http://127.0.0.1:8090/v\n1"
    wrong = target(launcher=LauncherChoice(openai=OpenAI(base_url=url)))
    assert problem(wrong, {"OPENAI_API_KEY": "sk"}).startswith(f"launcher.openai.base_url {url!r} is none: ")
    with pytest.raises(LauncherUnavailable, match="base_url"):
        launcher_of(wrong, {"OPENAI_API_KEY": "sk"}, lambda _: io.BytesIO())


@pytest.mark.parametrize(
    ("choice", "identity"),
    [
        (LauncherChoice(openai=OpenAI(base_url=f"{URL}/")), f"openai at {URL}"),
        (LauncherChoice(openai=OpenAI(base_url=URL, provider="millrace")), f"millrace at {URL}"),
        (LauncherChoice(openai=OpenAI(base_url=URL, provider="azure", api_version="1")), f"azure at {URL}"),
        (LauncherChoice(command=Command(argv=("true",), runs="/a//runs/")), "command at /a/runs"),
    ],
)
def test_a_launcher_is_known_by_where_it_launches_before_it_is_made(choice: LauncherChoice, identity: str) -> None:
    chosen = target(launcher=choice)
    made = launcher_of(chosen, {"OPENAI_API_KEY": "sk"}, lambda _: io.BytesIO())
    assert made.identity == identity_of(chosen) == identity


def test_a_command_needs_no_key() -> None:
    command = target(launcher=LauncherChoice(command=Command(argv=("true",), runs="/runs")))
    assert problem(command, {}) == ""
    assert isinstance(launcher_of(command, {}, lambda _: io.BytesIO()), CommandLauncher)
