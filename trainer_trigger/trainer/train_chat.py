"""Messages as the base's chat template writes them, in training and in serving alike.

What people and tools say is text, whatever it looks like: special tokens in it are broken up with a zero-width space
before the template sees them, so that the tokeniser never reads them as the end of a turn or the start of another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from trainer_trigger.trainer.adapters import TEMPLATE, TOOLS_TEMPLATE
from trainer_trigger.trainer.errors import BaseModelError, InvalidMessagesError

Message = dict[str, Any]

BROKEN: Final = "\u200b"
PLAIN: Final = (
    "{{ bos_token or '' }}{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}"
    "{% for call in message.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""For a base without a template; each turn ends with the token that ends a text."""


class Chat:
    """A tokeniser and its chat template, of which some bases have one of its own for messages with tools.

    With the folder of an adapter `trained`, the templates are those that it was trained with, whatever the base's are.
    """

    def __init__(self, tokenizer: Any, trained: Path | None = None) -> None:
        if not tokenizer.is_fast:
            raise BaseModelError("the tokenizer has no tokenizer.json", "model", "unsupported_model")
        if tokenizer.eos_token is None:
            raise BaseModelError("the tokenizer has no token that ends a text", "model", "unsupported_model")
        self.tokenizer = tokenizer
        self.template, self._with_tools = _kept(trained) or _own(tokenizer)
        self.is_plain = self.template == PLAIN
        added = tokenizer.added_tokens_decoder.values()
        special = {token.content for token in added if token.special} | set(tokenizer.all_special_tokens)
        # Some bases mark turns with tokens that are not called special.
        told = self.template + self._with_tools
        marks = {token.content for token in added if len(token.content.strip()) > 1 and token.content in told}
        self._of_assistant = _any_of(special)
        self._of_others = _any_of(special | marks)

    def text(self, messages: Sequence[Message], tools: Sequence[Any] | None = None, *, prompts: bool = False) -> str:
        """The messages as the model sees them; with `prompts` up to where the assistant speaks next.

        Raises InvalidMessagesError for what the template refuses.
        """
        try:
            text = self.tokenizer.apply_chat_template(
                [self._safe(message) for message in messages],
                tools=self._broken(tools, self._of_others) if tools else None,
                chat_template=self._with_tools if tools else self.template,
                add_generation_prompt=prompts,
                tokenize=False,
            )
        except Exception as exc:  # whatever a template raises, and it may be any of jinja's and Python's errors
            raise InvalidMessagesError(f"the base's chat template refuses them: {exc}", "messages") from exc
        return str(text)

    def tokens(self, text: str) -> tuple[list[int], list[int]]:
        """The tokens of a text that `text` wrote, and the character at which each begins."""
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return list(encoded["input_ids"]), [start for start, _ in encoded["offset_mapping"]]

    def ends(self) -> list[int]:
        """The tokens that end an answer: of the text, and of the turn, where the template has one of its own."""
        found = [self.tokenizer.eos_token_id]
        answer = "answer"
        try:
            text = self.text([{"role": "user", "content": "question"}, {"role": "assistant", "content": answer}])
        except InvalidMessagesError:
            return found
        after, _ = self.tokens(text[text.rfind(answer) + len(answer) :])
        if after and after[0] in self.tokenizer.added_tokens_decoder and after[0] not in found:
            found.append(after[0])
        return found

    def write_templates(self, folder: Path) -> None:
        """Leave the templates beside an adapter."""
        (folder / TEMPLATE).write_bytes(self.template.encode())
        if self._with_tools != self.template:
            (folder / TOOLS_TEMPLATE).write_bytes(self._with_tools.encode())

    def _safe(self, message: Message) -> Message:
        pattern = self._of_assistant if message["role"] == "assistant" else self._of_others
        content = message.get("content")
        if isinstance(content, list):
            if any(part.get("type") != "text" for part in content):
                raise ValueError("this base reads text only")
            content = "".join(part["text"] for part in content)
        safe = {**message, "content": content or ""}
        if message.get("tool_calls"):
            safe["tool_calls"] = [_with_object(call) for call in message["tool_calls"]]
        safe.pop("weight", None)
        return {key: value if key == "role" else self._broken(value, pattern) for key, value in safe.items()}

    def _broken(self, value: Any, pattern: re.Pattern[str]) -> Any:
        if isinstance(value, str):
            while pattern.search(value):
                value = pattern.sub(lambda found: found[0][0] + BROKEN + found[0][1:], value)
            return value
        if isinstance(value, dict):
            return {self._broken(key, pattern): self._broken(each, pattern) for key, each in value.items()}
        return [self._broken(each, pattern) for each in value] if isinstance(value, (list, tuple)) else value


def _own(tokenizer: Any) -> tuple[str, str]:
    """The base's templates, without tools and with them. Raises BaseModelError where none of several is for all."""
    if not tokenizer.chat_template:
        return PLAIN, PLAIN
    try:
        return tokenizer.get_chat_template(), tokenizer.get_chat_template(tools=[])
    except ValueError as exc:
        names = ", ".join(sorted(tokenizer.chat_template))
        problem = f"of the base's chat templates ({names}) none is called default"
        raise BaseModelError(problem, "model", "unsupported_model") from exc


def _kept(adapter: Path | None) -> tuple[str, str] | None:
    """The templates beside an adapter; None where there are none."""
    if adapter is None or not (adapter / TEMPLATE).is_file():
        return None
    template, tools = (adapter / TEMPLATE).read_bytes().decode(), adapter / TOOLS_TEMPLATE
    return template, tools.read_bytes().decode() if tools.is_file() else template


def _any_of(tokens: set[str]) -> re.Pattern[str]:
    """Of two characters at least: a shorter one cannot be broken up."""
    found = sorted((token for token in tokens if len(token) > 1), key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, found)) or r"(?!)")


def _with_object(call: dict[str, Any]) -> dict[str, Any]:
    """Templates want the arguments as an object; the API has them as text."""
    function = call["function"]
    if isinstance(function.get("arguments"), str):
        function = {**function, "arguments": json.loads(function["arguments"])}
    return {**call, "function": function}
