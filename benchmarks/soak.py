"""Whether memory stays flat and nothing is lost over a long time: made-up events at a steady pace, the whole way.

    python benchmarks/soak.py [--minutes 20] [--per-s 400] [--processes 1] [--s3]

Starts Kafka and Redis, and with --s3 an S3 server, on free ports, and stops them; without, the lake is a folder. Every
process's resident memory is read every 10 seconds. Half of the events are of one tenant, the rest of a hundred.
Afterwards each event is looked up in the lake by its id.

The last line is one JSON object: for each process its memory after half of the time and at the end, in MB, and the
slope of the line fitted to what lies between, in MB/h; events sent, lost and double; and how late the generator was at
most, in seconds. What is bounded is full by then: the redactor's memo after 50,000 texts, the sink's keys after 200,000
rows of a table. A Redis that remembers everything grows.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent))

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from deploy.local.servers import S3, Kafka, Redis
from millrace.made_up import events as made_up
from schemas.codec import Codec
from schemas.events import FeedbackEvent
from streams.brokers import GaplessProducer, Outgoing, create_topics
from streams.lake.query import connect
from streams.pipeline import Pipeline
from streams.redaction.sealing import new_key_pair
from streams.settings import Settings

SAMPLE_S: Final = 10.0
SETTLED: Final = 0.5
"""The first part of the time, in which processes load and caches fill."""
TENANTS: Final = 100
ROUND: Final = 500
"""Interactions that are made up with one seed."""


def main() -> None:
    """Run the soak and print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--per-s", type=int, default=400, help="events a second")
    parser.add_argument("--processes", type=int, default=1, help="processes each of redact and curate")
    parser.add_argument("--s3", action="store_true", help="a lake on S3 instead of a folder")
    asked = parser.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="millrace-soak-")))
        kafka, store = stack.enter_context(Kafka(home / "kafka")), stack.enter_context(Redis(home / "redis"))
        lake = str(home / "lake")
        if asked.s3:
            s3 = stack.enter_context(S3(home / "s3"))
            found = s3.settings()
            os.environ.update({name: value for name, value in found.items() if name.startswith("AWS_")})
            lake = found["MILLRACE_LAKE"]
        settings = Settings(
            kafka_bootstrap=kafka.bootstrap,
            redis_url=store.url,
            lake=lake,
            hash_key="soak" * 8,
            deadletter_public_keys=(new_key_pair().public,),
        )
        create_topics(settings)
        pipeline = Pipeline(settings, home, processes=asked.processes)
        stack.callback(pipeline.close)
        pipeline.start()
        pipeline.await_ready()
        watched = {f"{role}-{n}": each.pid for role, of in pipeline.processes.items() for n, each in enumerate(of, 1)}
        watched |= {"redis": store.pid or 0}
        sent, late_s, memory = _soak(settings, asked.minutes * 60, asked.per_s, watched)
        pipeline.await_drained(300)
        print(json.dumps(_show(memory) | _audit(settings, sent) | {"late_s": round(late_s, 2), **vars(asked)}))


def _soak(
    settings: Settings, seconds: float, per_s: int, watched: Mapping[str, int]
) -> tuple[int, float, dict[str, list[tuple[float, float]]]]:
    """How many events were sent, how late at most, and each process's memory: (seconds, MB)."""
    producer, codec, topic = GaplessProducer(settings), Codec(), settings.topic("events")
    events, sent, late_s = _events(), 0, 0.0
    memory: dict[str, list[tuple[float, float]]] = {name: [] for name in watched}
    start, sampled = time.monotonic(), -SAMPLE_S
    while (now := time.monotonic() - start) < seconds:
        due = int(now * per_s) - sent
        batch = [next(events) for _ in range(due)]
        producer.deliver([Outgoing(topic, event.event_id.encode(), codec.encode(event)) for event in batch])
        sent += due
        if now - sampled >= SAMPLE_S:
            sampled = now
            for name, pid in watched.items():
                memory[name].append((now, _resident_mb(pid)))
        time.sleep(0.05)
        late_s = max(late_s, time.monotonic() - start - now - 0.05)
    return sent, late_s, memory


def _events() -> Iterator[FeedbackEvent]:
    """Events without end, each with an id of its own, an interaction's of one tenant."""
    for seed in itertools.count(1):
        for event in made_up(ROUND, seed):
            name = f"{seed}-{event.interaction_id}"
            of_tenant = zlib.crc32(name.encode())
            tenant = "large" if of_tenant % 2 else f"small-{of_tenant // 2 % TENANTS}"
            yield msgspec.structs.replace(
                event, event_id=f"{seed}-{event.event_id}", interaction_id=name, tenant=tenant
            )


def _resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _audit(settings: Settings, sent: int) -> dict[str, Any]:
    """What became of the events, by id."""
    with connect(settings.lake) as lake:
        row = lake.execute("SELECT count(*), count(DISTINCT event_id) FROM events").fetchone()
        letters = lake.execute("SELECT count(*) FROM dead_letters").fetchone()
    assert row is not None
    assert letters is not None
    rows, ids = row
    return {"events": sent, "lost": sent - ids - letters[0], "double": rows - ids, "dead_letters": letters[0]}


def _show(memory: Mapping[str, list[tuple[float, float]]]) -> dict[str, Any]:
    table = Table("process", "after a half, MB", "at the end, MB", "MB/h")
    result = {}
    for name, samples in memory.items():
        settled = samples[int(len(samples) * SETTLED) :]
        times, sizes = np.array(settled).T
        slope = float(np.polyfit(times / 3_600, sizes, 1)[0]) if len(settled) > 1 else 0.0
        result[name] = {"start_mb": round(sizes[0], 1), "end_mb": round(sizes[-1], 1), "mb_per_h": round(slope, 1)}
        table.add_row(name, *(f"{value:,.1f}" for value in result[name].values()))
    Console(stderr=True).print(table)
    return {"memory": result}


if __name__ == "__main__":
    main()
