"""`millrace lake export`: samples and preference pairs as files to train on."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Annotated, Final

import duckdb
import typer

from millrace.output import LakeOption, existing_lake
from streams.errors import SettingError
from streams.exports import FORMATS, query
from streams.exports.trl_kto import NEUTRAL

LINEAGE: Final = ".lineage.jsonl"
"""What follows a file's name in that of its lineage, line by line."""


def export(
    form: Annotated[str, typer.Option("--format", help=f"What a line is: {', '.join(FORMATS)}.")],
    out: Annotated[str, typer.Option(help="File, replaced when all is written; - is stdout.", metavar="FILE")] = "-",
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="From which score an answer is good; default 0.5.")
    ] = None,
    role: Annotated[str | None, typer.Option(help="Only this role.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    tools_only: Annotated[bool, typer.Option("--tools-only", help="Only conversations that call tools.")] = False,
    where: Annotated[
        str | None, typer.Option(help="SQL condition on samples_current, e.g. \"language = 'en'\".", metavar="SQL")
    ] = None,
    lake: LakeOption = "",
) -> None:
    """Write the lake's samples as NDJSON to train on, always in the same order.

    One near duplicate stands for its cluster. What awaits review is left out, but for the rejected half of a pair.
    Lineage is in `meta`; OpenAI's formats have no room for it, so it goes line by line to FILE.lineage.jsonl.
    docs/exports.md tells each format. Exit 2 if there is no lake, or an option is wrong.
    """
    if form not in FORMATS:
        raise SettingError("--format", form, f"must be one of {', '.join(FORMATS)}")
    if form == "trl-kto" and min_score is not None and min_score < NEUTRAL:
        raise SettingError("--min-score", min_score, f"must be at least {NEUTRAL} where lower scores are bad examples")
    source = query.source(existing_lake(lake))
    wanted = query.Wanted(form, min_score, role, tenant, tools_only, where)
    left_out: Counter[str] = Counter()
    written = 0
    try:
        with ExitStack() as files:
            lines = files.enter_context(_replaced(out))
            lineage = _lineage(files, form, out)
            for each in query.lines(source, wanted, left_out):
                lines.write(each.line + b"\n")
                if lineage is not None and each.lineage is not None:
                    lineage.write(each.lineage + b"\n")
                written += 1
    except duckdb.Error as exc:
        typer.echo(f"millrace: {str(exc).strip()}", err=True)
        raise typer.Exit(2) from exc
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python's own flush stays silent
        raise typer.Exit(1) from None
    typer.echo(f"{written:,} lines" + (f" · {left_out.total():,} left out" if left_out else ""), err=True)
    for reason, count in left_out.most_common():
        typer.echo(f"  left out {count:,}: {reason}", err=True)


def _lineage(files: ExitStack, form: str, out: str) -> IO[bytes] | None:
    """Where the lineage goes that has no room in a line; nowhere beside stdout. It is in place before its file."""
    if out == "-" or FORMATS[form].with_meta is not None:
        return None
    return files.enter_context(_replaced(out + LINEAGE))


@contextmanager
def _replaced(out: str) -> Iterator[IO[bytes]]:
    """A file that takes its name only when all is written and durable; stdout for -."""
    if out == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(out)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as exc:
        raise SettingError("--out", out, f"cannot be written: {exc.strerror}") from exc
    finally:
        temporary.unlink(missing_ok=True)
