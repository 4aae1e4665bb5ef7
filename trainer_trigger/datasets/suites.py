"""Golden sets and harm suites: the prompts in a file that nothing is trained on.

NDJSON in UTF-8. A line is an object with one of these; other keys say nothing:

| key | the prompt is |
|---|---|
| `prompt` | a text, or messages |
| `messages` | messages; an answer of the assistant at their end belongs to no prompt |
| `input` with `messages` in it | these messages (OpenAI's preference format) |
| `instruction`, `input` | `input` as what came before, then the instruction |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec

from schemas.datasets import Suite
from streams.stages.forms import SYSTEM_ROLES
from trainer_trigger.datasets.errors import DatasetUnavailable, SuiteError

MOST_BYTES: Final = 256 * 1024 * 1024


class Prompt(NamedTuple):
    """What is asked: the last turn of the user, and all turns up to the answer, without system prompts."""

    last: str
    whole: str


class Read(NamedTuple):
    """A suite in memory: `prompts` by line, from 1."""

    suite: Suite
    prompts: Mapping[int, Prompt]


def load(place: str, opened: Callable[[str], BinaryIO]) -> Read:
    """Read a suite from a path or `s3://` address.

    Raises SuiteError with the line that is wrong, DatasetUnavailable where S3 does not answer.
    """
    try:
        with opened(place) as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError as exc:
        raise SuiteError(f"{place}: there is no such file") from exc
    except OSError as exc:
        if place.startswith("s3://"):
            raise DatasetUnavailable(f"{place}: {exc}") from exc
        raise SuiteError(f"{place}: cannot be read: {exc.strerror or exc}") from exc
    if len(data) > MOST_BYTES:
        raise SuiteError(f"{place}: is larger than {MOST_BYTES:,} bytes")
    prompts = dict(_prompts(place, data))
    if not prompts:
        raise SuiteError(f"{place}: has no lines; where there is no such set, say `none`")
    return Read(Suite(place, hashlib.sha256(data).hexdigest(), len(prompts)), prompts)


def prompt_of(messages: Sequence[Mapping[str, Any]]) -> Prompt:
    """Of OpenAI's messages; an answer at their end is left out."""
    turns = [message for message in messages if message.get("role") not in SYSTEM_ROLES]
    if turns and turns[-1].get("role") == "assistant":
        turns = turns[:-1]
    said = [(str(turn.get("role")), _text(turn.get("content"))) for turn in turns]
    last = next((text for role, text in reversed(said) if role == "user"), "")
    return Prompt(last, "\n".join(text for _, text in said))


def _prompts(place: str, data: bytes) -> Iterator[tuple[int, Prompt]]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            prompt = _prompt(msgspec.json.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise SuiteError(f"{place} line {number}: is no JSON: {exc}") from exc
        except ValueError as exc:
            raise SuiteError(f"{place} line {number}: {exc}") from exc
        yield number, prompt


def _prompt(line: object) -> Prompt:
    if not isinstance(line, dict):
        raise ValueError("is no object")
    match line:
        case {"prompt": str(text)}:
            found = Prompt(text, text)
        case {"prompt": list(messages)} | {"messages": list(messages)} | {"input": {"messages": list(messages)}}:
            if not all(isinstance(message, dict) for message in messages):
                raise ValueError("has a message that is no object")
            found = prompt_of(messages)
        case {"instruction": str(instruction)}:
            before = line.get("input", "")
            found = Prompt(instruction, f"{before}\n{instruction}" if isinstance(before, str) else instruction)
        case _:
            raise ValueError("has none of prompt, messages, input.messages, instruction")
    if not found.whole.strip():
        raise ValueError("asks nothing")
    return found


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""
