"""What TRL's formats have in common."""

from __future__ import annotations

import msgspec

from schemas.events import Message
from streams.exports.chat import for_trl, tools_of
from streams.exports.format import Line
from streams.exports.rows import Exported


def prompted(row: Exported, **answers: Message) -> Line:
    """The prompt of a sample, an answer a column, and its tools as JSON text, which TRL decodes.

    As lists, the schemas of different tools would be made one by whoever reads the lines as a table.
    """
    tools = row.sample.tools if tools_of(row.sample.tools) else None
    return {
        "prompt": for_trl(row.prompt),
        **{column: for_trl([answer]) for column, answer in answers.items()},
        **({"tools": tools} if tools else {}),
    }


def with_meta(line: Line, meta: Line) -> Line:
    """Lineage as JSON text, for the same reason."""
    return {**line, "meta": msgspec.json.encode(meta).decode()}
