"""A process with one Faust agent on `streams.intake`: `python -m tests.integration.intake_process PLAN`.

PLAN is JSON, see `Plan`. It keeps a journal: a line when an event was taken, and one just before it is acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import faust
import msgspec
from msgspec import Struct

from streams import intake, logs


class Plan(Struct, kw_only=True):
    """What the process does. `leave` is the share of events, slices of five records, that it never acknowledges."""

    bootstrap: str
    topic: str
    group: str
    journal: str
    leave: float = 0.0
    seed: int = 0
    batch_events: int = 50
    batch_s: float = 0.0
    wait_empty: bool = True
    commit_s: float = 0.2


async def serve(plan: Plan) -> None:
    """Run until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    chance = random.Random(plan.seed)
    journal = os.open(plan.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(what: str, events: Sequence[Any]) -> None:
        # One write for all: whole lines, also from two processes and before a SIGKILL.
        records = [record for event in events for record in event.value]
        lines = [f"{what} {r.partition} {r.offset} {r.value.decode()} {os.getpid()}" for r in records]
        os.write(journal, "".join(f"{line}\n" for line in lines).encode())

    with tempfile.TemporaryDirectory() as scratch:
        app = faust.App(
            plan.group,
            broker=f"kafka://{plan.bootstrap}",
            broker_commit_interval=plan.commit_s,
            broker_session_timeout=6.0,
            broker_heartbeat_interval=1.0,
            broker_rebalance_timeout=3.0,
            broker_max_poll_records=plan.batch_events * 4,
            consumer_auto_offset_reset="earliest",
            stream_buffer_maxsize=plan.batch_events * 4,
            stream_wait_empty=plan.wait_empty,
            topic_allow_declare=False,
            topic_disable_leader=True,
            store="memory://",
            web_enabled=False,
            datadir=scratch,
            loghandlers=[],
        )
        limits = intake.Limits(plan.batch_events, 1 << 20)
        intake.use(app, limits)
        topic = app.topic(plan.topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

        @app.agent(topic, concurrency=1)
        async def consume(stream: Any) -> None:
            async for events in intake.batches(stream, limits, 0.05):
                note("took", events)
                await asyncio.sleep(plan.batch_s)
                done = [event for event in events if chance.random() >= plan.leave]
                chance.shuffle(done)
                note("acked", done)
                for event in done:
                    event.ack()

        await app.start()
        if (await app.wait(stopping.wait())).stopped:
            os._exit(70)
        await app.stop()


def main() -> None:
    logs.configure("INFO")
    intake.SLICE = 5  # type: ignore[misc]  # so that a batch has events to leave and to shuffle
    asyncio.run(serve(msgspec.json.decode(sys.argv[1], type=Plan)))


if __name__ == "__main__":
    main()
