"""The gates: each measures one thing about a sample, says whether it passes, and gives a grade for it.

A gate is compiled once from the configuration and then only decides. `stages.gate` folds them; families stay apart:
safety (it must not be trained on) and quality (it is no use).
"""

from __future__ import annotations

import re
from typing import ClassVar, Final

from msgspec import Struct

from schemas.outcomes import Family, GateOutcome
from schemas.reasons import Reason
from streams.stages.forms import text_of
from streams.stages.normalise import Normalised

_UNSPACED: Final = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Thai, Lao, Khmer, kana and Han: scripts that write no space between words."""

_ANY_UNSPACED: Final = re.compile(f"[{_UNSPACED}]")
_WORD: Final = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


def words_of(text: str) -> list[str]:
    """The words between white space; of a script that has none, each character."""
    if text.isascii() or not _ANY_UNSPACED.search(text):
        return text.split()
    return _WORD.findall(text)


def plain(text: str) -> str:
    """In lower case, with `'` for `’`."""
    return text.lower().replace("’", "'")


class Candidate(Struct, frozen=True):
    """What is judged, with what several gates need of it.

    `prompt` has the texts of all messages but the answer, by line. `words` and `lowered` (`plain`) are the answer's.
    `only_calls` is an answer that calls tools and says nothing.
    """

    normalised: Normalised
    prompt: str
    output: str
    words: list[str]
    lowered: str
    only_calls: bool


def candidate(normalised: Normalised) -> Candidate:
    """What the gates judge of an interaction."""
    output = normalised.output
    return Candidate(
        normalised,
        "\n".join([text_of(message) for message in normalised.messages[:-1]]),
        output,
        words_of(output),
        plain(output),
        not output.strip() and bool(normalised.messages[-1].tool_calls),
    )


class Gate:
    """One gate. `wants` is its limit in words, `unit` what its value counts.

    `idle`: it is configured to drop nothing; unless its grade counts in the profile, it does not run.
    """

    name: ClassVar[str]
    family: ClassVar[Family] = "quality"
    unit: ClassVar[str] = ""
    wants: str = ""
    idle: bool = False

    def judge(self, sample: Candidate) -> GateOutcome:
        """What the gate says of a sample."""
        raise NotImplementedError

    def grade(self, value: float) -> float:
        """How good a value is, in [0, 1]."""
        return 1.0

    def outcome(
        self, value: float | None = None, reason: Reason | None = None, detail: str | None = None
    ) -> GateOutcome:
        """An outcome of this gate; it did not pass if there is a reason."""
        return GateOutcome(self.name, self.family, reason is None, reason, value, detail)
