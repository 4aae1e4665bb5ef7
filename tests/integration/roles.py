"""What tests of the whole way share: settings under which nobody else runs, and the roles that run under them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from schemas.codec import Codec
from schemas.events import FeedbackEvent
from streams.balance import Balance, balance, positions
from streams.brokers import GaplessProducer, create_topics, topic_ids
from streams.feed import Source, feed
from streams.lake.query import connect
from streams.pipeline import Pipeline
from streams.redaction.sealing import new_key_pair
from streams.settings import Settings
from tests.servers import Servers

WINDOW_BYTES = 100_000


def settings_on(servers: Servers, lake: str, sources: Sequence[str] = ("events",), **more: Any) -> Settings:
    """Settings with state and topics of their own on the shared servers, made; `sources` without their prefix."""
    prefix = f"t{secrets.token_hex(4)}"
    settings = Settings(
        kafka_bootstrap=servers.kafka.bootstrap,
        redis_url=servers.fresh_redis(),
        lake=lake,
        topic_prefix=prefix,
        sources=tuple(f"{prefix}.{source}" for source in sources),
        topic_partitions=4,
        lake_commit_s=0.5,
        hash_key=secrets.token_hex(32),
        deadletter_public_keys=(new_key_pair().public,),
    )
    settings = msgspec.structs.replace(settings, **more)
    create_topics(settings)
    return settings


@contextmanager
def running(pipeline: Pipeline) -> Iterator[Pipeline]:
    """Its roles, ready; killed in the end if they still run."""
    try:
        pipeline.start()
        pipeline.await_ready()
        yield pipeline
    finally:
        pipeline.close()


class WholeWay:
    """Topics, state and a lake of its own on the shared servers, and the three roles."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        self.settings = settings
        self.pipeline = Pipeline(settings, logs)
        self._topic = settings.topic("events")
        self._topic_id = topic_ids(settings, [self._topic])[self._topic]
        self._before = positions(connect(settings.lake), [self._topic_id])
        self.ledger: pa.Table | None = None

    def send(self, events: list[FeedbackEvent], tenant: str = "acme") -> None:
        """Send events as a tenant's, a little at a time."""
        owned = [msgspec.structs.replace(event, tenant=tenant) for event in events]
        source = Source("test", self._topic, self._topic_id, owned)
        producer = GaplessProducer(self.settings)
        fed = feed(source, producer, Codec(), self.settings.topic_partitions, self.pipeline.landed, WINDOW_BYTES)
        self.ledger = fed.ledger

    def balance(self) -> Balance:
        """Wait until all is in the lake, stop the roles, and look every event up."""
        self.pipeline.await_drained(180)
        self.pipeline.stop()
        assert self.ledger is not None
        return balance(connect(self.settings.lake), self.ledger, self._before, 0)
