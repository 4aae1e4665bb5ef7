"""What is done with each type of finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from streams.errors import SettingError

SETTING: Final = "MILLRACE_REDACTION_POLICY"
ANY_TYPE: Final = "*"


class Action(StrEnum):
    """What becomes of a value."""

    REDACT = "redact"  # a placeholder, numbered within its interaction
    SURROGATE = "surrogate"  # a realistic stand-in, the same within its interaction
    MASK = "mask"  # its letters and digits become asterisks
    HASH = "hash"  # a placeholder that all interactions of a tenant share
    KEEP = "keep"  # it stays: for types that are no personal data where this runs
    DROP = "drop"  # redacted, and no sample is made of its interaction


class Policy:
    """An action for each type; `*` for all others, at first REDACT."""

    def __init__(self, actions: Mapping[str, Action] | None = None) -> None:
        self._actions = {ANY_TYPE: Action.REDACT, **(actions or {})}

    def action(self, kind: str) -> Action:
        """What is done with a type of finding."""
        return self._actions.get(kind, self._actions[ANY_TYPE])

    @property
    def barred(self) -> frozenset[str]:
        """The types of which no sample may have held one."""
        return frozenset(kind for kind, action in self._actions.items() if action is Action.DROP)

    @property
    def version(self) -> str:
        """The whole policy, as it is set."""
        return ",".join(f"{kind}={action}" for kind, action in sorted(self._actions.items()))


def parse(pairs: Sequence[str]) -> Policy:
    """A policy from `TYPE=action` pairs. Raises `SettingError` for what is none."""
    actions: dict[str, Action] = {}
    for pair in pairs:
        kind, _, name = (part.strip() for part in pair.partition("="))
        if not kind or name not in {action.value for action in Action}:
            raise SettingError(SETTING, pair, f"must be TYPE=action, the action one of {', '.join(Action)}")
        if kind == ANY_TYPE and name in (Action.KEEP, Action.DROP):
            raise SettingError(SETTING, pair, "every finding at once can neither be kept nor drop its sample")
        actions[kind] = Action(name)
    return Policy(actions)
