"""What it costs to watch a lake: catching up with 10,000 new samples, with 10,000 and with 1,000,000 behind.

    python benchmarks/watch.py [--behind N] [--rounds N] [--quick] [--postgres]

Two lakes in a temporary folder, one target on each with an index in SQLite (with `--postgres` in a PostgreSQL that is
started for it). In each round 10,000 samples come to either lake, in ten commits: one in twenty is a near duplicate of
any that was there, one in twenty is of a person, and 200 earlier ones are rejected, 20 persons withdraw. Then a new
process catches up. The first round warms up and does not count; the lakes take turns in who is first.

| column | what |
|---|---|
| wall_s, cpu_s | of `Watch.catch_up`, median of the rounds; the imports before it are left out |
| read_mb | what the process asked the system for meanwhile, the database in SQLite included |
| files | of the lake that were read |
| peak_mb | the most memory that the process had, imports included |
| first_s | reading the lake for the first time |
| bytes_a_cluster | size of the SQLite file after that, by clusters that count |

`ratio` is the median of each round's wall times, with 1,000,000 behind by with 10,000. The last line is one JSON
object. Samples are made up: what is read of a row is no text, and ids are random, which is the worst for an index.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

import msgspec
import pyarrow as pa
from rich.console import Console
from rich.table import Table as Shown

from deploy.local.servers import Postgres
from schemas.events import Consent, Message, Position, RedactedEvent, Score
from schemas.outcomes import GateOutcome, Outcome, Rejection, Sample, SourceEvent
from schemas.reasons import Reason
from schemas.tables import EVENTS, REJECTED, SAMPLES, arrow_table, event_row, outcome_row
from schemas.targets import Target
from streams.lake.changes import FileChanges
from streams.lake.delta import DeltaLake
from trainer_trigger.database import Database
from trainer_trigger.watch.watching import Watch

NEW: Final = 10_000
COMMITS: Final = 10
BEHIND_COMMIT: Final = 50_000
BEGAN_US: Final = 1_760_000_000_000_000
TARGET: Final = "chat"
WORDS: Final = ("order", "invoice", "refund", "account", "password", "delivery", "error", "screen", "update", "price")


class Cost(NamedTuple):
    """One catching up."""

    wall_s: float
    cpu_s: float
    read_mb: float
    files: int
    peak_mb: float
    total: int


class Source:
    """Makes the samples of one lake, a block at a time out of one block of ready rows."""

    def __init__(self, lake: str, seed: int) -> None:
        self._lake = DeltaLake(lake)
        self._chance = random.Random(seed)
        self._block = arrow_table(SAMPLES, [outcome_row(_outcome(at, self._chance))[1] for at in range(1_000)])
        self._known: list[str] = []
        self._at = 0
        for table in (EVENTS, REJECTED, SAMPLES):
            self._lake.create(table)

    def samples(self, count: int, copies: float) -> None:
        """One commit of new samples, a share of them near duplicates."""
        ids = [f"acme/{self._chance.getrandbits(128):032x}" for _ in range(count)]
        known = self._known or ids[:1]
        of = [self._chance.choice(known) if self._chance.random() < copies else None for _ in ids]
        users = [f"{self._chance.randrange(5_000):032x}" if self._chance.random() < 0.05 else None for _ in ids]
        rows = self._block.take(pa.array([at % self._block.num_rows for at in range(count)]))
        # A thousand a second, so that a million lie within a quarter of an hour and one day
        times = pa.array([BEGAN_US + (self._at + at) * 1_000 for at in range(count)], pa.int64())
        changed = {
            "sample_id": pa.array(ids),
            "interaction_id": pa.array([name.removeprefix("acme/") for name in ids]),
            "duplicate_of": pa.array(of, pa.string()),
            "user": pa.array(users, pa.string()),
            "entry_offset": pa.array(range(self._at, self._at + count), pa.int64()),
            "received_at": times.cast(SAMPLES.schema.field("received_at").type),
            "occurred_at": times.cast(SAMPLES.schema.field("occurred_at").type),
            "score": pa.array([self._chance.choice((0.0, 0.5, 1.0)) for _ in ids], pa.float64()),
        }
        for name, column in changed.items():
            rows = rows.set_column(rows.schema.get_field_index(name), SAMPLES.schema.field(name), column)
        self._lake.create(SAMPLES).append(rows, {}, {})
        self._known += ids
        self._at += count

    def round(self) -> None:
        """What comes between two looks."""
        for _ in range(COMMITS):
            self.samples(NEW // COMMITS, copies=0.05)
        away = [outcome_row(_rejection(name, self._next()))[1] for name in self._chance.sample(self._known, 200)]
        self._lake.create(REJECTED).append(arrow_table(REJECTED, away), {}, {})
        users = self._chance.sample(range(5_000), 20)
        said = [event_row(_withdrawal(f"{user:032x}", self._next())) for user in users]
        self._lake.create(EVENTS).append(arrow_table(EVENTS, said), {}, {})

    def _next(self) -> int:
        self._at += 1
        return self._at


def _text(chance: random.Random, chars: int) -> str:
    words = []
    while chars > 0:
        words.append(chance.choice(WORDS) if chance.random() < 0.5 else f"{chance.getrandbits(24):x}")
        chars -= len(words[-1]) + 1
    return " ".join(words)


def _outcome(at: int, chance: random.Random) -> Outcome:
    question, answer = _text(chance, 150), _text(chance, 250)
    sample = Sample(
        instruction=question,
        input="",
        output=answer,
        messages=(Message("user", question), Message("assistant", answer)),
        tools=None,
        score=1.0,
        confidence=0.5,
        scores=(Score("thumbs", 1.0),),
        quality=0.9,
        gates=(GateOutcome("length", "quality", True, None, 12.0),),
        origin="base",
        rejected_output=None,
        preferred_over=(),
        duplicate_of=None,
        similarity=None,
        cluster="",
        role="support",
        task_type="chat",
        intent="refund",
        language="en",
        model="base",
        model_version=None,
        variant=None,
        user=None,
        tags=(),
        consent=True,
        sensitive=False,
        pii={},
    )
    return msgspec.structs.replace(_bare(f"acme/{at}", 1, at), sample=sample)


def _rejection(sample_id: str, at: int) -> Outcome:
    rejection = Rejection(reason=Reason.FEEDBACK_RETRACTED, stage="score", scope="interaction")
    return msgspec.structs.replace(_bare(sample_id, 2, at), rejection=rejection)


def _bare(sample_id: str, revision: int, at: int) -> Outcome:
    entry = Position("raw", 0, at)
    return Outcome(
        sample_id=sample_id,
        revision=revision,
        tenant="acme",
        interaction_id=sample_id,
        event_id=f"e{at}",
        entry=entry,
        occurred_at=BEGAN_US + at * 1_000,
        received_at=BEGAN_US + at * 1_000,
        sources=(SourceEvent(f"e{at}", entry),),
        redactor="r",
        rules="r",
    )


def _withdrawal(user: str, at: int) -> RedactedEvent:
    return RedactedEvent(
        event_id=f"c{at}",
        source="benchmark",
        occurred_at=BEGAN_US + at * 1_000,
        received_at=BEGAN_US + at * 1_000,
        clock="ok",
        tenant="acme",
        interaction_id="",
        entry=Position("raw", 0, at),
        digest="",
        redactor="r",
        consent=Consent(False, user),
    )


def catch_up(lake: str, database: str) -> Cost:
    """In this process."""
    target = msgspec.convert(
        {"training": {"base_model": "m"}, "launcher": {"openai": {"base_url": "http://localhost:1/v1"}}}, Target
    )
    files = _counted_files()
    opened = Database(database)
    watch = Watch(opened, lake, tempfile.gettempdir(), lambda *_asked: None)
    read, wall, cpu = _read_bytes(), time.perf_counter(), time.process_time()
    watch.catch_up(TARGET, target)
    wall, cpu, read = time.perf_counter() - wall, time.process_time() - cpu, _read_bytes() - read
    total = watch.count(TARGET, target).total
    opened.close()
    return Cost(wall, cpu, read / 1e6, files[0], _number("status", "VmHWM:") / 1024, total)


def _counted_files() -> list[int]:
    counted = [0]
    read = FileChanges.batches

    def batches(changes: FileChanges, columns: Sequence[str], batch_rows: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        counted[0] += len(changes)
        yield from read(changes, columns, batch_rows)

    FileChanges.batches = batches  # type: ignore[method-assign,assignment]
    return counted


def _read_bytes() -> int:
    return _number("io", "rchar:")


def _number(file: str, name: str) -> int:
    """Of this process, since it began with this program."""
    lines = map(str.split, Path("/proc/self", file).read_text(encoding="utf-8").splitlines())
    return next(int(words[1]) for words in lines if words[:1] == [name])


def in_a_process(lake: str, database: str) -> Cost:
    """In a new one."""
    done = subprocess.run(
        [sys.executable, __file__, "--catch-up", lake, database], check=True, capture_output=True, text=True
    )
    return Cost(*json.loads(done.stdout))


def measure(folder: Path, databases: dict[str, str], behind: int, rounds: int) -> dict[str, Any]:
    """Both lakes, in turns."""
    sources: dict[str, Source] = {}
    first: dict[str, Cost] = {}
    sizes: dict[str, int] = {}
    for name, count in (("small", NEW), ("large", behind)):
        began = time.perf_counter()
        sources[name] = Source(str(folder / name), seed=count)
        for start in range(0, count, BEHIND_COMMIT):
            sources[name].samples(min(BEHIND_COMMIT, count - start), copies=0.05)
        _say(f"{count:,} samples were made in {time.perf_counter() - began:.0f} s")
        first[name] = in_a_process(str(folder / name), databases[name])
        sizes[name] = sum(file.stat().st_size for file in folder.glob(f"{name}.sqlite*"))
        _say(f"and read for the first time in {first[name].wall_s:.0f} s")
    costs: dict[str, list[Cost]] = {"small": [], "large": []}
    for number in range(rounds + 1):
        for name in ("small", "large") if number % 2 else ("large", "small"):
            sources[name].round()
            cost = in_a_process(str(folder / name), databases[name])
            if number:
                costs[name].append(cost)
    ratios = [large.wall_s / small.wall_s for small, large in zip(costs["small"], costs["large"], strict=True)]
    found: dict[str, Any] = {
        name: {
            "behind": behind if name == "large" else NEW,
            **{field: _median(each, field) for field in Cost._fields if field != "total"},
            "first_s": round(first[name].wall_s, 2),
            "bytes_a_cluster": round(sizes[name] / first[name].total) or None,
        }
        for name, each in costs.items()
    }
    cpu = [large.cpu_s / small.cpu_s for small, large in zip(costs["small"], costs["large"], strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "cpu_ratio": round(statistics.median(cpu), 3),
        "rows_per_s": round(NEW / found["large"]["wall_s"]),
        "new": NEW,
        "rounds": rounds,
        "ratios": [round(each, 3) for each in ratios],
        **found,
    }


def _median(costs: list[Cost], field: str) -> float:
    return round(float(statistics.median(getattr(cost, field) for cost in costs)), 3)


def _say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr)


@contextmanager
def _databases(folder: Path, *, postgres: bool) -> Iterator[dict[str, str]]:
    names = ("small", "large")
    if not postgres:
        yield {name: f"sqlite:///{folder}/{name}.sqlite" for name in names}
        return
    import psycopg

    server = Postgres(folder / "postgres").start()
    try:
        with psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True) as connection:
            for name in names:
                connection.execute(f"CREATE DATABASE {name}".encode())
        yield {name: server.url.removesuffix("postgres") + name for name in names}
    finally:
        server.discard()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--behind", type=int, default=1_000_000, help="samples in the large lake")
    parser.add_argument("--rounds", type=int, default=5, help="that count")
    parser.add_argument("--quick", action="store_true", help="100,000 behind, three rounds")
    parser.add_argument("--postgres", action="store_true", help="the index in PostgreSQL")
    parser.add_argument("--catch-up", nargs=2, metavar=("LAKE", "DATABASE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.catch_up:
        print(json.dumps(catch_up(*asked.catch_up)))
        return
    behind, rounds = (100_000, 3) if asked.quick else (asked.behind, asked.rounds)
    with tempfile.TemporaryDirectory() as temporary, _databases(Path(temporary), postgres=asked.postgres) as databases:
        measured = {
            **measure(Path(temporary), databases, behind, rounds),
            "database": "PostgreSQL" if asked.postgres else "SQLite",
            "cores": os.cpu_count(),
        }
    shown = Shown(*measured["large"], title=f"{NEW:,} new samples, {measured['database']}")
    for name in ("small", "large"):
        shown.add_row(*("" if value is None else f"{value:,}" for value in measured[name].values()))
    Console(stderr=True).print(shown)
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
