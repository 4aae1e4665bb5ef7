"""The same work composed the plain way, as Faust's documentation suggests: the peer of `benchmarks/pipeline.py`.

    python benchmarks/plain.py --bootstrap HOST:PORT --prefix NAME --redis HOST:PORT --lake DIR

One Faust app: `async for batch in stream.take(…)`, stock Presidio a message, datasketch's LSH on Redis, `Topic.send` to
a second topic, and an agent that appends each batch of it to a Delta table.

It does less than Millrace. It finds no names, as stock Presidio has no model for them, nor disguised values and
secrets; it keeps no log of events, no revisions and no reasons. Its join is a dict: a Faust table would send each
change to Kafka as well. And it loses events: `take` acknowledges also what failed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

import faust
import msgspec
import pyarrow as pa
from datasketch import MinHash, MinHashLSH
from deltalake import write_deltalake

from schemas.codec import Codec
from schemas.events import FeedbackEvent
from streams.redaction import Finding
from streams.redaction.presidio.stock import StockAnalyzer

STAGE_BATCH: Final = 100
STAGE_WITHIN_S: Final = 0.1
SINK_BATCH: Final = 500
SINK_WITHIN_S: Final = 1.0
MIN_SCORE: Final = 0.35  # as Millrace's
PERMUTATIONS: Final = 128
THRESHOLD: Final = 0.7
SHINGLE_WORDS: Final = 3
MAX_CHARS: Final = 100_000


class Chat(NamedTuple):
    """A redacted interaction: who said what, the last one the answer."""

    tenant: str
    interaction_id: str
    turns: tuple[tuple[str, str], ...]


class Row(msgspec.Struct):
    """A row of the table, and the value on the curated topic as JSON. `passed` is what the gates said."""

    tenant: str
    interaction_id: str
    instruction: str
    input: str
    output: str
    score: float
    passed: bool
    duplicate_of: str | None


class Redaction:
    """Presidio's findings replaced by their types, as its anonymizer does by default."""

    def __init__(self) -> None:
        self._analyzer = StockAnalyzer(MIN_SCORE)

    def redact(self, text: str) -> str:
        """The text without what was found; of findings that overlap the one with the higher score counts."""
        kept: list[Finding] = []
        for finding in sorted(self._analyzer.analyze(text), key=lambda each: (-each.score, each.start - each.end)):
            if all(finding.end <= each.start or each.end <= finding.start for each in kept):
                kept.append(finding)
        for finding in sorted(kept, key=lambda each: -each.start):
            text = f"{text[: finding.start]}<{finding.type}>{text[finding.end :]}"
        return text

    def chat(self, event: FeedbackEvent) -> Chat:
        """The interaction of an event, its texts redacted."""
        assert event.interaction is not None
        turns = tuple((each.role, self.redact(each.content or "")) for each in event.interaction.messages)
        return Chat(event.tenant, event.interaction_id, turns)


class Deduplication:
    """datasketch's LSH in its own Redis layout, on what it calls shingles of the whole chat."""

    def __init__(self, redis: str, name: str) -> None:
        host, port = redis.split(":")
        storage = {"type": "redis", "basename": name.encode(), "redis": {"host": host, "port": int(port)}}
        self._index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, storage_config=storage)

    def first_of(self, key: str, text: str) -> str | None:
        """The key of an earlier text that is nearly the same; else the text is remembered."""
        words = text.lower().split()
        sketch = MinHash(num_perm=PERMUTATIONS)
        for start in range(max(1, len(words) - SHINGLE_WORDS + 1)):
            sketch.update(" ".join(words[start : start + SHINGLE_WORDS]).encode())
        found = self._index.query(sketch)
        if found:
            return str(found[0])
        self._index.insert(key, sketch)
        return None


class Stages:
    """From events to rows: redact, join, gate, score, dedup, one event at a time."""

    def __init__(self, redaction: Redaction, dedup: Deduplication) -> None:
        self._redaction = redaction
        self._dedup = dedup
        self._codec = Codec()
        self._chats: dict[str, Chat] = {}
        self._thumbs: dict[str, float] = {}

    def row(self, value: bytes) -> Row | None:
        """The row that an event completes, if any."""
        event = self._codec.decode(value, FeedbackEvent)
        key = f"{event.tenant}/{event.interaction_id}"
        if event.interaction is not None:
            self._chats[key] = self._redaction.chat(event)
        elif event.scores and event.scores[0].method == "thumbs":
            self._thumbs[key] = event.scores[0].value or 0.0
        if key not in self._chats or key not in self._thumbs:
            return None
        chat, score = self._chats.pop(key), self._thumbs.pop(key)
        return self._judged(key, chat, score)

    def _judged(self, key: str, chat: Chat, score: float) -> Row:
        *prompt, (_, output) = chat.turns
        asked = [text for role, text in prompt if role == "user"]
        before = "\n".join(f"{role}: {text}" for role, text in prompt[:-1])
        whole = "\n".join(text for _, text in chat.turns)
        passed = bool(asked and output.strip()) and len(whole) <= MAX_CHARS
        first = self._dedup.first_of(key, whole) if passed else None
        return Row(chat.tenant, chat.interaction_id, asked[-1] if asked else "", before, output, score, passed, first)


def app(bootstrap: str, prefix: str, redis: str, lake: Path, ready: Path) -> faust.App:
    """The app. The file `ready` is made when it has its partitions."""
    made = faust.App(
        f"{prefix}-plain",
        broker=f"kafka://{bootstrap}",
        store="memory://",
        topic_allow_declare=False,  # its topics are there
        topic_disable_leader=True,
        web_enabled=False,
        datadir=str(ready.with_suffix(".faust")),
        consumer_auto_offset_reset="earliest",
    )
    events = made.topic(f"{prefix}.events", value_type=bytes, value_serializer="raw")
    curated = made.topic(f"{prefix}.curated", value_type=bytes, value_serializer="raw")
    stages = Stages(Redaction(), Deduplication(redis, prefix))

    @made.agent(events)
    async def curate(stream: Any) -> None:
        async for batch in stream.take(STAGE_BATCH, within=STAGE_WITHIN_S):
            for value in batch:
                row = stages.row(value)
                if row is not None:
                    await curated.send(key=row.interaction_id.encode(), value=msgspec.json.encode(row))

    @made.agent(curated)
    async def sink(stream: Any) -> None:
        async for batch in stream.take(SINK_BATCH, within=SINK_WITHIN_S):
            append(lake, [msgspec.json.decode(value, type=Row) for value in batch])

    @made.on_partitions_assigned.connect
    async def assigned(*_: Any, **__: Any) -> None:
        ready.touch()

    return made


def append(lake: Path, rows: Sequence[Row]) -> None:
    """One append to the table."""
    columns = {name: [getattr(row, name) for row in rows] for name in Row.__struct_fields__}
    types = {"score": pa.float64(), "passed": pa.bool_()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in columns])
    write_deltalake(str(lake), pa.table(columns, schema=schema), mode="append")


def main() -> None:
    """Run the app until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--bootstrap", "--prefix", "--redis"):
        parser.add_argument(option, required=True)
    parser.add_argument("--lake", type=Path, required=True, help="the table's folder")
    parser.add_argument("--ready", type=Path, required=True, help="a file that is made when it can take events")
    asked = parser.parse_args()
    made = app(asked.bootstrap, asked.prefix, asked.redis, asked.lake, asked.ready)
    faust.Worker(made, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main()
