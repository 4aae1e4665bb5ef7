"""How many messages a second one process takes in: Faust's own intake, ours, Quix Streams, and the bare clients.

    python benchmarks/faust_intake.py [--rounds N] [--messages N] [--no-quix]

Starts a Kafka of its own on free ports and stops it. All read the same topic, 4 partitions of 200-byte values, from its
beginning, each in a process and a group of its own, alternating; given is the median over the rounds, from the first
messages on. Both agents take 500 at a time, acknowledge them in order, and commit every half a second: stock with
`noack_take`, a message an event; ours with `intake.batches`, a slice of a partition an event. Quix Streams pins an
older confluent-kafka, so it gets a virtual environment in the temporary folder.

`suspended_deliveries`: after its round our intake is suspended again and again, as a rebalance does it, with messages
coming; counted is what reaches the agent's queue all the same. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent))

from rich.console import Console
from rich.table import Table

TOPIC: Final = "intake"
PARTITIONS: Final = 4
VALUE_BYTES: Final = 200
BATCH: Final = 500
BARE_BATCH: Final = 5_000
SUSPENSIONS: Final = 20
LONGEST_S: Final = 120
QUIX: Final = "quixstreams==3.28.1"

SHARE: Final = {"stock": 0.2, "ours": 0.75, "ours_uvloop": 0.75, "quix": 1.0, "aiokafka": 0.75, "confluent": 0.75}
"""Who is measured → how much of the topic it reads: stock less, as it is slow; ours leaves some to be suspended in."""

QUIX_SCRIPT: Final = """
import json, os, sys, time
from quixstreams import Application
bootstrap, topic, group, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
app = Application(broker_address=bootstrap, consumer_group=group, auto_offset_reset="earliest", loglevel="ERROR")
seen, start = 0, 0.0
def take(value):
    global seen, start
    if not seen:
        start = time.perf_counter()
    seen += 1
    if seen == count:
        print(json.dumps({"per_s": count / (time.perf_counter() - start)}), flush=True)
        os._exit(0)
frame = app.dataframe(app.topic(topic, key_deserializer="bytes", value_deserializer="bytes"))
frame.update(take)
app.run()
"""


def main() -> None:
    """Run the benchmark and print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--no-quix", action="store_true", help="leave Quix Streams out; it is fetched from PyPI")
    parser.add_argument("--measure", nargs=4, metavar=("KIND", "BOOTSTRAP", "GROUP", "COUNT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        kind, bootstrap, group, count = asked.measure
        MEASURES[kind](bootstrap, group, int(count))
        return
    # Only here: what is measured does not need it.
    from deploy.local.servers import Kafka

    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        quix = None if asked.no_quix else _quix(Path(folder) / "quix")
        with Kafka(Path(folder) / "kafka") as kafka:
            _produce(kafka.bootstrap, asked.messages)
            results = _alternate(kafka.bootstrap, quix, asked.rounds, asked.messages)
    print(json.dumps(_show(results)))


def _alternate(bootstrap: str, quix: Path | None, rounds: int, messages: int) -> dict[str, list[dict[str, Any]]]:
    commands = {kind: [sys.executable, __file__, "--measure", kind, bootstrap] for kind in MEASURES}
    if not _has("uvloop"):
        del commands["ours_uvloop"]
    if quix is not None:
        commands["quix"] = [str(quix), "-c", QUIX_SCRIPT, bootstrap, TOPIC]
    results: dict[str, list[dict[str, Any]]] = {kind: [] for kind in commands}
    for index in range(rounds):
        for kind, command in commands.items():
            count = int(messages * SHARE[kind])
            results[kind].append(_measured(kind, [*command, f"{kind}-{index}", str(count)]))
            print(f"round {index + 1}, {kind}: {results[kind][-1]['per_s']:,.0f}/s", file=sys.stderr)
    return results


def _measured(kind: str, command: list[str]) -> dict[str, Any]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    except subprocess.TimeoutExpired as exc:
        raise SystemExit(f"{kind} did not end in {LONGEST_S} s: {exc.stderr!r}") from exc
    if done.returncode != 0:
        raise SystemExit(f"{kind} failed:\n{done.stdout}{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _show(results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    per_s = {kind: statistics.median(each["per_s"] for each in runs) for kind, runs in results.items()}
    table = Table("intake", "messages/s", "of stock", title=f"{platform.machine()}, {os.cpu_count()} cores")
    for kind, speed in sorted(per_s.items(), key=lambda each: each[1]):
        table.add_row(kind, f"{speed:,.0f}", f"{speed / per_s['stock']:.1f}")
    Console().print(table)
    ours = results["ours"] + results.get("ours_uvloop", [])
    return {
        **{f"{kind}_per_s": round(per_s[kind]) if kind in per_s else None for kind in SHARE},
        "ratio": round(per_s["ours"] / per_s["stock"], 2),
        "suspended_deliveries": sum(run["suspended_deliveries"] for run in ours),
        "suspensions": SUSPENSIONS * len(ours),
        "value_bytes": VALUE_BYTES,
        "rounds": len(results["ours"]),
    }


def _faust(intake: bool) -> Callable[[str, str, int], None]:
    def measure(bootstrap: str, group: str, count: int) -> None:
        asyncio.run(_read_with_faust(bootstrap, group, count, intake))

    return measure


def _with_uvloop(bootstrap: str, group: str, count: int) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_read_with_faust(bootstrap, group, count, True))


async def _read_with_faust(bootstrap: str, group: str, count: int, ours: bool) -> None:
    import faust

    from streams import intake

    app = faust.App(
        group,
        broker=f"kafka://{bootstrap}",
        broker_commit_interval=0.5,
        broker_max_poll_records=BATCH * 4,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=12_582_912,
        stream_buffer_maxsize=BATCH * 4,
        topic_allow_declare=False,
        topic_disable_leader=True,
        store="memory://",
        web_enabled=False,
        datadir=tempfile.mkdtemp(),
        loghandlers=[],
    )
    limits = intake.Limits(BATCH, 16 << 20)
    if ours:
        intake.use(app, limits)
    topic = app.topic(TOPIC, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    done = asyncio.Event()
    seen, start, seconds = 0, 0.0, 0.0

    @app.agent(topic, concurrency=1)
    async def take(stream: Any) -> None:
        nonlocal seen, start, seconds
        taken = intake.batches(stream, limits, 0.1) if ours else stream.noack_take(BATCH, within=0.1)
        async for events in taken:
            for event in events:
                event.ack()
            if not start:
                start = time.perf_counter()
                continue
            seen += sum(len(event.value) for event in events) if ours else len(events)
            if seen >= count and not done.is_set():
                seconds = time.perf_counter() - start
                done.set()

    await app.start()
    await done.wait()
    result: dict[str, Any] = {"per_s": seen / seconds}
    if ours:
        result["suspended_deliveries"] = await _suspended_deliveries(app)
    _print(result)  # here: at its end asyncio.run waits for all of Faust's tasks


async def _suspended_deliveries(app: Any) -> int:
    """Messages that reach the agent's queue while the flow is suspended, as in a rebalance."""
    queues = {
        id(queue): queue for channels in app.topics._tp_index.values() for queue in [each.queue for each in channels]
    }
    delivered = 0
    for _ in range(SUSPENSIONS):
        app.consumer.stop_flow()
        app.flow_control.suspend()
        app.flow_control.clear()
        await asyncio.sleep(0.02)
        delivered += sum(queue.qsize() for queue in queues.values())
        await app.consumer.perform_seek()
        app.flow_control.resume()
        app.consumer.resume_flow()
        async with asyncio.timeout(10):
            while not any(queue.qsize() for queue in queues.values()):
                await asyncio.sleep(0)
    return delivered


def _aiokafka(bootstrap: str, group: str, count: int) -> None:
    from aiokafka import AIOKafkaConsumer

    async def read() -> float:
        consumer = AIOKafkaConsumer(
            TOPIC,
            bootstrap_servers=bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=12_582_912,
        )
        await consumer.start()
        while not await consumer.getmany(timeout_ms=1_000, max_records=BARE_BATCH):
            pass
        seen, start = 0, time.perf_counter()
        while seen < count:
            records = await consumer.getmany(timeout_ms=1_000, max_records=BARE_BATCH)
            seen += sum(len(of_partition) for of_partition in records.values())
        return seen / (time.perf_counter() - start)

    _print({"per_s": asyncio.run(read())})


def _confluent(bootstrap: str, group: str, count: int) -> None:
    from confluent_kafka import Consumer

    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([TOPIC])
    while not consumer.consume(BARE_BATCH, 1.0):
        pass
    seen, start = 0, time.perf_counter()
    while seen < count:
        seen += len(consumer.consume(BARE_BATCH, 0.1))
    _print({"per_s": seen / (time.perf_counter() - start)})


MEASURES: Final[dict[str, Callable[[str, str, int], None]]] = {
    "stock": _faust(intake=False),
    "ours": _faust(intake=True),
    "ours_uvloop": _with_uvloop,
    "aiokafka": _aiokafka,
    "confluent": _confluent,
}


def _print(result: dict[str, Any]) -> None:
    # Not through the interpreter's end: nothing here is worth a clean shutdown.
    print(json.dumps(result), flush=True)
    os._exit(0)


def _produce(bootstrap: str, count: int) -> None:
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)]).values():
        future.result(30)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": count})
    for index in range(count):
        producer.produce(TOPIC, os.urandom(VALUE_BYTES), partition=index // 1_000 % PARTITIONS)
        producer.poll(0)
    producer.flush(120)


def _quix(folder: Path) -> Path | None:
    """A Python that has Quix Streams; None, and a line why, when it cannot be installed."""
    python = folder / "bin" / "python"
    for command in ([sys.executable, "-m", "venv", str(folder)], [str(python), "-m", "pip", "install", "-q", QUIX]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            print(f"Quix Streams is left out, it cannot be installed: {done.stderr.strip()[-300:]}", file=sys.stderr)
            return None
    return python


def _has(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    main()
