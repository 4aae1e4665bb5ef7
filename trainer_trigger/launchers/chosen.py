"""The launcher that a target chose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from schemas.targets import OpenAI, Target
from trainer_trigger.launchers.errors import LauncherUnavailable
from trainer_trigger.launchers.port import Launcher, place

NO_KEY: Final = "none"
"""Sent to a trainer of ours that asks for no key: the client insists on one."""


def launcher_of(target: Target, environ: Mapping[str, str], opened: Callable[[str], BinaryIO]) -> Launcher:
    """`opened` reads a dataset's file from where it lies. Raises LauncherUnavailable, see `problem`."""
    wrong = problem(target, environ)
    if wrong:
        raise LauncherUnavailable(wrong)
    if target.launcher.command is not None:
        from trainer_trigger.launchers.command import CommandLauncher

        return CommandLauncher(target.launcher.command.argv, Path(target.launcher.command.runs))
    from trainer_trigger.launchers.openai import OpenAILauncher, OpenAISettings

    choice = target.launcher.openai
    assert choice is not None, "a launcher is exactly one of these"
    settles_s = 0.0 if choice.provider == "millrace" and choice.settles_s is None else choice.settles_s
    settings = OpenAISettings(
        base_url=choice.base_url,
        api_key=environ.get(choice.api_key_env) or NO_KEY,
        provider=choice.provider,
        api_version=choice.api_version,
        settles_s=settles_s,
    )
    return OpenAILauncher(settings, opened)


def problem(target: Target, environ: Mapping[str, str]) -> str:
    """What keeps the launcher from working, in words; empty if nothing does."""
    choice = target.launcher.openai
    if choice is None:
        return ""
    wrong = _wrong_url(choice.base_url)
    if wrong or environ.get(choice.api_key_env) or _keyless(choice):
        return wrong
    return f"the environment variable {choice.api_key_env} is not set: the key of {choice.base_url}"


def identity_of(target: Target) -> str:
    """The `identity` of the launcher that `launcher_of` makes, without making it."""
    choice = target.launcher.openai
    if choice is not None:
        return place(choice.provider, choice.base_url)
    assert target.launcher.command is not None, "a launcher is exactly one of these"
    return place("command", str(Path(target.launcher.command.runs)))


def _wrong_url(said: str) -> str:
    import httpx2  # its client raises at what only it takes for wrong

    try:
        httpx2.URL(said)
    except httpx2.InvalidURL as exc:
        return f"launcher.openai.base_url {said!r} is none: {exc}"
    return ""


def _keyless(choice: OpenAI) -> bool:
    return choice.provider == "millrace"
