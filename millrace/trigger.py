"""`millrace trigger`: when to train, and what became of it."""

from __future__ import annotations

import getpass
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from millrace.output import JsonOption, print_table
from streams import logs
from streams.settings import load
from trainer_trigger.controls.records import MANUAL
from trainer_trigger.ledger import State
from trainer_trigger.policies import Finding
from trainer_trigger.service import Trigger
from trainer_trigger.views import Curve, DecisionView, JobView, Step, TargetView

app = typer.Typer(
    name="trigger",
    help="Decides when to fine-tune, builds the training set and launches once. Needs MILLRACE_TARGETS, a YAML file; "
    "see docs/trigger.md. `run` is the role; everything else looks, or says something to it.",
    no_args_is_help=True,
    add_completion=False,
)

TargetName = Annotated[str, typer.Argument(metavar="TARGET", help="Name of a tuning target.")]
DecisionId = Annotated[str, typer.Argument(metavar="DECISION", help="Id of a decision.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job or decision, or a launch's key.")]
Who = Annotated[str, typer.Option("--who", help="Who says so. Default: the user.")]
Note = Annotated[str, typer.Option("--note", help="Why; kept in the history.")]
Limit = Annotated[int, typer.Option(min=1, help="So many, the newest first.")]
OfTarget = Annotated[str, typer.Option("--target", help="Of this target only.")]

BARS: Final = "▁▂▃▄▅▆▇█"
WIDTH: Final = 60
SHOWN_EVENTS: Final = 20


@app.command()
def run() -> None:
    """Role: look at the lake and the launches every MILLRACE_TRIGGER_EVERY_S seconds, until SIGTERM.

    Serves the API on MILLRACE_TRIGGER_PORT unless that is 0. Several may run on one database; each target is looked at
    by one of them at a time, and another one takes up what it leaves.
    """
    settings = load()
    logs.configure(settings.log_level)
    from trainer_trigger.role import serve

    serve(settings)


@app.command()
def once(json: JsonOption = False) -> None:
    """One look at every target and every launch, as `run` has them again and again."""
    with _opened(builds=True) as trigger:
        trigger.tick()
        _show_targets(trigger.targets(), json)


@app.command()
def status(json: JsonOption = False) -> None:
    """Every target: new samples, the last decision, what runs, what is left of the budget."""
    with _opened() as trigger:
        _show_targets(trigger.targets(), json)


@app.command()
def explain(target: TargetName, json: JsonOption = False) -> None:
    """Why it trains now or does not, and what is missing, in words. Records no decision."""
    with _opened() as trigger:
        told = trigger.explain(target)
    if json:
        _print_json(told)
        return
    typer.echo(told.words)
    typer.echo("\nPolicies")
    for line in _tree(told.finding, 1):
        typer.echo(line)
    typer.echo("\nGuards")
    for guard in told.guards:
        typer.echo(f"  {_mark(guard.passes)} {guard.name}: {guard.words}")


@app.command()
def fire(
    target: TargetName,
    reason: Annotated[str, typer.Option(help="Why, in words; no personal data.")],
    kind: Annotated[
        str, typer.Option(help=f"{MANUAL}: whatever the policies say; else an event that a policy asks for.")
    ] = MANUAL,
    examples: Annotated[
        Path | None, typer.Option(help="File of sample ids, one a line: what went wrong.", exists=True, dir_okay=False)
    ] = None,
    request_id: Annotated[str, typer.Option(help="The same id again is the same wish.")] = "",
    who: Who = "",
    json: JsonOption = False,
) -> None:
    """Say that a target should train. Prints the job's id; `millrace trigger job ID` tells what becomes of it.

    A pause or an active run is waited for; too few samples, a spent budget or no golden set refuse it.
    """
    ids = [] if examples is None else [line.strip() for line in examples.read_text().splitlines() if line.strip()]
    with _opened() as trigger:
        job = trigger.fire(target, _who(who), kind, reason, ids, request_id or None)
    if json:
        _print_json({"job": job})
    else:
        typer.echo(job)


@app.command()
def approve(decision: DecisionId, note: Note = "", who: Who = "", json: JsonOption = False) -> None:
    """A decision that waits for it may be built and launched."""
    with _opened() as trigger:
        _show_decision(trigger.approve(decision, _who(who), note), json)


@app.command()
def refuse(decision: DecisionId, note: Note = "", who: Who = "", json: JsonOption = False) -> None:
    """A decision that waits, or is being built, comes to nothing."""
    with _opened() as trigger:
        _show_decision(trigger.refuse(decision, _who(who), note), json)


@app.command()
def pause(
    target: TargetName,
    reason: Annotated[str, typer.Option(help="Why; it is shown until resumed.")] = "",
    who: Who = "",
) -> None:
    """Decide and build nothing for a target; what is launched goes on."""
    with _opened() as trigger:
        trigger.pause(target, _who(who), reason)
    typer.echo(f"{target} is paused")


@app.command()
def resume(target: TargetName, who: Who = "") -> None:
    """Go on after a pause."""
    with _opened() as trigger:
        trigger.resume(target, _who(who))
    typer.echo(f"{target} goes on")


@app.command()
def measure(
    target: TargetName,
    metric: Annotated[str, typer.Argument(help="As a performance policy names it.")],
    value: Annotated[float, typer.Argument(help="The number.")],
    who: Who = "",
) -> None:
    """Report a measurement for the performance policy, such as an evaluation's."""
    with _opened() as trigger:
        trigger.measure(target, metric, value, _who(who))
    typer.echo(f"{metric} of {target} is {value:g}")


@app.command()
def decisions(target: OfTarget = "", limit: Limit = 20, json: JsonOption = False) -> None:
    """What was decided, also every no: one row as long as the same things stand in the way."""
    with _opened() as trigger:
        found = trigger.decisions(target or None, limit)
    if json:
        _print_each(found)
        return
    for each in found:
        times = f", {each.times:,} times since {_time(each.at_ms)}" if each.times > 1 else ""
        typer.echo(f"{_time(each.last_ms)}  {each.target}  {each.launch_state or each.stage}  {each.decision_id}")
        typer.echo(f"    {each.words}{times}")


@app.command()
def jobs(target: OfTarget = "", limit: Limit = 20, json: JsonOption = False) -> None:
    """Everything that should train, waits, trains or has trained."""
    with _opened() as trigger:
        found = trigger.jobs(target or None, limit)
    if json:
        _print_each(found)
        return
    for each in found:
        model = f"  {each.model}" if each.model else ""
        typer.echo(f"{_time(each.created_ms)}  {each.target}  {each.state}  {each.id}{model}")
        typer.echo(f"    {each.words}{f'; {each.note}' if each.note else ''}")


@app.command()
def job(job_id: JobId, json: JsonOption = False) -> None:
    """One of them: its history, what the provider told, and its loss curve."""
    with _opened() as trigger:
        found = trigger.job(job_id)
    if json:
        _print_json(found)
    else:
        _show_job(found)


@app.command()
def cancel(job_id: JobId, who: Who = "", json: JsonOption = False) -> None:
    """Withdraw what waits, refuse what is being built, stop what trains."""
    with _opened() as trigger:
        found = trigger.cancel(job_id, _who(who))
    if json:
        _print_json(found)
    else:
        typer.echo(f"{found.id} is {found.state}")


@app.command()
def resolve(
    job_id: JobId,
    to: Annotated[str, typer.Option(help="launched (with --provider-job), intended (begin again), or cancelled.")],
    note: Annotated[str, typer.Option(help="What you found at the provider.")],
    provider_job: Annotated[str, typer.Option(help="Id of the job that you found.")] = "",
    who: Who = "",
    json: JsonOption = False,
) -> None:
    """Your word on a launch that is blocked because nobody knows whether its job was created."""
    if to not in {State.LAUNCHED, State.INTENDED, State.CANCELLED}:
        raise typer.BadParameter("is launched, intended or cancelled", param_hint="--to")
    with _opened() as trigger:
        found = trigger.resolve(job_id, _who(who), State(to), note, provider_job or None)
    if json:
        _print_json(found)
    else:
        typer.echo(f"{found.id} is {found.state}")


@contextmanager
def _opened(*, builds: bool = False) -> Iterator[Trigger]:
    settings = load()
    logs.configure("ERROR")
    from trainer_trigger.wiring import open_trigger

    opened = open_trigger(settings, builds=builds)
    try:
        yield opened.trigger
    finally:
        opened.database.close()


def _who(said: str) -> str:
    return said or getpass.getuser()


def _print_json(value: Any) -> None:
    typer.echo(msgspec.json.encode(value).decode())


def _print_each(values: Sequence[Any]) -> None:
    for value in values:
        _print_json(value)


def _show_targets(found: Sequence[TargetView], as_json: bool) -> None:
    if as_json:
        _print_each(found)
        return
    for target in found:
        typer.echo(f"{target.name} {target.version}: {_stands(target)}")
        left = "" if target.budget_cents is None else f", {_left(target)} left in {target.month}"
        typer.echo(f"    {target.fresh:,} new samples of {target.total:,}{left}")
        if target.waiting_signals:
            typer.echo(f"    wishes that wait: {', '.join(target.waiting_signals)}")
        if target.last_decision is not None:
            last = target.last_decision
            typer.echo(f"    {_time(last.last_ms)} {last.stage}: {last.words}")


def _left(target: TargetView) -> str:
    return f"{(target.budget_cents or 0) - target.spent_cents:,} of {target.budget_cents:,} cents"


def _stands(target: TargetView) -> str:
    """The first of these that is so."""
    if target.problem:
        return f"problem: {target.problem}"
    if target.active_launch is not None:
        return f"launch {target.active_launch} is {(target.active_state or '').replace('_', ' ')}"
    if target.paused is not None:
        return f"paused by {target.paused.who}{f': {target.paused.why}' if target.paused.why else ''}"
    if target.open_decision is not None:
        decision = target.open_decision
        return f"decision {decision.decision_id} is {decision.stage.replace('_', ' ')}"
    return "watches"


def _show_decision(decision: DecisionView, as_json: bool) -> None:
    if as_json:
        _print_json(decision)
    else:
        typer.echo(f"{decision.decision_id} is {decision.stage}: {decision.note or decision.words}")


def _tree(finding: Finding, depth: int) -> Iterator[str]:
    composed = bool(finding.children)
    words = "" if composed else f": {finding.words}"
    yield f"{'  ' * depth}{_mark(finding.holds)} {finding.policy}{' of' if composed else ''}{words}"
    for child in finding.children:
        yield from _tree(child, depth + 1)


def _show_job(job: JobView) -> None:
    facts = {
        "job": job.id,
        "target": job.target,
        "state": f"{job.state}{f': {job.note}' if job.note else ''}",
        "because": job.words,
        "launch": job.key,
        "provider's job": job.job_id,
        "base model": job.base_model,
        "model": job.model,
        "dataset": job.dataset_place,
        "configuration": None if job.config_hash is None else f"{job.config_version} {job.config_hash[:12]}",
        "cost": f"{job.cost_cents:,} cents" if job.key is not None else None,
        "examples": f"{len(job.examples):,}: {', '.join(job.examples)}" if job.examples else None,
    }
    for name, value in facts.items():
        if value:
            typer.echo(f"{name:<15}{value}")
    if job.history:
        print_table(["at", "who", "state", "note"], [_step_row(each) for each in job.history])
    for event in job.events[-SHOWN_EVENTS:]:
        typer.echo(f"{event.level:<7}{event.message}")
    for curve in job.curves:
        typer.echo(drawn(curve))


def _step_row(step: Step) -> list[str]:
    return [_time(step.at_ms), step.who, step.after, step.note]


def drawn(curve: Curve) -> str:
    """A curve in one line: steps, values, and bars; of more than 60 points the mean of each sixtieth.

    Infinite values and NaN are left out.
    """
    points = [(step, value) for step, value in curve.points if math.isfinite(value)]
    if not points:
        return f"{curve.name:<27}no finite value"
    scale = max(abs(value) for _, value in points) or 1.0  # so that no sum is too large
    values = [value / scale for _, value in points]
    parts = min(WIDTH, len(values))
    cuts = [len(values) * part // parts for part in range(parts + 1)]
    means = [sum(values[low:high]) / (high - low) for low, high in itertools.pairwise(cuts)]
    least, span = min(means), (max(means) - min(means)) or 1.0
    bars = "".join(BARS[round((value - least) / span * (len(BARS) - 1))] for value in means)
    first, last = points[0], points[-1]
    return f"{curve.name:<27}{bars} {first[1]:.4f} at step {first[0]:,} to {last[1]:.4f} at step {last[0]:,}"


def _mark(good: bool) -> str:
    return "✓" if good else "✗"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
