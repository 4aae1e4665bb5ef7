"""normalise: chat messages and corrections into one form: a prompt, an answer, and views of both.

All later stages and exports start from `messages`: what came as chat, as instruction, input and output or as a tool
trace is the same there, and `forms` is the way back.

Placeholders `<PERSON:1f9a…>` become `<PERSON_1>`, numbered by first appearance over the interaction and then its
feedback, so that the same value has the same number throughout. A person's name holds a hash a word: one whose words
are all in another's is that person, so that "Ada" and "Ada Lovelace" have one number.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import regex
from msgspec import Struct

from schemas.curation import Normalising
from schemas.events import ContentPart, Message, ToolCall
from schemas.outcomes import GateOutcome, Origin
from schemas.reasons import Reason
from streams.redaction.placeholders import HASHED
from streams.stages import Drop, Keep, forms
from streams.stages.forms import SYSTEM_ROLES, asked, system_of, transcript
from streams.stages.join import Joined

VERSION: Final = "normalise-2"

text_of = forms.text_of

_PIECE_CHARS: Final = 200
_INDENTED: Final = ("  ", "\t")
_RESULT_ROLES: Final = frozenset({"tool", "function"})
_MARKS: Final = regex.compile(rf"\p{{M}}{{{_PIECE_CHARS}}}")


class Normalised(Struct, frozen=True):
    """One interaction as prompt and answer.

    `messages` ends with the answer. `system` is the system prompt, the messages at the beginning that give it.
    `instruction` is the last user turn, `input` the turns between (`forms.transcript`), `output` the answer's text, a
    person's better one if there is any; then `rejected_output` is the model's own. `tools` is JSON text.
    """

    joined: Joined
    messages: tuple[Message, ...]
    system: str | None
    instruction: str
    input: str
    output: str
    rejected_output: str | None
    tools: str | None
    origin: Origin


def normalise(joined: Joined, rules: Normalising = Normalising()) -> Keep[Normalised] | Drop:
    """Bring one interaction into form. Drops an interaction without a question or without an answer."""
    numbers = Numbering()
    messages = tuple(_clean(message, numbers) for message in _window(joined.interaction.messages, rules.max_turns))
    better = _better_output(joined)
    if not messages or messages[-1].role != "assistant":
        if better is None:
            return _drop(Reason.EMPTY_OUTPUT)
        messages = (*messages, Message("assistant", ""))
    *prompt, answer = messages
    last = asked(prompt)
    if last is None:
        return _drop(Reason.EMPTY_PROMPT)
    model_output = text_of(answer)
    output = model_output if better is None else numbers.number(tidy(better))
    if not output.strip() and not answer.tool_calls:
        return _drop(Reason.EMPTY_OUTPUT)
    if better is not None:
        answer = Message("assistant", output)
    system, start = system_of(prompt)
    return Keep(
        Normalised(
            joined=joined,
            messages=(*prompt, answer),
            system=system,
            instruction=text_of(prompt[last]),
            input=transcript(prompt[start:last]),
            output=output,
            rejected_output=model_output if better is not None and model_output.strip() else None,
            tools=None if joined.interaction.tools is None else numbers.number(joined.interaction.tools),
            origin="human" if better is not None else "unknown",
        )
    )


def prompt_id(tenant: str, role: str | None, prompt: Sequence[Message], tools: str | None) -> str:
    """The same for all prompts of a tenant and role that say the same: 32 hex digits of a SHA-256.

    `prompt` is all that comes before the answer, normalised; case, white space, ids, names and the order of keys in
    JSON say nothing.
    """
    said = (tenant, role, tools and _folded_json(tools), [_said(message) for message in prompt])
    return hashlib.sha256(msgspec.msgpack.encode(said)).hexdigest()[:32]


def tidy(text: str) -> str:
    """NFC, `\\n` line ends, no white space at line ends or around the text.

    The first line of several keeps an indentation of at least two columns, or a tab: it may be code.
    """
    lines = _composed(text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    joined = "\n".join(line.rstrip() for line in lines).strip("\n")
    return joined if "\n" in joined and joined.startswith(_INDENTED) else joined.lstrip()


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


def _window(messages: tuple[Message, ...], max_turns: int | None) -> tuple[Message, ...]:
    """The system prompt and the last user turns with all that follows them.

    Where a tool's result would lose its call, the window begins with the call's turn.
    """
    turns = [place for place, message in enumerate(messages) if message.role == "user"]
    if max_turns is None or len(turns) <= max_turns:
        return messages
    _, head = system_of(messages)
    start = turns[-max_turns]
    while (call := _call_before(messages, start)) is not None:
        start = max((turn for turn in turns if turn <= call), default=head)
    return (*messages[:head], *messages[start:])


def _call_before(messages: Sequence[Message], start: int) -> int | None:
    """The place of a call before `start` whose result comes after it."""
    callers = [place for place in range(start) if messages[place].tool_calls]
    made = {call.id: place for place in callers for call in messages[place].tool_calls}
    called = False
    for message in messages[start:]:
        if message.role in _RESULT_ROLES:
            if message.tool_call_id is not None and message.tool_call_id in made:
                return made[message.tool_call_id]
            if message.tool_call_id is None and not called and callers:
                return callers[-1]
        for call in message.tool_calls:
            called = True
            made.pop(call.id, None)
    return None


def _said(message: Message) -> tuple[Any, ...]:
    """What a message of a prompt says, apart from its spelling."""
    role = "system" if message.role in SYSTEM_ROLES else message.role
    if not message.parts and not message.tool_calls:
        return role, _folded(message.content or "")
    parts = [(part.type, part.data) for part in message.parts if part.type != "text"]
    calls = [(call.name, _folded_json(call.arguments)) for call in message.tool_calls]
    return role, _folded(text_of(message)), parts, calls


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _folded_json(text: str) -> str:
    try:
        return _folded(msgspec.json.encode(msgspec.json.decode(text), order="deterministic").decode())
    except (msgspec.MsgspecError, OverflowError, RecursionError):
        return _folded(text)


def _drop(reason: Reason) -> Drop:
    return Drop(reason, (GateOutcome("format", "quality", False, reason),))
