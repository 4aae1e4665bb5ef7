"""Producers that do not use the collector: their own topic, any codec, any wire form, with a schema registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Producer

from schemas.codec import Codec
from schemas.events import FeedbackEvent
from schemas.intake import event_to_json
from streams.brokers import client_config
from streams.lake.query import connect
from streams.pipeline import Pipeline
from streams.redaction.sealing import Sealed, new_key_pair, unseal
from streams.registry import RegistryClient
from streams.settings import Settings
from tests.events import interaction
from tests.integration.roles import running, settings_on
from tests.outcomes import copies_of
from tests.servers import Servers

PAIR = new_key_pair()


@pytest.fixture
def pipeline(servers: Servers, tmp_path: Path) -> Iterator[Pipeline]:
    settings = settings_on(
        servers,
        str(tmp_path / "lake"),
        ("events", "acme=acme"),
        schema_registry_url=servers.registry.url,
        deadletter_public_keys=(PAIR.public,),
        max_event_bytes=100_000,
    )
    with running(Pipeline(settings, tmp_path)) as pipeline:
        yield pipeline


def _produce(settings: Settings, codec: str, *values: bytes) -> None:
    producer = Producer(
        {**client_config(settings), "compression.type": codec, "linger.ms": 50, "message.max.bytes": 12_000_000}
    )
    for value in values:
        producer.produce(settings.topic("acme"), value)
    assert producer.flush(30) == 0


@pytest.mark.timeout(300)
def test_every_codec_and_wire_form_arrives_as_the_topic_s_tenant_and_poison_is_sealed(pipeline: Pipeline) -> None:
    settings = pipeline.settings
    with closing(RegistryClient(settings.schema_registry_url, settings.topic_prefix)) as registry:
        forms = {
            "json": event_to_json,
            "single-object": Codec().encode,
            "confluent": Codec(registry).encode,
        }
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            events = {
                form: FeedbackEvent(
                    event_id=f"{codec}-{form}",
                    interaction_id=f"{codec}-{form}",
                    tenant="somebody else",
                    interaction=interaction("Why? " * 20, "Because. " * 20),
                )
                for form in forms
            }
            _produce(settings, codec, *(forms[form](event) for form, event in events.items()))
    poison = {
        "unknown_schema": b"\x00\x00\x0f\x0f\x0fnothing",
        "undecodable": Codec().encode(FeedbackEvent(event_id="cut", interaction_id="cut"))[:-2],
        "oversize": b'{"event_id": "' + b"x" * 10_000_000 + b'"}',
        "invalid_event": b'{"event_id": "e", "interaction_id": "i", "score": {"method": "stars", "value": 11}}',
    }
    _produce(settings, "none", *poison.values())
    pipeline.await_drained(120)
    pipeline.stop()
    lake = connect(settings.lake)
    assert lake.execute("SELECT tenant, count(*) FROM events GROUP BY tenant").fetchall() == [("acme", 15)]
    letters = lake.execute("SELECT reason, sealed, original FROM dead_letters").fetchall()
    opened = {reason: unseal(Sealed(copies_of(sealed), original), PAIR) for reason, sealed, original in letters}
    assert opened == poison
