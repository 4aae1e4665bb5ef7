"""A first look through a file of examples, line by line, before a process and a model are spent on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from streams.exports.checks import check_openai_dpo, check_openai_sft
from trainer_trigger.trainer.errors import InvalidFileError
from trainer_trigger.trainer.job import MIN_EXAMPLES, Method

TOLD: Final = 3
"""So many problems are named, the others counted."""

_CHECKS: Final[dict[Method, Callable[[object], list[str]]]] = {"supervised": check_openai_sft, "dpo": check_openai_dpo}


def check(path: Path, method: Method, param: str) -> int:
    """The number of examples. Raises InvalidFileError; `param` is the API's name of the file.

    It sees the form only: whether the base's chat template takes a line, the training finds out.
    """
    code = f"invalid_{param}"
    examples = wrong = 0
    told: list[str] = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            examples += 1
            problems = _problems(line, method)
            if problems:
                wrong += 1
                if len(told) < TOLD:
                    told.append(f"line {number}: {'; '.join(problems)}")
    if wrong:
        more = f"; and {wrong - len(told)} more" if wrong > len(told) else ""
        raise InvalidFileError("; ".join(told) + more, param, code)
    if param == "training_file" and examples < MIN_EXAMPLES:
        problem = f"the training file has {examples} examples, fewer than {MIN_EXAMPLES}"
        raise InvalidFileError(problem, param, "invalid_n_examples")
    if examples == 0:
        raise InvalidFileError("the file has no examples", param, code)
    return examples


def _problems(line: bytes, method: Method) -> list[str]:
    try:
        example = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ["is no JSON"]
    return _CHECKS[method](example)
