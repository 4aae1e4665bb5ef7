"""What `benchmarks/pipeline.py` sends: dialogues with their thumbs, encoded beforehand, at once or by the clock."""

from __future__ import annotations

import itertools
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

import msgspec
from confluent_kafka import Producer

from millrace.made_up import events as made_up
from schemas.codec import Codec
from schemas.events import FeedbackEvent, Interaction, Message, Score
from streams.brokers import producer_config
from streams.importers import BadLine, read_events
from streams.settings import Settings

PARTITIONS: Final = 4
TENANT: Final = "bench"
WARM_TENANT: Final = "warm"

TICK_S: Final = 0.01
"""Where the clock paces, what has become due is sent that often."""

Judged = tuple[Interaction, float]
"""An interaction and its thumb, 1 or 0."""


class Record(NamedTuple):
    """An encoded event with its key, the partition of the raw topic, and what the ledger says of it."""

    key: bytes
    value: bytes
    partition: int
    ledger: tuple[str, str, str, str]


class Load(NamedTuple):
    """What is sent: `interactions` of them, each an interaction and its thumb; `chars` of text.

    `repeated_text_share` of its messages stood in an earlier one: what a memo can save.
    """

    records: Sequence[Record]
    interactions: int
    chars: int
    repeated_text_share: float


def dialogues(file: Path | None, most: int | None) -> list[Judged]:
    """Interactions, each with its thumb."""
    if file is None:
        return list(itertools.islice(_made_up(4_000, seed=11), most))
    found: list[Judged] = []
    held: Interaction | None = None
    for event in itertools.islice(read_events(file, "hh", TENANT, 1_048_576), most and most * 2):
        assert not isinstance(event, BadLine), event.problem
        if event.interaction is not None:
            held = event.interaction
        elif held is not None:
            found.append((held, event.scores[0].value or 0.0))
    return found


def loads_of(judged: Sequence[Judged], quick: bool) -> dict[str, Load]:
    """Everything that is sent, encoded."""
    return {
        "warm": load(_made_up(300 if quick else 1_500, seed=7), WARM_TENANT),
        "few": load(_made_up(150, seed=7), WARM_TENANT),
        "dialogues": load(judged, TENANT),
        "first": load(judged[: 300 if quick else 1_500], TENANT),
        "tenfold": load(_joined(judged), TENANT),
        "turns": load(_turns(judged), TENANT),
    }


def load(judged: Iterable[Judged], tenant: str) -> Load:
    """Interactions and their thumbs, encoded as a producer does it."""
    codec = Codec()
    records: list[Record] = []
    said: list[str] = []
    for number, (interaction, thumb) in enumerate(judged):
        name = f"{tenant}-{number}"
        said += [message.content or "" for message in interaction.messages]
        for event in (
            FeedbackEvent(event_id=f"{name}:i", tenant=tenant, interaction_id=name, interaction=interaction),
            FeedbackEvent(event_id=f"{name}:t", tenant=tenant, interaction_id=name, scores=(Score("thumbs", thumb),)),
        ):
            key = f"{tenant}/{name}".encode()
            of_ledger = (event.event_id, event.kind, event.interaction_id, event.tenant)
            records.append(Record(key, codec.encode(event), zlib.crc32(key) % PARTITIONS, of_ledger))
    return Load(records, len(records) // 2, sum(map(len, said)), 1 - len(set(said)) / len(said))


def _made_up(count: int, seed: int) -> Iterator[Judged]:
    """Made-up interactions that have an answer, with a thumb each."""
    for number, event in enumerate(made_up(count, seed)):
        interaction = event.interaction
        if interaction is not None and interaction.messages[-1].content and len(msgspec.json.encode(event)) < 4_000:
            yield interaction, float(number % 2)


def _joined(judged: Sequence[Judged]) -> Iterator[Judged]:
    """Interactions of about ten dialogues each, every dialogue in one: their prompts a question, their answers one.

    Those that share a prompt are neighbours. So every n-th is taken, with n odd: no two questions are the same.
    """
    stride = max(1, len(judged) // 10) | 1
    for start in range(min(stride, len(judged))):
        ten = [interaction.messages for interaction, _ in judged[start::stride]]
        asked = "\n\n".join(message.content or "" for messages in ten for message in messages[:-1])
        answer = "\n\n".join(messages[-1].content or "" for messages in ten)
        yield Interaction((Message("user", asked), Message("assistant", answer))), judged[start][1]


def _turns(judged: Sequence[Judged]) -> Iterator[Judged]:
    """Each turn that the assistant answers, with all turns before it; what two dialogues share only once."""
    seen: set[tuple[Message, ...]] = set()
    for interaction, _ in judged:
        for end, message in enumerate(interaction.messages, 1):
            turn = interaction.messages[:end]
            if message.role == "assistant" and turn not in seen:
                seen.add(turn)
                yield Interaction(turn), float(len(seen) % 2)


def send(settings: Settings, records: Sequence[Record], per_s: int | None = None) -> tuple[dict[str, float], float]:
    """Produce at once, or so many interactions a second by the clock, whatever the consumers do.

    Interaction → when it was due (epoch seconds); and by how much producing was late at most.
    """
    producer = Producer({**producer_config(settings), "queue.buffering.max.messages": 1_000_000})
    producer.list_topics(settings.topic("events"), timeout=30)
    topic, sent_at, late_s, start = settings.topic("events"), {}, 0.0, time.time()
    for number, record in enumerate(records):
        due = start if per_s is None else start + number / 2 / per_s
        while (ahead_s := due - time.time()) > 0:
            time.sleep(max(ahead_s, TICK_S))
            producer.poll(0)
        late_s = late_s if per_s is None else max(late_s, -ahead_s)
        sent_at[record.ledger[2]] = due
        producer.produce(topic, record.value, record.key, record.partition)
    producer.flush(120)
    return sent_at, late_s
