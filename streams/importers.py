"""Importers: files that people already have, as events. One file in, events and bad lines out, in order.

Ids are hashes of the content and of how often it came before in the file, so that the same file always gives the same
events and a corrected file gives only what is new in it; an example's own id stands before its hash.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

import msgspec

from schemas.errors import InvalidEvent
from schemas.events import FeedbackEvent, Interaction, Message, Score
from schemas.intake import check_event, event_from_json, parse_json
from streams.elements import elements


class Judged(NamedTuple):
    """One interaction of a line with its judgement; without one it will wait for feedback.

    `name` is the file's own id for it, `source` where the file has it from.
    """

    interaction: Interaction
    scores: tuple[Score, ...] = ()
    name: str = ""
    source: str = ""


_BLOCK_BYTES: Final = 1 << 16
_LIST: Final = "examples"
_LABEL: Final = re.compile(r"[A-Za-z0-9._:/-]{1,80}")
_WORDS: Final = re.compile(r"[a-z]+")
_TOO_LONG: Final = "longer than {} bytes"
_ENDS_EARLY: Final = "the gzip data is damaged or ends early; what follows is unreadable"
_DAMAGED: Final = (EOFError, gzip.BadGzipFile, zlib.error)
_GZIP_MAGIC: Final = b"\x1f\x8b"
_HH_TURN: Final = re.compile(r"\n\n(Human|Assistant): ?")
_HH_ROLES: Final[Mapping[str, str]] = {"Human": "user", "Assistant": "assistant"}


class BadLine(NamedTuple):
    """A line that is no event: its number, from 1, and what is wrong with it."""

    number: int
    problem: str


def read_events(path: Path, form: str, tenant: str, max_line_bytes: int) -> Iterator[FeedbackEvent | BadLine]:
    """Every event of a file (gzip or plain) in the given format, a bad line as `BadLine`; blank lines are skipped.

    Interactions and their scores come as separate events. Raises `OSError` if the file cannot be read at all.
    """
    seen: Counter[bytes] = Counter()
    for number, place, line in (_examples if form == "examples" else _lines)(path, max_line_bytes):
        if isinstance(line, str):
            yield BadLine(number, f"{place}{line}")
            continue
        try:
            if form == "events":
                yield event_from_json(parse_json(line), tenant)
            else:
                yield from _events(FORMATS[form](_object(line)), form, tenant, seen)
        except InvalidEvent as exc:
            yield BadLine(number, f"{place}{exc}")


def file_id(path: Path, form: str, tenant: str) -> str:
    """SHA-256 of a file's content, format and tenant: the topic id of its entry positions."""
    digest = hashlib.sha256(f"{form}\x00{tenant}\x00".encode())
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _hh(line: Mapping[str, object]) -> list[Judged]:
    """`{"chosen", "rejected"}`: two transcripts of which people preferred the first."""
    return [
        Judged(Interaction(_transcript(line, "chosen")), (Score("thumbs", value=1.0),)),
        Judged(Interaction(_transcript(line, "rejected")), (Score("thumbs", value=0.0),)),
    ]


def _openai_chat(line: Mapping[str, object]) -> list[Judged]:
    """An SFT line `{"messages", …}`, or a DPO line with `preferred_output` and `non_preferred_output`.

    Beside these may stand what an interaction has (`model`, `finish_reason`, …), and for an SFT line the API's own
    `choices` in place of the answer. A judgement is `score` (as in an event), or the `weight` 0 or 1 of the last
    assistant message.
    """
    if "preferred_output" not in line:
        return [_judged(_with_choice(line))]
    given = line.get("input")
    if not isinstance(given, dict):
        raise InvalidEvent("input", "is required with preferred_output")
    pairs = (("preferred_output", 1.0), ("non_preferred_output", 0.0))
    judged: list[Judged] = []
    for name, value in pairs:
        answer, prompt = line.get(name), given.get("messages")
        if not isinstance(answer, list) or not isinstance(prompt, list):
            raise InvalidEvent(name, "must be a list of messages, like input.messages")
        interaction = _interaction({**line, "messages": [*prompt, *answer], "tools": given.get("tools")})
        judged.append(Judged(interaction, (Score("thumbs", value=value),)))
    return judged


def _alpaca(line: Mapping[str, object]) -> list[Judged]:
    """`{"instruction", "input", "output"}`, with a `score` (as in an event) if there is one."""
    if not isinstance(line.get("instruction"), str) or not isinstance(line.get("output"), str):
        raise InvalidEvent("instruction", "instruction and output must be texts")
    return [_judged(line)]


def _example(line: Mapping[str, object]) -> list[Judged]:
    """An example of a role: `{"id", "role", "task_type", "messages", "metadata"}`.

    Of `metadata`: `difficulty`, `tags`, `quality_score` in [0, 1], and `source`, which tells whether an expert gave it.
    """
    metadata = line.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict) or not isinstance(line.get("messages"), list):
        raise InvalidEvent("messages", "must be a list of messages, and metadata an object")
    said = {name: metadata[name] for name in ("difficulty", "tags") if metadata.get(name) is not None}
    if isinstance(said.get("difficulty"), str):
        said["difficulty"] = "-".join(said["difficulty"].lower().split())
    source, quality = metadata.get("source"), metadata.get("quality_score")
    words = set(_WORDS.findall(source.lower())) if isinstance(source, str) else set()
    shaped = {**line, **said}
    if quality is not None:
        rater = "expert" if "expert" in words and "non" not in words else "metric"
        shaped["score"] = {"method": "numeric", "value": quality, "minimum": 0, "maximum": 1, "rater": rater}
    name = line.get("id")
    return [_judged(shaped)._replace(name=_label(name), source=_label(source))]


FORMATS: Final[Mapping[str, Callable[[Mapping[str, object]], list[Judged]]]] = {
    "openai-chat": _openai_chat,
    "alpaca": _alpaca,
    "hh": _hh,
    "examples": _example,
}
FORMAT_NAMES: Final = ("events", *FORMATS)


def _label(text: object) -> str:
    """What may stand in an id: a short word; else nothing."""
    return text if isinstance(text, str) and _LABEL.fullmatch(text) else ""


def _with_choice(line: Mapping[str, object]) -> Mapping[str, object]:
    """A line that has the API's answer as `choices`: its first one's message as the last of `messages`."""
    choices, messages = line.get("choices"), line.get("messages")
    if not isinstance(choices, list) or not choices or not isinstance(messages, list):
        return line
    choice = choices[0]
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        raise InvalidEvent("choices[0].message", "is required")
    return {**line, "messages": [*messages, choice["message"]], "finish_reason": choice.get("finish_reason")}


def _judged(line: Mapping[str, object]) -> Judged:
    """The interaction and judgement of a line whose fields are an interaction's."""
    shaped: dict[str, object] = {"event_id": "-", "interaction_id": "-", "interaction": {**line}}
    shaped |= {name: line[name] for name in ("score", "scores") if line.get(name) is not None}
    event = event_from_json(shaped)
    assert event.interaction is not None
    scores = event.scores
    messages = line.get("messages")
    if not scores and isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        weight = messages[-1].get("weight")
        if weight in (0, 1):
            scores = (Score("thumbs", value=float(weight)),)
    return Judged(event.interaction, scores)


def _interaction(fields: Mapping[str, object]) -> Interaction:
    event = event_from_json({"event_id": "-", "interaction_id": "-", "interaction": dict(fields)})
    assert event.interaction is not None
    return event.interaction


def _transcript(line: Mapping[str, object], name: str) -> tuple[Message, ...]:
    text = line.get(name)
    if not isinstance(text, str):
        raise InvalidEvent(name, "must be a text")
    before, *turns = _HH_TURN.split(text)
    if before.strip() or not turns:
        raise InvalidEvent(name, r"must begin with '\n\nHuman: ' or '\n\nAssistant: '")
    messages = [
        {"role": _HH_ROLES[speaker], "content": said} for speaker, said in zip(turns[::2], turns[1::2], strict=True)
    ]
    return msgspec.convert(messages, tuple[Message, ...])


def _events(judged: list[Judged], form: str, tenant: str, seen: Counter[bytes]) -> Iterator[FeedbackEvent]:
    for interaction, scores, own, origin in judged:
        content = hashlib.sha256(f"{form}\x00".encode() + msgspec.msgpack.encode(interaction)).digest()[:16]
        seen[content] += 1
        times = seen[content]
        name = "-".join(filter(None, (form, own, content.hex(), str(times) if times > 1 else "")))
        source = ":".join(filter(None, ("import", form, origin)))
        event = FeedbackEvent(
            event_id=f"{name}:interaction", source=source, tenant=tenant, interaction_id=name, interaction=interaction
        )
        check_event(event)
        yield event
        if scores:
            event = FeedbackEvent(
                event_id=f"{name}:score", source=source, tenant=tenant, interaction_id=name, scores=scores
            )
            check_event(event)
            yield event


def _object(line: bytes) -> Mapping[str, object]:
    parsed = parse_json(line)
    if not isinstance(parsed, dict):
        raise InvalidEvent("", "a line is a JSON object")
    return parsed


def _lines(path: Path, max_line_bytes: int) -> Iterator[tuple[int, str, bytes | str]]:
    """Numbered lines that are not blank, or what is wrong: too long (it is skipped unkept), or the file is damaged."""
    number = 0
    with _opened(path) as file:
        try:
            while line := file.readline(max_line_bytes + 1):
                number += 1
                if len(line) > max_line_bytes and not line.endswith(b"\n"):
                    while (rest := file.readline(max_line_bytes + 1)) and not rest.endswith(b"\n"):
                        pass
                    yield number, "", _TOO_LONG.format(max_line_bytes)
                elif line.strip():
                    yield number, "", line
        except _DAMAGED:
            yield number + 1, "", _ENDS_EARLY


def _examples(path: Path, max_bytes: int) -> Iterator[tuple[int, str, bytes | str]]:
    """As `_lines`, for the elements of the list `examples`, each with the line that it begins on and its index."""
    damaged = []

    def blocks(file: IO[bytes]) -> Iterator[bytes]:
        try:
            while block := file.read(_BLOCK_BYTES):
                yield block
        except _DAMAGED:
            damaged.append(_ENDS_EARLY)

    number = 0
    with _opened(path) as file:
        for index, number, text in elements(blocks(file), _LIST, max_bytes):
            place = "" if index is None else f"{_LIST}[{index}]: "
            yield number, place, _TOO_LONG.format(max_bytes) if text is None else text
    for problem in damaged:
        yield number, "", problem


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        packed = raw.read(2) == _GZIP_MAGIC
    with cast("IO[bytes]", gzip.open(path, "rb")) if packed else path.open("rb") as file:
        yield file
