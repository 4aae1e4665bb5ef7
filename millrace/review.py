"""`millrace review`: a person looks at samples and says what becomes of them."""

from __future__ import annotations

import getpass
import sys
import uuid
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import typer

from millrace.output import JsonOption, LakeOption, existing_lake, show
from schemas.events import FeedbackEvent, Review
from schemas.intake import check_event
from streams.brokers import GaplessProducer, Outgoing
from streams.codecs import codec_of
from streams.lake import query as lakes
from streams.settings import load

app = typer.Typer(
    name="review",
    help="Look at samples and say what becomes of them. A verdict is an event like any other: it needs Kafka, goes "
    "through redact and curate, and shows as a new revision seconds later.",
    no_args_is_help=True,
    add_completion=False,
)

SOURCE: Final = "review"

_CHOSEN: Final = """
SELECT sample_id, revision, model, score, quality, instruction, output
FROM {among} AND ($tenant = '' OR tenant = $tenant) AND ($role = '' OR role = $role)
ORDER BY {first} LIMIT $limit
"""
_QUEUE: Final = _CHOSEN.format(among="samples_latest WHERE awaits_review", first="received_at, sample_id")
_CHANCE: Final = "hash(sample_id || $seed)"
_AUDIT: Final = _CHOSEN.format(
    among="samples_current WHERE NOT reviewed",
    first=f"row_number() OVER (PARTITION BY role, task_type ORDER BY {_CHANCE}), {_CHANCE}",
)
"""The same share of every role and task type, as far as there are so many; by chance within them."""

_KNOWN: Final = """
SELECT tenant || '/' || interaction_id, tenant, interaction_id FROM interactions
SEMI JOIN (SELECT unnest($ids::VARCHAR[]) AS id) ON id = tenant || '/' || interaction_id
"""

Samples = Annotated[list[str], typer.Argument(metavar="SAMPLE…", help="Sample ids: tenant/interaction.")]
_Reviewer = Annotated[str, typer.Option("--reviewer", help="Who says so; kept as a keyed hash. Default: the user.")]
_Comment = Annotated[str, typer.Option("--comment", help="Kept, redacted.")]


@app.command("list")
def list_samples(
    audit: Annotated[
        bool, typer.Option("--audit", help="Instead a stratified random share of the current samples.")
    ] = False,
    seed: Annotated[str, typer.Option(help="Another one draws another share.")] = "",
    tenant: str = "",
    role: str = "",
    limit: Annotated[int, typer.Option(min=1)] = 20,
    lake: LakeOption = "",
    json: JsonOption = False,
) -> None:
    """List the samples that wait for a person: outputs of tuned models. Exit 2 if there is no lake."""
    wanted: dict[str, str | int] = {"tenant": tenant, "role": role, "limit": limit}
    query = _AUDIT if audit else _QUEUE
    if audit:
        wanted["seed"] = seed
    show(lakes.connect(existing_lake(lake)).execute(query, wanted), json)


@app.command()
def approve(
    samples: Samples, reviewer: _Reviewer = "", comment: _Comment = "", lake: LakeOption = "", json: JsonOption = False
) -> None:
    """These may be trained on. Exit 2 for an id that the lake does not have; then nothing is sent."""
    _send(samples, Review("approve", reviewer, comment=comment or None), lake, json)


@app.command()
def reject(
    samples: Samples, reviewer: _Reviewer = "", comment: _Comment = "", lake: LakeOption = "", json: JsonOption = False
) -> None:
    """These must not be trained on. Exit 2 for an id that the lake does not have; then nothing is sent."""
    _send(samples, Review("reject", reviewer, comment=comment or None), lake, json)


@app.command()
def edit(
    sample: Annotated[str, typer.Argument(help="Sample id: tenant/interaction.")],
    output: Annotated[str, typer.Option("--output", help="The better answer; - reads it from stdin.")],
    reviewer: _Reviewer = "",
    comment: _Comment = "",
    lake: LakeOption = "",
    json: JsonOption = False,
) -> None:
    """This is the answer that it should have been: it becomes the sample's output, the model's own the rejected one."""
    text = sys.stdin.read() if output == "-" else output
    _send([sample], Review("edit", reviewer, output=text, comment=comment or None), lake, json)


def _send(samples: Sequence[str], review: Review, lake: str, as_json: bool) -> None:
    settings = load()
    if not review.reviewer:
        review = msgspec.structs.replace(review, reviewer=getpass.getuser())
    found = lakes.connect(existing_lake(lake)).execute(_KNOWN, {"ids": list(samples)}).fetchall()
    known = {sample: (tenant, interaction_id) for sample, tenant, interaction_id in found}
    unknown = [sample for sample in samples if sample not in known]
    if unknown:
        typer.echo(f"millrace: the lake has no sample {', '.join(unknown)}; nothing was sent", err=True)
        raise typer.Exit(2)
    codec, topic = codec_of(settings), settings.topic("events")
    outgoing = []
    for sample in dict.fromkeys(samples):
        tenant, interaction_id = known[sample]
        event = FeedbackEvent(
            event_id=f"review-{uuid.uuid4()}",
            source=SOURCE,
            tenant=tenant,
            interaction_id=interaction_id,
            review=review,
        )
        check_event(event)
        outgoing.append(Outgoing(topic, sample.encode(), codec.encode(event)))
    GaplessProducer(settings).deliver(outgoing)
    typer.echo(f'{{"sent": {len(outgoing)}}}' if as_json else f"{len(outgoing):,} sent")
