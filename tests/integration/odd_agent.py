"""Agent `redact` whose runner puts nothing out and behaves as asked: `python -m tests.integration.odd_agent HOW`.

HOW is `batch` (a batch hangs), `loop` (the event loop hangs in a batch), `fetch` (nothing is fetched), or how many
seconds each batch takes. It prints a line for each batch that begins: how many records and bytes it has.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from streams import agents, intake, logs
from streams.runners import Batch, RawRecord
from streams.settings import load


class Runner:
    """Takes its time."""

    def __init__(self, how: str) -> None:
        self._how = how

    def process(self, records: Sequence[RawRecord]) -> Batch:
        print(len(records), sum(len(record.value or b"") for record in records), flush=True)
        if self._how == "batch":
            _for_ever()
        time.sleep(float(self._how))
        return Batch((), {})


def _for_ever(*_: Any) -> Any:
    threading.Event().wait()


async def _nothing(_: Any) -> None:
    await asyncio.sleep(0.2)


def main() -> None:
    """Run until SIGTERM."""
    how = sys.argv[1]
    settings = load()
    logs.configure("INFO")
    setattr(agents._AgentWorker, "_build_runner", lambda _: Runner(how))  # noqa: B010
    if how == "loop":
        setattr(agents, "_raw", _for_ever)  # noqa: B010
    if how == "fetch":
        setattr(intake.Consumer, "_fetch_and_deliver", _nothing)  # noqa: B010
    agents.serve(settings, "redact", parent=os.getppid())


if __name__ == "__main__":
    main()
