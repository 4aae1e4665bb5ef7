"""`millrace worker`: the agents, each in a process of its own."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from streams import logs
from streams.pipeline import Role, supervise
from streams.settings import load


def worker(
    agent: Annotated[str, typer.Option(help="Only this agent, in this process: redact or curate.")] = "",
    supervised: Annotated[bool, typer.Option(help="End when the parent process is gone.", hidden=True)] = False,
    report: Annotated[bool, typer.Option(help="Print what was done as a last JSON line.", hidden=True)] = False,
) -> None:
    """Run the agents redact and curate until SIGTERM.

    Needs Kafka with its topics (`millrace topics create`), Redis, MILLRACE_HASH_KEY and
    MILLRACE_DEADLETTER_PUBLIC_KEYS. Without --agent it starts one process an agent and ends when either does; run as
    many as there are partitions.
    """
    settings = load()
    logs.configure(settings.log_level)
    if agent:
        from streams import agents

        names = {name: name for name in agents.AGENTS}
        if agent not in names:
            raise typer.BadParameter(f"{agent!r} is no agent: redact or curate", param_hint="--agent")
        agents.serve(settings, names[agent], report, supervised)
        return
    settings.require("hash_key", "deadletter_public_keys")
    raise typer.Exit(supervise([Role.REDACT, Role.CURATE], settings, (signal.SIGTERM, signal.SIGINT)))
