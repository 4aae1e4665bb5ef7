"""The whole way of an event on real Kafka and Redis, and the same work composed the plain way, in the same run.

    python benchmarks/pipeline.py [FILE] [--quick] [--rounds N] [--only NAME …] [--results FILE]

Starts the servers that it needs, on free ports, and stops them. FILE is hh-rlhf NDJSON; default the dialogues under
MILLRACE_TEST_DATA, else made-up events. An interaction is two records, the dialogue and its thumb, and comes once.
Measured, each on topics, state and a lake of its own, after made-up events have warmed the whole way:

| name | what |
|---|---|
| ours | the dialogues through redact, curate and sink, everything on, a process each |
| plain | `benchmarks/plain.py`, one process, on the first of them, until all are rows or nothing moves any more |
| floor | `benchmarks/floor.py`: the same events only taken in, decoded, encoded and written |
| two_processes | ours with two processes each of redact and curate |
| latency | ours with default settings at a steady 500 interactions/s by the clock, whatever comes through |
| tenfold | ours with about ten dialogues joined into one interaction, so that texts are ten times longer |
| without_memo | ours with a redaction memo of one text |
| turns, turns_without_memo | ours, each turn of a dialogue an interaction, as chat sends them; thumbs made up |
| plain_two_processes | plain with two workers, which share the partitions |

Events are encoded beforehand, as producers are other machines, and given to Kafka at once. Throughput counts from the
first produce until the last row of any table is committed. That includes the drain, in which one process after another
runs dry and the last rows wait up to `COMMIT_S`; the steady figure leaves it out: rows by commit time between a tenth
and nine tenths of them. The whole figure is the headline. When rows were committed is read from the Delta log, and
latency counts from when the clock said to send. What is repeated is given by its median run by throughput. `cpu_ms` is
CPU time an interaction by process: that can be compared on a busy machine, seconds cannot; `others_cores` says how many
cores something else kept busy. The plain composition has no steady figure: its one event loop serves its sink last.

The dialogues come in pairs with the same prompt, so a part of their texts was seen before (`repeated_text_share`).
The memo also knows an event's own texts when they are looked at again, because a value was found in one of them; so
`memo_hit_share` is larger. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

import msgspec
import redis
from rich.console import Console
from rich.table import Table

from benchmarks import texts
from benchmarks.loads import PARTITIONS, TENANT, Load, dialogues, loads_of, send
from benchmarks.ways import (
    POLL_S,
    Millrace,
    Plain,
    Way,
    busy_s,
    check_balance,
    commits,
    cpu_s,
    landings,
    row_counts,
    steady,
)
from deploy.local.servers import Kafka, Redis
from streams.brokers import create_topics
from streams.redaction.sealing import new_key_pair
from streams.settings import Settings

COMMIT_S: Final = 1.0
"""How long rows wait for a commit where throughput is measured: the default would be a good part of a run."""

STEADY_PER_S: Final = 500
"""Interactions a second where latency is measured."""

QUIET_S: Final = 15.0
"""Without a new row for so long, a way is taken to have lost the rest."""


class Plan(NamedTuple):
    """How one name of the module's table is measured; `repeated` in every round."""

    way: Literal["millrace", "floor", "plain"] = "millrace"
    load: str = "dialogues"
    warm: str = "warm"
    processes: int = 1
    per_s: int | None = None
    settings: Mapping[str, Any] = {"lake_commit_s": COMMIT_S}
    repeated: bool = False
    quick: bool = False


_NO_MEMO: Final = {"lake_commit_s": COMMIT_S, "redaction_memo_texts": 1}

PLANS: Final[Mapping[str, Plan]] = {
    "ours": Plan(repeated=True, quick=True),
    "plain": Plan("plain", "first", "few", repeated=True, quick=True),
    "floor": Plan("floor", repeated=True, quick=True),
    "two_processes": Plan(processes=2, repeated=True),
    "latency": Plan(per_s=STEADY_PER_S, settings={}, quick=True),
    "tenfold": Plan(load="tenfold"),
    "without_memo": Plan(settings=_NO_MEMO),
    "turns": Plan(load="turns"),
    "turns_without_memo": Plan(load="turns", settings=_NO_MEMO),
    "plain_two_processes": Plan("plain", "first", "few", processes=2, repeated=True),
}


class Measured(msgspec.Struct, kw_only=True):
    """One run. Times in seconds, or where the name says so in ms an interaction; latencies only where it was paced."""

    interactions: int
    lost: int
    seconds: float
    interactions_per_s: float
    steady_interactions_per_s: float | None
    chars_per_s: float
    p50_s: float | None
    p99_s: float | None
    late_s: float
    others_cores: float
    cpu_ms: dict[str, float]
    stage_ms: dict[str, float]
    memo_hit_share: float | None
    repeated_text_share: float


class Bench:
    """The servers and what is sent, for runs of one name after another."""

    def __init__(self, kafka: Kafka, store: Redis, home: Path, loads: Mapping[str, Load]) -> None:
        self._kafka, self._store, self._home, self._loads = kafka, store, home, loads
        self._runs = itertools.count()

    def run(self, name: str) -> Measured:
        """Measure one of the names of the module's table."""
        plan, home = PLANS[name], self._home / f"{name}-{next(self._runs)}".replace("_", "-")
        home.mkdir()
        with redis.Redis.from_url(self._store.url) as client:
            client.flushall()
        settings = Settings(
            kafka_bootstrap=self._kafka.bootstrap,
            redis_url=self._store.url,
            topic_prefix=home.name,
            sources=(f"{home.name}.events",),
            topic_partitions=PARTITIONS,
            lake=str(home / "lake"),
            hash_key="benchmark" * 4,
            deadletter_public_keys=(new_key_pair().public,),
            **plan.settings,
        )
        create_topics(settings)
        way: Way
        if plan.way == "plain":
            way = Plain(settings, home, plan.processes)
        else:
            way = Millrace(settings, home, plan.processes, floor=plan.way == "floor")
        try:
            way.start()
            return self._measured(way, plan)
        finally:
            way.stop()

    def _measured(self, way: Way, plan: Plan) -> Measured:
        """1 warm up → 2 send → 3 await the last row → 4 look up what became of each interaction."""
        load, warm = self._loads[plan.load], self._loads[plan.warm]
        servers = {"kafka": [self._kafka.pid or 0], "redis": [self._store.pid or 0]}
        pids = {**way.pids(), **servers, "feeder": [os.getpid()]}
        # 1
        send(way.settings, warm.records)
        self._await_rows(way, warm.interactions, pids)
        counted, spent, busy_before_s = way.counters(), cpu_s(pids), busy_s()
        # 2
        start = time.time()
        sent_at, late_s = send(way.settings, load.records, plan.per_s)
        # 3
        after = self._await_rows(way, warm.interactions + load.interactions, pids)
        counts, others_s = way.counters(), busy_s() - busy_before_s - sum(cpu_s(pids).values()) + sum(spent.values())
        end = time.time()
        # 4
        landed = landings(way.outcomes, TENANT)
        if not landed:
            raise SystemExit(f"nothing of {plan} came to the lake")
        if plan.way == "millrace":
            check_balance(way.settings, load, warm)
        seconds = max(when for table in way.tables for when, _ in commits(table)) - start
        latencies = sorted(when - sent_at[key] for key, when in landed.items())
        each_ms = 1_000 / len(landed)
        return Measured(
            interactions=len(landed),
            lost=load.interactions - len(landed),
            seconds=round(seconds, 2),
            interactions_per_s=round(len(landed) / seconds, 1),
            steady_interactions_per_s=steady(sorted(landed.values())) if plan.way != "plain" else None,
            chars_per_s=round(len(landed) / seconds * load.chars / load.interactions),
            p50_s=round(latencies[len(latencies) // 2], 3) if plan.per_s else None,
            p99_s=round(latencies[int(len(latencies) * 0.99)], 3) if plan.per_s else None,
            late_s=round(late_s, 3),
            others_cores=round(max(0.0, others_s / (end - start)), 2),
            cpu_ms={role: round((after[role] - spent[role]) * each_ms, 3) for role in pids},
            stage_ms=stages_ms(counted, counts, each_ms),
            memo_hit_share=hit_share(counted, counts),
            repeated_text_share=round(load.repeated_text_share, 4),
        )

    def _await_rows(self, way: Way, rows: int, pids: Mapping[str, Sequence[int]]) -> dict[str, float]:
        """Return once so many rows are there and all is drained, or nothing moves any more; CPU time as of then."""
        seen, moved_at, spent = -1, time.monotonic(), cpu_s(pids)
        while True:
            there = sum(count for table in way.outcomes for _, count in row_counts(table))
            drained = way.drained()
            if there != seen:
                seen, moved_at, spent = there, time.monotonic(), cpu_s(pids)
            if (there >= rows and drained) or time.monotonic() - moved_at > QUIET_S:
                return spent
            time.sleep(POLL_S)


def main() -> None:
    """Run the benchmark and print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", help="hh-rlhf NDJSON, gzip or plain")
    parser.add_argument("--quick", action="store_true", help="fewer events, one round, no growth and memo")
    parser.add_argument("--rounds", type=int, default=None, help="of what is repeated; 3, quick 1")
    parser.add_argument("--only", nargs="+", choices=PLANS, help="only these")
    parser.add_argument("--results", type=Path, help="write the table and the JSON to this file too, as Markdown")
    asked = parser.parse_args()
    file = Path(asked.file) if asked.file else texts.dialogues()
    if file is None:
        print("MILLRACE_TEST_DATA is not set: made-up events instead of the real dialogues", file=sys.stderr)
    loads = loads_of(dialogues(file, 1_200 if asked.quick else None), asked.quick)
    names = asked.only or [name for name, plan in PLANS.items() if plan.quick or not asked.quick]
    rounds = asked.rounds or (1 if asked.quick else 3)
    runs: dict[str, list[Measured]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        home = Path(folder)
        with Kafka(home / "kafka") as kafka, Redis(home / "redis") as store:
            bench = Bench(kafka, store, home, loads)
            for number in range(rounds):
                for name in names:
                    if number == 0 or PLANS[name].repeated:
                        runs[name].append(bench.run(name))
                        print(f"{name}: {_line(runs[name][-1])}", file=sys.stderr)
    show(runs, asked.results)


def stages_ms(before: Mapping[str, float], after: Mapping[str, float], factor: float) -> dict[str, float]:
    """Time in each stage, ms an interaction."""
    spent: dict[str, float] = {}
    for name, value in after.items():
        role, counter, label = name.split(".", 2)
        if counter != "redaction_memo_total":
            stage = f"commit {label}" if counter == "commit_seconds_sum" else label
            spent[f"{role}.{stage}"] = round((value - before.get(name, 0.0)) * factor, 4)
    return {stage: ms for stage, ms in sorted(spent.items(), key=lambda each: -each[1]) if ms}


def hit_share(before: Mapping[str, float], after: Mapping[str, float]) -> float | None:
    """Of the texts that the redactor was asked about, the share that its memo knew."""
    asked = {name: after[name] - before.get(name, 0.0) for name in after if ".redaction_memo_total." in name}
    hits = sum(count for name, count in asked.items() if name.endswith(".hit"))
    return round(hits / sum(asked.values()), 4) if sum(asked.values()) else None


def _line(run: Measured) -> str:
    return ", ".join(f"{name} {cell(run)}" for name, cell in COLUMNS.items() if cell(run))


def show(runs: Mapping[str, Sequence[Measured]], results: Path | None) -> None:
    """Print the tables and the JSON line; write them to a file if asked."""
    middle = {name: sorted(each, key=lambda run: run.interactions_per_s)[len(each) // 2] for name, each in runs.items()}
    result = figures(middle, runs)
    machine = f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    table = Table("", *COLUMNS, title=machine)
    rows = {name: [cell(run) for cell in COLUMNS.values()] for name, run in middle.items()}
    for name, cells in rows.items():
        table.add_row(name, *cells)
    console = Console(width=172)
    console.print(table)
    for stage, ms in result["stage_ms"].items():
        console.print(f"{stage}: {ms:.3f} ms an interaction")
    print(json.dumps(result))
    if results is not None:
        results.write_text(markdown(machine, rows, result))


def _of_role(role: str) -> Callable[[Measured], str]:
    return lambda run: f"{run.cpu_ms[role]:.2f}" if role in run.cpu_ms else ""


COLUMNS: Final[dict[str, Callable[[Measured], str]]] = {
    "interactions": lambda run: f"{run.interactions:,}",
    "lost": lambda run: f"{run.lost:,}",
    "s": lambda run: f"{run.seconds:.1f}",
    "a second": lambda run: f"{run.interactions_per_s:,.0f}",
    "steady": lambda run: "" if run.steady_interactions_per_s is None else f"{run.steady_interactions_per_s:,.0f}",
    "p99 s": lambda run: "" if run.p99_s is None else f"{run.p99_s:.1f}",
    "characters/s": lambda run: f"{run.chars_per_s:,}",
    "memo hits": lambda run: "" if run.memo_hit_share is None else f"{run.memo_hit_share:.0%}",
    "others' cores": lambda run: f"{run.others_cores:.1f}",
    "CPU ms": lambda run: f"{_cpu(run):.2f}",
    **{role: _of_role(role) for role in ("redact", "curate", "sink", "plain", "kafka", "redis")},
}
"""What the table shows of a run; from `CPU ms` on CPU time, ms an interaction, of all and of each."""


def figures(middle: Mapping[str, Measured], runs: Mapping[str, Sequence[Measured]]) -> dict[str, Any]:
    """The JSON object; null where something was not measured."""

    def of(name: str, field: str = "interactions_per_s") -> Any:
        return getattr(middle[name], field) if name in middle else None

    def ratio(one: float | None, other: float | None) -> float | None:
        return round(one / other, 2) if one and other else None

    ours, plain = middle.get("ours"), middle.get("plain")
    cpu = _cpu(ours) if ours else None
    return {
        "interactions_per_s": of("ours"),
        "steady_interactions_per_s": of("ours", "steady_interactions_per_s"),
        "plain_interactions_per_s": of("plain"),
        "ratio_to_plain": ratio(of("ours"), of("plain")),
        "cpu_ratio_to_plain": ratio(_cpu(plain) if plain else None, cpu),
        "plain_two_processes_per_s": of("plain_two_processes"),
        "ratio_to_plain_two_processes": ratio(of("ours"), of("plain_two_processes")),
        "plain_lost": sum(run.lost for run in runs.get("plain", ())) if plain else None,
        "event_to_lake_p50_s": of("latency", "p50_s"),
        "event_to_lake_p99_s": of("latency", "p99_s"),
        "latency_at_interactions_per_s": STEADY_PER_S if "latency" in middle else None,
        "producing_late_s": of("latency", "late_s"),
        "stage_ms": of("ours", "stage_ms") or {},
        "cpu_ms": of("ours", "cpu_ms"),
        "cpu_share_of_kafka": ratio(ours.cpu_ms["kafka"], cpu) if ours else None,
        "cpu_share_of_redis": ratio(ours.cpu_ms["redis"], cpu) if ours else None,
        "plain_cpu_ms": of("plain", "cpu_ms"),
        "growth": {name: _brief(middle[name]) for name in ("ours", "two_processes", "tenfold") if name in middle},
        "floor_interactions_per_s": of("floor"),
        "floor_cpu_ms": of("floor", "cpu_ms"),
        "memo": {
            name: _brief(middle[name])
            for name in ("ours", "without_memo", "turns", "turns_without_memo")
            if name in middle
        },
        "all_interactions_per_s": {name: [run.interactions_per_s for run in each] for name, each in runs.items()},
        "interactions": of("ours", "interactions"),
        "lost": sum(run.lost for name, each in runs.items() if PLANS[name].way != "plain" for run in each),
        "commit_s": COMMIT_S,
        "others_cores": {name: [run.others_cores for run in each] for name, each in runs.items()},
        "machine": f"{_processor()}, {os.cpu_count()} cores",
    }


def _brief(run: Measured) -> dict[str, Any]:
    return {
        "interactions_per_s": run.interactions_per_s,
        "steady_interactions_per_s": run.steady_interactions_per_s,
        "chars_per_s": run.chars_per_s,
        "redact_cpu_ms": run.cpu_ms["redact"],
        "cpu_ms": round(_cpu(run), 3),
        "redact_ms": run.stage_ms.get("redact.redact"),
        "memo_hit_share": run.memo_hit_share,
        "repeated_text_share": run.repeated_text_share,
    }


def _cpu(run: Measured) -> float:
    """CPU ms an interaction of all but the feeder, which stands for other machines."""
    return sum(ms for role, ms in run.cpu_ms.items() if role != "feeder")


def markdown(machine: str, rows: Mapping[str, Sequence[str]], result: Mapping[str, Any]) -> str:
    """The results as a page."""
    lines = ["# The whole way of an event", "", f"{machine}, {datetime.now(UTC):%Y-%m-%d}.", ""]
    lines += ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()]
    lines += ["", "| stage | ms an interaction |", "|---|---|"]
    lines += [f"| {stage} | {ms:.3f} |" for stage, ms in result["stage_ms"].items()]
    return "\n".join([*lines, "", "```json", json.dumps(result, indent=1), "```", ""])


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*: (.+)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else None
    return named[1] if named else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
