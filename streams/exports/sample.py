"""`sample`: `{instruction, input, output, meta}`, everything that is known of a sample but its other messages."""

from __future__ import annotations

from streams.exports.checks import check_sample
from streams.exports.format import Line, SampleFormat
from streams.exports.rows import Exported


def line(row: Exported) -> Line:
    """The texts, and in `meta` the system prompt, the tools, and the answer that a person replaced."""
    sample = row.sample
    return {
        "instruction": sample.instruction,
        "input": sample.input,
        "output": sample.output,
        "meta": {"system": sample.system, "tools": sample.tools, "rejected_output": sample.rejected_output},
    }


def _with_meta(line: Line, meta: Line) -> Line:
    return {**line, "meta": {**line["meta"], **meta}}


FORMAT = SampleFormat("sample", "any", line, check_sample, _with_meta)
