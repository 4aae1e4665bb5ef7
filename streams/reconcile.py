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
WITH known AS (
    SELECT tenant, interaction_id, count(DISTINCT event_id) AS n, max(received_at) AS latest,
        bool_or(kind = 'interaction') AND bool_or(kind <> 'interaction' OR len(scores) > 0) AS decidable
    FROM events WHERE interaction_id <> '' GROUP BY ALL
), decided AS (
    SELECT tenant, interaction_id, max(revision) AS revision FROM (
        SELECT tenant, interaction_id, revision FROM samples
        UNION ALL SELECT tenant, interaction_id, revision FROM rejected WHERE scope = 'interaction'
    ) GROUP BY ALL
)
SELECT e.* FROM events e
JOIN known USING (tenant, interaction_id) LEFT JOIN decided USING (tenant, interaction_id)
WHERE known.decidable AND known.latest <= $settled AND coalesce(decided.revision, 0) < known.n
ORDER BY e.tenant, e.interaction_id, e.received_at, e.event_id
"""
"""All events of interactions that have both sides, no event newer than `settled`, and an outcome that lacks some."""


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
