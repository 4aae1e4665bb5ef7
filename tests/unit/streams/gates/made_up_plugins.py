"""Plugins for the tests."""

from __future__ import annotations

from streams.stages.normalise import Normalised

NUMBER = 1


def polite(sample: Normalised) -> bool | str:
    return True if "please" in sample.output else "impolite"


def never(sample: Normalised) -> bool:
    return False


def has_model(sample: Normalised) -> bool:
    return sample.joined.interaction.model is not None


def raising(sample: Normalised) -> bool:
    raise RuntimeError("a bug")


def wordless(sample: Normalised) -> None:
    return None


def chatty(sample: Normalised) -> str:
    return sample.output


def ends(sample: Normalised) -> str | None:
    return None if sample.output.endswith(".") else "no-full-stop"


def untagged(text: str, role: str) -> str:
    return text.replace("<b>", "").replace("</b>", "")


def untagged_now(sample: Normalised) -> str | None:
    return "tagged" if "<b>" in sample.output + sample.instruction else None


def one(text: str, role: str) -> str:
    return f"{text}1"


def two(text: str, role: str) -> str:
    return f"{text}2"


def silent_user(text: str, role: str) -> str:
    return " " if role == "user" else text


def silent_assistant(text: str, role: str) -> str:
    return " " if role == "assistant" else text


def nothing(text: str, role: str) -> None:
    return None


def certain(text: str) -> float:
    return 1.0


def raising_on_bad(sample: Normalised) -> bool:
    if sample.output == "bad":
        raise RuntimeError("a bug")
    return True
