"""`millrace demo`: the whole way of an event on embedded parts, with made-up events."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from millrace.demo_training import train
from millrace.made_up import MAX_TEXT_CHARS, events
from millrace.run import print_json, print_result, report_bad_lines, showing
from schemas.intake import event_to_json
from streams import embedded, logs
from streams.lake.query import connect
from streams.settings import load

QUESTIONS = (
    (
        "Which task types do people like least?",
        "SELECT task_type, count(*) AS samples, round(avg(score), 2) AS score FROM samples_current\n"
        "WHERE score IS NOT NULL GROUP BY task_type ORDER BY score",
    ),
    (
        "What was thrown away, and why?",
        "SELECT reason, stage, count(DISTINCT sample_id) AS interactions FROM rejected\n"
        "GROUP BY ALL ORDER BY interactions DESC",
    ),
    (
        "What personal data was taken out?",
        "SELECT unnest(map_keys(pii)) AS type, count(*) AS events FROM events GROUP BY type ORDER BY events DESC",
    ),
)


def demo(
    interactions: Annotated[int, typer.Option(min=10, help="How many interactions to make up.")] = 1_000,
    home: Annotated[str, typer.Option(help="Folder of all that is made; default a new temporary one.")] = "",
    light: Annotated[bool, typer.Option("--light", help="End where the training would begin: no PyTorch.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Only the balance, as one JSON object; no training.")] = False,
) -> None:
    """Make up interactions and feedback, carry them through the real agents and sink, and ask the lake three questions.

    Then the trigger decides, a training set is made, and our own trainer trains a tiny model on it. Needs nothing but
    this package, and PyTorch for the training: the broker is embedded, the state a file, the lake a folder.
    """
    logs.configure("ERROR")
    place = Path(home or tempfile.mkdtemp(prefix="millrace-demo-")).resolve()
    place.mkdir(parents=True, exist_ok=True)
    lake = str(place / "lake")
    settings = msgspec.structs.replace(load(environ={}), lake=lake, max_text_chars=MAX_TEXT_CHARS)
    console = Console(highlight=False, quiet=json)
    console.print(f"{interactions:,} made-up interactions and their feedback → {lake}\n", soft_wrap=True)
    with tempfile.TemporaryDirectory() as folder, showing(json) as progress:
        path = Path(folder) / "made-up.jsonl"
        path.write_bytes(b"".join(event_to_json(event) + b"\n" for event in events(interactions)))
        result = embedded.run([embedded.Input(path, "events", "demo")], settings, progress)
    report_bad_lines(result)
    if json:
        print_json(result)
    else:
        print_result(result)
        for question, query in QUESTIONS:
            _ask(console, lake, question, query)
        ask = f'{sys.argv[0]} lake sql --lake {lake} "select instruction, output, score from samples_current limit 5"'
        console.print(f"\nAsk your own:\n  {ask}", soft_wrap=True)
    trained = json or train(console, settings, place, light)
    if not (result.balance.adds_up and trained):
        raise typer.Exit(1)


def _ask(console: Console, lake: str, question: str, query: str) -> None:
    answer = connect(lake).execute(query)
    console.print(f"\n{question}")
    table = Table(*(column[0] for column in answer.description))
    for row in answer.fetchall():
        table.add_row(*(str(value) for value in row))
    console.print(table)
