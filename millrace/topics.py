"""`millrace topics`: create the topics, or check that they cannot lose or mix up events."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from streams.brokers import check_topics, create_topics
from streams.settings import load

app = typer.Typer(help="Create or check Kafka's topics.", no_args_is_help=True, add_completion=False)


@app.command()
def create() -> None:
    """Create the topics that are missing, with the configured partitions and replicas."""
    settings = load()
    created = create_topics(settings)
    console = Console()
    for topic in created:
        console.print(f"created {topic} with {settings.topic_partitions} partitions")
    if not created:
        console.print("all topics are there")


@app.command()
def check(json: Annotated[bool, typer.Option("--json", help="Problems as NDJSON.")] = False) -> None:
    """Check the topics; exit 1 with what is wrong and how to mend it."""
    problems = check_topics(load())
    console = Console()
    for problem in problems:
        if json:
            console.print_json(data=problem._asdict(), indent=None)
        else:
            console.print(f"{problem.topic} {problem.problem}: {problem.mend}")
    if problems:
        raise typer.Exit(1)
    if not json:
        console.print("all topics are right")
