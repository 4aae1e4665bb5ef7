"""`millrace held`: scores that came in bursts, and how they are let in."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from millrace.output import JsonOption, LakeOption, existing_lake, show
from streams.brokers import GaplessProducer
from streams.lake import query as lakes
from streams.reconcile import release as releasing
from streams.settings import load

app = typer.Typer(
    name="held",
    help="Scores that are held since their person brought too many in an hour: list them, let them in.",
    no_args_is_help=True,
    add_completion=False,
)

_PERSONS: Final = """
SELECT tenant, coalesce(s.by, i."user") AS person, count(DISTINCT event_id) AS held,
    count(DISTINCT (tenant, held.interaction_id)) AS interactions, min(held.occurred_at) AS first,
    max(held.occurred_at) AS last
FROM held JOIN scores s USING (tenant, event_id)
LEFT JOIN (
    SELECT tenant, interaction_id, arg_max("user", received_at) AS "user" FROM interactions GROUP BY ALL
) i ON (i.tenant, i.interaction_id) = (held.tenant, held.interaction_id)
WHERE s.rater = 'user' GROUP BY ALL ORDER BY held DESC, person
"""
_EVENTS: Final = """
SELECT tenant, interaction_id, event_id, method, value, rater, "by", occurred_at
FROM scores SEMI JOIN held USING (tenant, event_id) ORDER BY occurred_at, event_id LIMIT $limit
"""


@app.command("list")
def list_held(
    events: Annotated[bool, typer.Option("--events", help="Each score instead of each person.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="With --events, at most so many.")] = 50,
    lake: LakeOption = "",
    json: JsonOption = False,
) -> None:
    """List who brought too many, as keyed hashes, the most first. Exit 2 if there is no lake."""
    connection = lakes.connect(existing_lake(lake))
    show(connection.execute(_EVENTS, {"limit": limit}) if events else connection.execute(_PERSONS), json)


@app.command()
def release(
    ids: Annotated[list[str], typer.Option("--id", help="An event; repeat for several.")] = [],  # noqa: B006  typer copies it
    everything: Annotated[bool, typer.Option("--all", help="All that are held.")] = False,
    lake: LakeOption = "",
    json: JsonOption = False,
) -> None:
    """Let scores in, with --id or --all: they are published again and count as if they had just come. Needs Kafka.

    Exit 2 if neither is said, or if there is no lake.
    """
    if bool(ids) == everything:
        typer.echo("millrace: say either --id or --all", err=True)
        raise typer.Exit(2)
    settings = load()
    published = releasing(lakes.connect(existing_lake(lake)), settings, GaplessProducer(settings), ids)
    typer.echo(f'{{"published": {published}}}' if json else f"{published:,} events published again")
