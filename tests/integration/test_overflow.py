"""One tenant or key floods the stream: the others' way to the lake stays short, and all of it arrives once."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pyarrow.parquet as pq
import pytest

from schemas.codec import Codec
from schemas.events import FeedbackEvent, Interaction, Message, Score
from streams.brokers import GaplessProducer, Outgoing
from streams.lake.query import connect
from streams.pipeline import Pipeline, Role
from tests.integration.roles import running, settings_on
from tests.servers import Servers

OTHERS: Final = 300
WORDS: Final = (
    "the printer in room {0} prints page {0} of report {0} twice and then stops with error code {0} again. " * 6
)


@pytest.fixture
def pipeline(servers: Servers, tmp_path: Path) -> Iterator[Pipeline]:
    settings = settings_on(servers, str(tmp_path / "lake"), batch_events=50, redaction_memo_texts=1)
    with running(Pipeline(settings, tmp_path)) as made:
        yield made


def _chat(tenant: str, number: int) -> FeedbackEvent:
    said = Interaction((Message("user", WORDS.format(number)), Message("assistant", f"Page {number} is stuck.")))
    return FeedbackEvent(event_id=f"{tenant}-{number}", tenant=tenant, interaction_id=f"i{number}", interaction=said)


def _comment(tenant: str, number: int) -> FeedbackEvent:
    scores = (Score("comment", text=WORDS.format(number)),)
    return FeedbackEvent(event_id=f"{tenant}-{number}", tenant=tenant, interaction_id="one", scores=scores)


def _produce(pipeline: Pipeline, events: Sequence[FeedbackEvent]) -> None:
    codec, topic = Codec(), pipeline.settings.topic("events")
    GaplessProducer(pipeline.settings).deliver(
        [Outgoing(topic, event.event_id.encode(), codec.encode(event)) for event in events]
    )


def _latencies(pipeline: Pipeline, tenant: str) -> list[float]:
    """Seconds from Kafka taking each event of a tenant to the commit of its row, in order; by the Delta log's files."""
    table, found = Path(pipeline.settings.lake) / "events", []
    for entry in (table / "_delta_log").glob("*.json"):
        committed_s = entry.stat().st_mtime
        for action in map(json.loads, entry.read_text().splitlines()):
            if "add" in action:
                rows = (
                    pq.ParquetFile(table / unquote(action["add"]["path"])).read(["tenant", "received_at"]).to_pylist()
                )
                found += [committed_s - row["received_at"].timestamp() for row in rows if row["tenant"] == tenant]
    return sorted(found)


def _p99(latencies: Sequence[float]) -> float:
    return latencies[len(latencies) * 99 // 100]


def _audit(pipeline: Pipeline, expected: dict[str, int]) -> None:
    with connect(pipeline.settings.lake) as lake:
        found = lake.execute("SELECT tenant, count(*), count(DISTINCT event_id) FROM events GROUP BY tenant").fetchall()
    assert {tenant: (rows, ids) for tenant, rows, ids in found} == {name: (n, n) for name, n in expected.items()}


def _diverted(pipeline: Pipeline) -> dict[str, float]:
    with urllib.request.urlopen(f"{pipeline.processes[Role.REDACT].url}/metrics", timeout=10) as answer:
        lines = [line for line in answer.read().decode().splitlines() if line.startswith("millrace_diverted_total{")]
    return {line.split('"')[1]: float(line.split()[-1]) for line in lines}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("by", "make", "count"), [("tenant", _chat, 6_000), ("interaction", _comment, 3_000)])
def test_while_one_takes_nine_tenths_of_the_traffic_the_others_are_in_the_lake_long_before_it(
    pipeline: Pipeline, by: str, make: Callable[[str, int], FeedbackEvent], count: int
) -> None:
    calm = [_chat("calm", number) for number in range(OTHERS)]
    _produce(pipeline, calm)
    pipeline.await_drained(120)

    flood = [make("hot", number) for number in range(count)]
    others = iter([_chat("other", number) for number in range(OTHERS)])
    mixed = [
        event for n, hot in enumerate(flood) for event in ([hot] if n % (count // OTHERS) else [hot, next(others)])
    ]
    _produce(pipeline, mixed)
    pipeline.await_drained(180)

    diverted = _diverted(pipeline)
    _audit(pipeline, {"calm": OTHERS, "other": OTHERS, "hot": count})
    p99 = {tenant: _p99(_latencies(pipeline, tenant)) for tenant in ("calm", "other", "hot")}
    print(json.dumps({"by": by, "diverted": diverted, "p99_s": p99}))
    assert diverted[by] > count / 2
    assert p99["other"] < p99["hot"] / 2
