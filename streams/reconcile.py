"""Reconciliation: what the state has forgotten, the lake still has.

An interaction whose latest outcome was made of fewer events than the lake holds is published again, with all its
events, to `feedback.replay`: `curate` takes it up there as if it had just come. Nothing is written to a table here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

import duckdb

from schemas.codec import Codec
from schemas.tables import event_of
from streams.brokers import GaplessProducer, Outgoing
from streams.settings import Settings
from streams.stages.outcome import sample_id

_CHUNK_EVENTS: Final = 500

_FORGOTTEN: Final = """
SELECT * FROM events
SEMI JOIN (SELECT * FROM unapplied WHERE last_received_at <= $settled) USING (tenant, interaction_id)
ORDER BY tenant, interaction_id, received_at, event_id
"""


def reconcile(lake: duckdb.DuckDBPyConnection, settings: Settings, producer: GaplessProducer, settled_s: float) -> int:
    """Publish again what the state has forgotten, and return the number of events.

    An interaction is left alone until its latest event has been in Kafka for `settled_s` seconds: until then its
    outcome may be on its way.
    """
    settled = datetime.now(UTC) - timedelta(seconds=settled_s)
    codec, topic, published = Codec(), settings.topic("replay"), 0
    rows = lake.sql(_FORGOTTEN, params={"settled": settled}).to_arrow_reader()
    events = (event_of(row) for batch in rows for row in batch.to_pylist())
    while chunk := list(islice(events, _CHUNK_EVENTS)):
        producer.deliver(Outgoing(topic, sample_id(event).encode(), codec.encode(event)) for event in chunk)
        published += len(chunk)
    return published
