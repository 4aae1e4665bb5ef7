"""Training files as tokens: each line is checked, written with the chat template, and marked where it is learnt.

The trainer tokenises itself, because the weights of single messages are lost on the library's own way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from streams.exports.checks import check_openai_dpo, check_openai_sft
from trainer_trigger.trainer.errors import InvalidFileError, InvalidMessagesError
from trainer_trigger.trainer.job import MIN_EXAMPLES, Method
from trainer_trigger.trainer.train_chat import Chat, Message

NOT_LEARNT: Final = -100
"""The label of a token that is only read."""

TOLD: Final = 3
"""So many problems are named, the others counted."""

Example = dict[str, list[int]]
"""`input_ids` and `labels`; or `prompt_ids`, `chosen_ids` and `rejected_ids`."""

_CHECKS: Final[dict[Method, Callable[[object], list[str]]]] = {"supervised": check_openai_sft, "dpo": check_openai_dpo}


class Examples(NamedTuple):
    """What a file became. `truncated` lost their end, `left_out` are not in `examples`: longer than may be."""

    examples: list[Example]
    truncated: int
    left_out: int

    @property
    def lengths(self) -> list[int]:
        """Tokens of each."""
        return [length(example) for example in self.examples]


def length(example: Example) -> int:
    """Tokens that the model sees; of a pair those of both answers, each with the prompt."""
    if "input_ids" in example:
        return len(example["input_ids"])
    return 2 * len(example["prompt_ids"]) + len(example["chosen_ids"]) + len(example["rejected_ids"])


def read(path: Path, method: Method, field: str = "training_file", least: int = MIN_EXAMPLES) -> list[dict[str, Any]]:
    """The lines of a file, every one checked. Raises InvalidFileError; `field` is the API's name of the file."""
    code = f"invalid_{field}"
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise InvalidFileError(f"the file cannot be read: {exc.strerror}", field, code) from exc
    lines, problems = [], []
    for number, raw in enumerate(content.split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            line = msgspec.json.decode(raw)
        except (msgspec.MsgspecError, RecursionError):
            problems.append(f"line {number} is no JSON")
            continue
        wrong = _CHECKS[method](line)
        if wrong:
            problems.append(f"line {number}: {'; '.join(wrong)}")
        lines.append(line)
    _refuse(problems, field)
    if len(lines) < least:
        raise InvalidFileError(
            f"{len(lines)} examples, of at least {least}", field, "invalid_n_examples" if least > 1 else code
        )
    return lines


def tokenized(
    lines: list[dict[str, Any]], method: Method, chat: Chat, max_length: int, field: str = "training_file"
) -> Examples:
    """Raises InvalidFileError where the template refuses a line, or nothing is left that is short enough."""
    examples: list[Example] = []
    problems: list[str] = []
    truncated = left_out = 0
    for number, line in enumerate(lines, 1):
        try:
            made = list(supervised(line, chat)) if method == "supervised" else [pair(line, chat)]
        except InvalidMessagesError as exc:
            problems.append(f"example {number}: {exc.message}")
            continue
        for example in made:
            cut = fitted(example, max_length)
            if cut is None:
                left_out += 1
            else:
                truncated += cut is not example
                examples.append(cut)
    _refuse(problems, field)
    if not examples:
        raise InvalidFileError(f"no example fits into {max_length} tokens", field, f"invalid_{field}")
    return Examples(examples, truncated, left_out)


def supervised(line: dict[str, Any], chat: Chat) -> Iterator[Example]:
    """One example, in which the assistant's messages of weight 1 are learnt.

    Some templates write an earlier turn otherwise than the last one, such as without its thoughts. Then each message
    that is learnt is an example of its own, as it is said when it is the last.
    """
    messages, tools = line["messages"], line.get("tools")
    learnt = [
        place for place, each in enumerate(messages) if each["role"] == "assistant" and each.get("weight", 1) == 1
    ]
    whole = chat.text(messages, tools)
    spans = [_said(messages, place, tools, chat) for place in learnt]
    if all(whole.startswith(text) for text, _ in spans):
        yield _labelled(whole, [(start, len(text)) for text, start in spans], chat)
    else:
        for text, start in spans:
            yield _labelled(text, [(start, len(text))], chat)


def pair(line: dict[str, Any], chat: Chat) -> Example:
    """The prompt and both answers, parted where the answers begin."""
    given, tools = line["input"]["messages"], line["input"].get("tools")
    prompt = chat.text(given, tools, prompts=True)
    chosen = chat.text([*given, line["preferred_output"][0]], tools)
    rejected = chat.text([*given, line["non_preferred_output"][0]], tools)
    shared = _shared(prompt, chosen, rejected)
    (chosen_ids, starts), (rejected_ids, others) = chat.tokens(chosen), chat.tokens(rejected)
    cut = min(_first_from(starts, shared), _first_from(others, shared))
    cut = _shared(chosen_ids[:cut], rejected_ids[:cut])
    return {"prompt_ids": chosen_ids[:cut], "chosen_ids": chosen_ids[cut:], "rejected_ids": rejected_ids[cut:]}


def fitted(example: Example, max_length: int) -> Example | None:
    """The example itself, or its start if something is learnt there; None for what must be left out.

    A pair is left out: with an answer cut off, something else would be preferred.
    """
    if "prompt_ids" in example:
        longest = max(len(example["chosen_ids"]), len(example["rejected_ids"]))
        return example if len(example["prompt_ids"]) + longest <= max_length else None
    if len(example["input_ids"]) <= max_length:
        return example
    cut = {name: values[:max_length] for name, values in example.items()}
    return cut if any(label != NOT_LEARNT for label in cut["labels"][1:]) else None


def _said(messages: list[Message], place: int, tools: Any, chat: Chat) -> tuple[str, int]:
    """The conversation up to this message and with it, and the character at which the assistant begins to speak."""
    text = chat.text(messages[: place + 1], tools)
    prompt = chat.text(messages[:place], tools, prompts=True) if place else ""
    return text, _shared(prompt, text)


def _labelled(text: str, spans: list[tuple[int, int]], chat: Chat) -> Example:
    ids, starts = chat.tokens(text)
    labels = [
        token if any(first <= start < end for first, end in spans) else NOT_LEARNT
        for token, start in zip(ids, starts, strict=True)
    ]
    return {"input_ids": ids, "labels": labels}


def _shared(*sequences: Sequence[object]) -> int:
    """How long all begin alike."""
    together = enumerate(zip(*sequences, strict=False))
    return next((place for place, each in together if len(set(each)) > 1), min(map(len, sequences)))


def _first_from(starts: list[int], character: int) -> int:
    return next((place for place, start in enumerate(starts) if start >= character), len(starts))


def _refuse(problems: list[str], field: str) -> None:
    if problems:
        more = f"; and {len(problems) - TOLD} more" if len(problems) > TOLD else ""
        raise InvalidFileError("; ".join(problems[:TOLD]) + more, field, f"invalid_{field}")
