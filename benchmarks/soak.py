"""Whether memory stays flat: a steady stream through everything, and what each process holds meanwhile.

    python benchmarks/soak.py [--minutes 20] [--per-s 100]

Starts Kafka and Redis on free ports, sends made-up events at a steady rate, and notes each process's resident memory
every ten seconds. Given is the memory after a quarter of the time, when caches have filled for a while, and at the end,
and the slope between them in MB an hour (least squares over all notes of that time). At the end everything must have
become rows: what is lost or double ends the benchmark without figures. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent))

import msgspec
from rich.console import Console
from rich.table import Table

from deploy.local.servers import Kafka, Redis, start_all
from millrace.made_up import MAX_TEXT_CHARS
from millrace.made_up import events as made_up
from schemas.codec import Codec
from streams.balance import balance, positions
from streams.brokers import GaplessProducer, create_topics, topic_ids
from streams.feed import Source, feed
from streams.lake.query import connect
from streams.pipeline import Pipeline, wait_until
from streams.redaction.sealing import new_key_pair
from streams.settings import Settings

PARTITIONS: Final = 4
EVERY_S: Final = 10.0
DRAIN_S: Final = 300.0

Notes = dict[str, list[tuple[float, float]]]
"""Process → (seconds since the start, resident MB)."""


def main() -> None:
    """Run the soak and print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--per-s", type=int, default=100, help="events a second")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="millrace-soak-") as folder:
        home = Path(folder)
        kafka, redis = Kafka(home / "kafka"), Redis(home / "redis")
        start_all([kafka, redis])
        try:
            settings = Settings(
                kafka_bootstrap=kafka.bootstrap,
                redis_url=redis.url,
                sources=("feedback.events=soak",),
                topic_partitions=PARTITIONS,
                lake=str(home / "lake"),
                max_text_chars=MAX_TEXT_CHARS,
                hash_key="benchmark" * 4,
                deadletter_public_keys=(new_key_pair().public,),
            )
            result = soak(settings, home, asked.minutes * 60, asked.per_s)
        finally:
            for server in (kafka, redis):
                server.stop()
    _show(result)
    print(json.dumps(result))


def soak(settings: Settings, home: Path, seconds: float, per_s: int) -> dict[str, Any]:
    """Send for so long, wait until all are rows, and return the figures."""
    create_topics(settings)
    topic = settings.topic("events")
    topic_id = topic_ids(settings, [topic])[topic]
    before = positions(connect(settings.lake), [topic_id])
    pipeline, notes = Pipeline(settings, home), Notes()
    pipeline.start()
    try:
        pipeline.await_ready()
        events = itertools.islice(made_up(round(seconds * per_s)), round(seconds * per_s))
        paced = _Paced(events, per_s, seconds, lambda at: _note(notes, at, _pids(pipeline)))
        fed = feed(
            Source("soak", topic, topic_id, paced), GaplessProducer(settings), Codec(), PARTITIONS, lambda: 1 << 60
        )
        wait_until(pipeline.drained, DRAIN_S, "the stream to drain")
        pipeline.stop()
    finally:
        pipeline.close()
    outcome = balance(connect(settings.lake), fed.ledger, before, len(fed.unreadable))
    if not outcome.adds_up:
        raise SystemExit("the balance does not add up: no figures")
    return {
        "minutes": round(seconds / 60, 1),
        "events_per_s": round(fed.ledger.num_rows / seconds, 1),
        "events": fed.ledger.num_rows,
        "lost": outcome.lost,
        "double": outcome.double,
        "memory": {name: figures(of, seconds / 4) for name, of in notes.items()},
        "cores": os.cpu_count(),
    }


class _Paced:
    """Events at a steady rate, for so long; tells `note` the time every `EVERY_S`."""

    def __init__(self, events: Any, per_s: int, seconds: float, note: Any) -> None:
        self._events, self._per_s, self._seconds, self._note = events, per_s, seconds, note

    def __iter__(self) -> Any:
        start, noted = time.monotonic(), -EVERY_S
        for number, event in enumerate(self._events):
            at = time.monotonic() - start
            if at >= self._seconds:
                return
            if at - noted >= EVERY_S:
                noted = at
                self._note(at)
            yield msgspec.structs.replace(event, tenant="soak")
            time.sleep(max(0.0, (number + 1) / self._per_s - (time.monotonic() - start)))


def figures(notes: Sequence[tuple[float, float]], after_s: float) -> dict[str, float]:
    """Resident MB at `after_s` and at the end, and the slope between, in MB an hour."""
    settled = [note for note in notes if note[0] >= after_s] or list(notes)
    slope = statistics.linear_regression(*zip(*settled, strict=True)).slope if len(settled) > 1 else 0.0
    return {
        "start_mb": round(settled[0][1], 1),
        "end_mb": round(settled[-1][1], 1),
        "mb_an_hour": round(slope * 3_600, 1),
    }


def _pids(pipeline: Pipeline) -> dict[str, int]:
    return {role.value: process.pid for role, process in pipeline.processes.items()}


def _note(notes: Notes, at: float, pids: Mapping[str, int]) -> None:
    for name, pid in pids.items():
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        notes.setdefault(name, []).append((at, pages * os.sysconf("SC_PAGE_SIZE") / 1e6))


def _show(result: Mapping[str, Any]) -> None:
    table = Table(
        "process",
        "MB after a quarter",
        "MB at the end",
        "MB an hour",
        title=f"{result['minutes']} minutes, {result['events_per_s']} events/s",
    )
    for name, of in result["memory"].items():
        table.add_row(name, f"{of['start_mb']:,.0f}", f"{of['end_mb']:,.0f}", f"{of['mb_an_hour']:,.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
