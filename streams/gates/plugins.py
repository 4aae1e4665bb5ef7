"""Plugins: transformers, filters and validators of the user's own, and a classifier for the policy.

Named by entry point, or as `module:attribute`. What a plugin raises goes on: the event is sealed as a dead letter.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any, Final, cast

import msgspec

from schemas.events import Message
from schemas.outcomes import GateOutcome
from schemas.reasons import Reason
from streams.errors import SettingError
from streams.gates import Candidate, Gate
from streams.stages.forms import asked, system_of, text_of, transcript
from streams.stages.normalise import Normalised

Transformer = Callable[[str, str], str]
"""A text and its role (`system`, `user`, `assistant`, …) to the text that it becomes."""

Filter = Callable[[Normalised], "bool | str"]
"""True keeps, False drops, and so does a short reason word."""

Validator = Callable[[Normalised], "str | None"]
"""A short word for what is wrong; None for nothing."""

_WORD: Final = re.compile(r"[a-z0-9_-]{1,40}")
"""A reason: one word, in which no text can hide."""


def load(group: str, name: str) -> Callable[..., Any]:
    """The callable of that name: an entry point of `millrace.{group}`, or `module:attribute`.

    Raises `SettingError` where there is none.
    """
    try:
        if ":" in name:
            module, _, path = name.partition(":")
            found: Any = importlib.import_module(module)
            for attribute in path.split("."):
                found = getattr(found, attribute)
        else:
            (entry,) = entry_points(group=f"millrace.{group}", name=name)
            found = entry.load()
    except (ImportError, AttributeError, ValueError) as exc:
        raise SettingError("MILLRACE_CURATION", name, f"no plugin of millrace.{group}: {exc}") from exc
    if not callable(found):
        raise SettingError("MILLRACE_CURATION", name, "a plugin must be callable")
    return cast(Callable[..., Any], found)


class Transform:
    """Transformers, one after the other, over every text of an interaction that a sample is made of."""

    def __init__(self, transformers: Sequence[Transformer]) -> None:
        self._transformers = transformers

    def __call__(self, normalised: Normalised) -> Normalised:
        """The interaction with its texts changed, and its views as of them."""
        messages = tuple(map(self._message, normalised.messages))
        *prompt, answer = messages
        last = asked(normalised.messages[:-1])
        system, start = system_of(prompt)
        rejected = normalised.rejected_output
        return msgspec.structs.replace(
            normalised,
            messages=messages,
            system=system,
            instruction="" if last is None else text_of(messages[last]),
            input=transcript(prompt[start:last]),
            output=text_of(answer),
            rejected_output=None if rejected is None else self._text(rejected, "assistant"),
        )

    def _message(self, message: Message) -> Message:
        content, parts = message.content, message.parts
        return msgspec.structs.replace(
            message,
            content=None if content is None else self._text(content, message.role),
            parts=tuple(
                part if part.text is None else msgspec.structs.replace(part, text=self._text(part.text, message.role))
                for part in parts
            ),
        )

    def _text(self, text: str, role: str) -> str:
        for transformer in self._transformers:
            text = transformer(text, role)
            if not isinstance(text, str):
                raise TypeError("a transformer must return a text")
        return text


class FilterGate(Gate):
    """A filter of the user's own."""

    name = "filter"
    wants = "the plugin keeps it"

    def __init__(self, plugin: str, keeps: Filter) -> None:
        self._plugin, self._keeps = plugin, keeps

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`. The detail names the plugin and its reason. Raises `TypeError`, `ValueError`."""
        said = self._keeps(sample.normalised)
        if said is True:
            return self.outcome(detail=self._plugin)
        return self.outcome(
            reason=Reason.PLUGIN, detail=self._plugin if said is False else _because(self._plugin, said)
        )


class ValidatorGate(Gate):
    """A validator of the user's own."""

    name = "validator"
    wants = "the plugin finds nothing wrong"

    def __init__(self, plugin: str, problem: Validator) -> None:
        self._plugin, self._problem = plugin, problem

    def judge(self, sample: Candidate) -> GateOutcome:
        """See `Gate.judge`. The detail names the plugin and the problem. Raises `TypeError`, `ValueError`."""
        problem = self._problem(sample.normalised)
        if problem is None:
            return self.outcome(detail=self._plugin)
        return self.outcome(reason=Reason.PLUGIN, detail=_because(self._plugin, problem))


def _because(plugin: str, word: object) -> str:
    if not isinstance(word, str):
        raise TypeError(f"{plugin} must say why in a word")
    if not _WORD.fullmatch(word):
        raise ValueError(f"{plugin} must say why in one word of a-z, 0-9, _ and -, at most 40")
    return f"{plugin}: {word}"
