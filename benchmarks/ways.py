"""What `benchmarks/pipeline.py` compares: compositions of the work as processes, and how it looks into their tables."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final, Protocol
from unittest.mock import patch
from urllib.parse import unquote

sys.path.insert(0, str(Path(__file__).parent.parent))

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.loads import PARTITIONS, Load
from streams.balance import balance, positions
from streams.brokers import topic_ids
from streams.feed import LEDGER
from streams.lake.query import connect
from streams.pipeline import Pipeline, Role
from streams.settings import Settings

READY_S: Final = 120.0
POLL_S: Final = 0.2

STEADY_COMMITS: Final = 3
"""With fewer commits a steady speed says more about when they fell than about the speed."""

_METRIC: Final = re.compile(
    r'^millrace_(stage_seconds_total|redaction_memo_total|commit_seconds_sum)\{\w+="([^"]+)"\} (\S+)$', re.MULTILINE
)


class Way(Protocol):
    """One composition of the work, with processes, topics and a lake of its own."""

    settings: Settings
    outcomes: list[Path]
    """The folders of the tables that get one row an interaction."""
    tables: list[Path]
    """Those of all its tables."""

    def start(self) -> None:
        """Start it and return when it can take events."""
        ...

    def drained(self) -> bool:
        """Whether nothing is on its way, as far as it can tell. Raises if a process of it has died."""
        ...

    def pids(self) -> dict[str, list[int]]:
        """Its processes by role."""
        ...

    def counters(self) -> dict[str, float]:
        """What its processes have counted so far, by name and label."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


class Millrace:
    """redact, curate and sink; as `floor` with agents that let everything pass."""

    def __init__(self, settings: Settings, home: Path, processes: int = 1, floor: bool = False) -> None:
        self.settings = settings
        self._floor = floor
        self._pipeline = Pipeline(settings, home, processes)
        self.outcomes = [Path(settings.lake) / name for name in ("samples", "rejected")]
        self.tables = [*self.outcomes, Path(settings.lake) / "events"]

    def start(self) -> None:
        """See `Way`."""
        with patch.object(Role, "command", property(_floor_command)) if self._floor else nullcontext():
            self._pipeline.start()
        self._pipeline.await_ready()

    def drained(self) -> bool:
        """See `Way`."""
        return self._pipeline.drained()

    def pids(self) -> dict[str, list[int]]:
        """See `Way`."""
        return {role.value: [each.pid for each in of_role] for role, of_role in self._pipeline.processes.items()}

    def counters(self) -> dict[str, float]:
        """See `Way`."""
        counts: dict[str, float] = defaultdict(float)
        for role, of_role in self._pipeline.processes.items():
            for process in of_role:
                with urllib.request.urlopen(f"{process.url}/metrics", timeout=10) as answer:
                    for name, label, value in _METRIC.findall(answer.read().decode()):
                        counts[f"{role.value}.{name}.{label}"] += float(value)
        return counts

    def stop(self) -> None:
        """See `Way`."""
        self._pipeline.close()


class Plain:
    """`benchmarks/plain.py`."""

    def __init__(self, settings: Settings, home: Path, processes: int = 1) -> None:
        self.settings = settings
        self.outcomes = self.tables = [home / "plain"]
        self._ready = [home / f"plain-{number}.ready" for number in range(processes)]
        self._log = home / "plain.log"
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """See `Way`."""
        command = [sys.executable, str(Path(__file__).with_name("plain.py")), "--prefix", self.settings.topic_prefix]
        command += ["--bootstrap", self.settings.kafka_bootstrap, "--lake", str(self.tables[0])]
        command += ["--redis", self.settings.redis_url.removeprefix("redis://").partition("/")[0]]
        environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
        with self._log.open("ab") as log:
            for ready in self._ready:
                own = [*command, "--ready", str(ready)]
                self._children.append(subprocess.Popen(own, env=environ, stdout=log, stderr=log))
        end = time.monotonic() + READY_S
        while not all(ready.exists() for ready in self._ready):
            self.drained()
            if time.monotonic() > end:
                raise SystemExit("the plain composition was not ready in time")
            time.sleep(POLL_S)

    def drained(self) -> bool:
        """See `Way`; it cannot tell."""
        if any(child.poll() is not None for child in self._children):
            raise SystemExit(f"the plain composition ended:\n{self._log.read_text()[-4_000:]}")
        return True

    def pids(self) -> dict[str, list[int]]:
        """See `Way`."""
        return {"plain": [child.pid for child in self._children]}

    def counters(self) -> dict[str, float]:
        """See `Way`; it counts nothing."""
        return {}

    def stop(self) -> None:
        """See `Way`."""
        for child in self._children:
            child.kill()
            child.wait()


def commits(table: Path) -> Iterator[tuple[float, list[dict[str, Any]]]]:
    """A table's commits with rows: when (epoch seconds) its log entry came to lie on disk, and the added files."""
    for entry in sorted((table / "_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in entry.read_text().splitlines()]
        added = [action["add"] for action in actions if "add" in action]
        if added:
            yield entry.stat().st_mtime, added


def row_counts(table: Path) -> Iterator[tuple[float, int]]:
    """When so many rows were committed."""
    for when, added in commits(table):
        yield when, sum(json.loads(each["stats"])["numRecords"] for each in added)


def landings(tables: Iterable[Path], tenant: str) -> dict[str, float]:
    """Interaction of a tenant → when its first row was committed, epoch seconds."""
    landed: dict[str, float] = {}
    for table in tables:
        for when, added in commits(table):
            for each in added:
                rows = pq.ParquetFile(table / unquote(each["path"])).read(["tenant", "interaction_id"])
                for row in rows.to_pylist():
                    if row["tenant"] == tenant:
                        landed[row["interaction_id"]] = min(when, landed.get(row["interaction_id"], when))
    return landed


def steady(landed_at: Sequence[float]) -> float | None:
    """Rows a second between a tenth and nine tenths of them, given when each was committed, in order.

    Both ends are commits, so rows count that came after the first one's. None where there are too few commits.
    """
    first, last = landed_at[len(landed_at) // 10], landed_at[len(landed_at) * 9 // 10]
    within = [each for each in landed_at if first < each <= last]
    return round(len(within) / (last - first), 1) if len(set(within)) >= STEADY_COMMITS else None


def cpu_s(pids: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """CPU seconds that processes took so far, by role, with their children that have ended."""
    ticks = os.sysconf("SC_CLK_TCK")
    return {
        role: sum(sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15])) for pid in of)
        / ticks
        for role, of in pids.items()
    }


def busy_s() -> float:
    """CPU seconds that all cores of this machine were busy so far, those that its host took from it included."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def check_balance(settings: Settings, sent: Load, warm: Load) -> None:
    """Look up every event in the lake; ends the run if one is lost or double."""
    topic = settings.topic("events")
    topic_id = topic_ids(settings, [topic])[topic]
    offsets = [sum(record.partition == one for record in warm.records) for one in range(PARTITIONS)]
    rows = []
    for record in sent.records:
        rows.append((*record.ledger, topic_id, record.partition, offsets[record.partition]))
        offsets[record.partition] += 1
    ledger = pa.table(dict(zip(LEDGER.names, map(list, zip(*rows, strict=True)), strict=True)), schema=LEDGER)
    lake = connect(settings.lake)
    found = balance(lake, ledger, before=positions(lake, []), unreadable=0)
    if not found.adds_up:
        raise SystemExit(f"the balance does not add up, no figures: {found}")


def _floor_command(role: Role) -> list[str]:
    if role is Role.SINK:
        return [sys.executable, "-m", "millrace", role.value]
    return [sys.executable, str(Path(__file__).with_name("floor.py")), role.value]


def _address(url: str) -> str:
    return url.removeprefix("redis://").partition("/")[0]
