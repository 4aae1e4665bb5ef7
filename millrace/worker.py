"""`millrace worker`: the agents, each in a process of its own."""

from __future__ import annotations

import os
import signal
from typing import Annotated

import typer

from streams import logs
from streams.pipeline import Role, check_processes, supervise
from streams.settings import load


def worker(
    processes: Annotated[int, typer.Option(help="Processes each of redact and curate.", min=1)] = 1,
    redact: Annotated[int, typer.Option(help="Processes of redact; 0 is as many as --processes.", min=0)] = 0,
    curate: Annotated[int, typer.Option(help="Processes of curate; 0 is as many as --processes.", min=0)] = 0,
    agent: Annotated[str, typer.Option(help="Only this agent, in this process: redact, curate or overflow.")] = "",
    supervised: Annotated[bool, typer.Option(help="End when the parent process is gone.", hidden=True)] = False,
    report: Annotated[bool, typer.Option(help="Print what was done as a last JSON line.", hidden=True)] = False,
) -> None:
    """Run the agents redact and curate, and overflow behind them, until SIGTERM.

    Needs Kafka with its topics (`millrace topics create`), Redis, MILLRACE_HASH_KEY and
    MILLRACE_DEADLETTER_PUBLIC_KEYS. Without --agent it starts and supervises the processes: one that ends is started
    again, with growing pauses; one that keeps ending soon after its start ends the command, with its status. A process
    each serves its metrics, from MILLRACE_METRICS_PORT on: first redact, then curate, last overflow. Useful are as many
    processes as there are partitions.
    """
    settings = load()
    logs.configure(settings.log_level)
    if agent:
        from streams import agents

        names = {name: name for name in agents.AGENTS}
        if agent not in names:
            raise typer.BadParameter(f"{agent!r} is no agent: {', '.join(names)}", param_hint="--agent")
        agents.serve(settings, names[agent], report, os.getppid() if supervised else 0)
        return
    settings.require("hash_key", "deadletter_public_keys")
    check_processes(settings, curate or processes)
    roles = [Role.REDACT] * (redact or processes) + [Role.CURATE] * (curate or processes) + [Role.OVERFLOW]
    raise typer.Exit(supervise(roles, settings, (signal.SIGTERM, signal.SIGINT)))
