"""normalise: chat messages and corrections into one form: a prompt, an answer, and views of both.

Placeholders `<PERSON:1f9a…>` become `<PERSON_1>`, numbered by first appearance over the interaction and then its
feedback, so that the same value has the same number throughout. A person's name holds a hash a word: one whose words
are all in another's is that person, so that "Ada" and "Ada Lovelace" have one number.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import msgspec
import regex
from msgspec import Struct

from schemas.curation import Normalising
from schemas.events import ContentPart, Message, ToolCall
from schemas.outcomes import GateOutcome, Origin
from schemas.reasons import Reason
from streams.redaction.placeholders import HASHED
from streams.stages import Drop, Keep
from streams.stages.join import Joined

_PIECE_CHARS: Final = 200
_MARKS: Final = regex.compile(rf"\p{{M}}{{{_PIECE_CHARS}}}")


class Normalised(Struct, frozen=True):
    """One interaction as prompt and answer.

    `messages` ends with the answer. `instruction` is the last user turn, `input` the turns before it as
    `role: text` lines, `output` the answer's text, a person's better one if there is any; then `rejected_output`
    is the model's own.
    """

    joined: Joined
    messages: tuple[Message, ...]
    instruction: str
    input: str
    output: str
    rejected_output: str | None
    origin: Origin


def normalise(joined: Joined, rules: Normalising = Normalising()) -> Keep[Normalised] | Drop:
    """Bring one interaction into form. Drops an interaction without a question or without an answer."""
    numbers = Numbering()
    messages = tuple(_clean(message, numbers) for message in joined.interaction.messages)
    better = _better_output(joined)
    if not messages or messages[-1].role != "assistant":
        if better is None:
            return _drop(Reason.EMPTY_OUTPUT)
        messages = (*messages, Message("assistant", ""))
    *prompt, answer = messages
    turns = [index for index, message in enumerate(prompt) if message.role == "user" and text_of(message).strip()]
    if not turns:
        return _drop(Reason.EMPTY_PROMPT)
    model_output = text_of(answer)
    output = model_output if better is None else numbers.number(tidy(better))
    if not output.strip() and not answer.tool_calls:
        return _drop(Reason.EMPTY_OUTPUT)
    if better is not None:
        answer = Message("assistant", output)
    return Keep(
        Normalised(
            joined=joined,
            messages=(*prompt, answer),
            instruction=text_of(prompt[turns[-1]]),
            input="\n".join(f"{message.role}: {text_of(message)}" for message in prompt[: turns[-1]]),
            output=output,
            rejected_output=model_output if better is not None and model_output.strip() else None,
            origin="human" if better is not None else "unknown",
        )
    )


def text_of(message: Message) -> str:
    """The text of a message: its content, or its text parts by line."""
    if message.content is not None:
        return message.content
    return "\n".join(part.text for part in message.parts if part.text)


def tidy(text: str) -> str:
    """NFC, `\\n` line ends, no white space at line ends or around the text."""
    lines = _composed(text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip()


def _composed(text: str) -> str:
    """NFC; a run of combining marks, for which it takes the square of their number, in pieces."""
    if text.isascii() or not _MARKS.search(text):
        return unicodedata.normalize("NFC", text)
    pieces = range(0, len(text), _PIECE_CHARS)
    return "".join(unicodedata.normalize("NFC", text[start : start + _PIECE_CHARS]) for start in pieces)


class Numbering:
    """Numbers the placeholders of one interaction by type, in order of first appearance."""

    def __init__(self) -> None:
        self._known: dict[str, list[frozenset[str]]] = {}

    def number(self, text: str) -> str:
        """The text with each hashed placeholder numbered."""
        return HASHED.sub(self._replace, text) if "<" in text else text

    def _replace(self, match: re.Match[str]) -> str:
        hashes = frozenset(match[2].split("."))
        known = self._known.setdefault(match[1], [])
        for place, other in enumerate(known):
            if hashes <= other or other <= hashes:
                known[place] = hashes | other
                return f"<{match[1]}_{place + 1}>"
        known.append(hashes)
        return f"<{match[1]}_{len(known)}>"


def _clean(message: Message, numbers: Numbering) -> Message:
    return msgspec.structs.replace(
        message,
        content=None if message.content is None else numbers.number(tidy(message.content)),
        parts=tuple(
            ContentPart(
                part.type,
                None if part.text is None else numbers.number(tidy(part.text)),
                None if part.data is None else numbers.number(part.data),
            )
            for part in message.parts
        ),
        name=None if message.name is None else numbers.number(message.name),
        tool_calls=tuple(
            ToolCall(call.name, numbers.number(call.arguments), call.id, call.type) for call in message.tool_calls
        ),
    )


def _better_output(joined: Joined) -> str | None:
    """The answer that a person wrote: a review's edit, else the latest correction or demonstration."""
    if joined.review is not None and joined.review.decision == "edit":
        return joined.review.output
    texts = [held.score.text for held in joined.scores if held.score.method in ("correction", "demonstration")]
    return texts[-1] if texts else None


def _drop(reason: Reason) -> Drop:
    return Drop(reason, (GateOutcome("format", "quality", False, reason),))
