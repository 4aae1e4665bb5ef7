"""The whole way of an event on real Kafka and Redis: the dialogues through agents and sink into a lake on disk.

    python benchmarks/pipeline.py [FILE] [--pairs N]

Starts the servers that it needs, on free ports, and stops them. FILE is hh-rlhf NDJSON; default the dialogues under
MILLRACE_TEST_DATA, else made-up events. At most 1.2 MB of events are on their way at any time, so that event-to-lake is
the latency of a stream under full load and not the length of a queue. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import msgspec
from rich.console import Console
from rich.table import Table

from deploy.local.servers import Kafka, Redis
from millrace.made_up import events as made_up
from millrace.run import print_balance
from schemas.codec import Codec
from schemas.events import FeedbackEvent
from streams.balance import Balance, balance, positions
from streams.brokers import GaplessProducer, create_topics, topic_ids
from streams.feed import Source, feed
from streams.importers import BadLine, read_events
from streams.lake.query import connect
from streams.pipeline import Pipeline, Reports, wait_until
from streams.redaction.sealing import new_key_pair
from streams.settings import Settings

PARTITIONS = 4
COMMIT_S = 2.0
WINDOW_BYTES = 1_200_000


def main() -> None:
    """Run the benchmark and print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", help="hh-rlhf NDJSON, gzip or plain")
    parser.add_argument("--pairs", type=int, default=None, help="only so many pairs of dialogues")
    asked = parser.parse_args()
    file = asked.file or _dialogues()
    events: Iterable[FeedbackEvent | BadLine]
    if file is None:
        print("MILLRACE_TEST_DATA is not set: made-up events instead of the real dialogues")
        events = (msgspec.structs.replace(event, tenant="bench") for event in made_up(4_000))
    else:
        events = itertools.islice(read_events(Path(file), "hh", "bench", 1_048_576), asked.pairs and asked.pairs * 4)
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        home = Path(folder)
        with Kafka(home / "kafka") as kafka, Redis(home / "redis") as redis:
            pair = new_key_pair()
            settings = Settings(
                kafka_bootstrap=kafka.bootstrap,
                redis_url=f"redis://{redis.address}/0",
                topic_partitions=PARTITIONS,
                lake=str(home / "lake"),
                lake_commit_s=COMMIT_S,
                hash_key="benchmark" * 4,
                deadletter_public_keys=(pair.public,),
            )
            result = run(settings, events, home)
    print(json.dumps(result))


def run(settings: Settings, events: Iterable[FeedbackEvent | BadLine], home: Path) -> dict[str, Any]:
    """Send the events, wait until all are rows, and return the figures."""
    create_topics(settings)
    topic = settings.topic("events")
    topic_id = topic_ids(settings, [topic])[topic]
    before = positions(connect(settings.lake), [topic_id])
    pipeline = Pipeline(settings, home)
    try:
        pipeline.start()
        pipeline.await_ready()
        start = time.monotonic()
        source = Source("dialogues", topic, topic_id, events)
        fed = feed(source, GaplessProducer(settings), Codec(), PARTITIONS, pipeline.landed, WINDOW_BYTES)
        wait_until(pipeline.drained, 600, "the stream to drain")
        seconds = time.monotonic() - start
        reports = pipeline.stop()
    finally:
        pipeline.close()
    outcome = balance(connect(settings.lake), fed.ledger, before, len(fed.unreadable))
    return _show(outcome, seconds, reports)


def _show(outcome: Balance, seconds: float, reports: Reports) -> dict[str, Any]:
    interactions = outcome.received["interaction"]
    latency = reports.sink.latency_of("samples", "rejected")
    stage_ms = {stage: round(spent / interactions * 1_000, 4) for stage, spent in reports.stage_seconds.items()}
    console = Console()
    print_balance(outcome, console)
    table = Table(
        "stage", "ms an interaction", title=f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    )
    for stage, spent in sorted(stage_ms.items(), key=lambda each: -each[1]):
        table.add_row(stage, f"{spent:.3f}")
    console.print(table)
    if not outcome.adds_up:
        raise SystemExit("the balance does not add up: no figures")
    return {
        "interactions_per_s": round(interactions / seconds, 1),
        "records_per_s": round(sum(outcome.received.values()) / seconds, 1),
        "event_to_lake_p50_s": round(latency.quantile(0.5), 3),
        "event_to_lake_p99_s": round(latency.quantile(0.99), 3),
        "stage_ms": stage_ms,
        "seconds": round(seconds, 2),
        "interactions": interactions,
        "lost": outcome.lost,
        "double": outcome.double,
    }


def _dialogues() -> str | None:
    folder = os.environ.get("MILLRACE_TEST_DATA")
    return str(Path(folder) / "dialogues" / "hh_rlhf_harmless_test.jsonl.gz") if folder else None


if __name__ == "__main__":
    main()
