"""Reconciliation: what the state has forgotten, the lake still has; what is held, it has too.

An interaction whose latest outcome was made of fewer events than the lake holds is published again, with all its
events, to `feedback.replay`: `curate` takes it up there as if it had just come. So is one that got no feedback in the
join window, and a held score that is released. Nothing is written to a table here.
"""

from __future__ import annotations

from collections.abc import Sequence
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

_TO_DECIDE: Final = """
SELECT * FROM events ANTI JOIN held USING (tenant, event_id) SEMI JOIN (
    SELECT tenant, interaction_id FROM unapplied WHERE last_received_at <= $settled
    UNION
    SELECT tenant, interaction_id FROM unscored WHERE first_received_at <= $window_began
) USING (tenant, interaction_id)
ORDER BY tenant, interaction_id, received_at, event_id
"""

_TO_RELEASE: Final = """
WITH chosen AS (SELECT * FROM held WHERE len($only) = 0 OR event_id IN (SELECT unnest($only::VARCHAR[])))
SELECT * FROM events
SEMI JOIN chosen USING (tenant, interaction_id)
ANTI JOIN (SELECT * FROM held ANTI JOIN chosen USING (tenant, event_id)) USING (tenant, event_id)
ORDER BY tenant, interaction_id, received_at, event_id
"""


def reconcile(lake: duckdb.DuckDBPyConnection, settings: Settings, producer: GaplessProducer, settled_s: float) -> int:
    """Publish again what the state has forgotten or nobody has scored, and return the number of events.

    An interaction is left alone until its latest event has been in Kafka for `settled_s` seconds: until then its
    outcome may be on its way. One without feedback waits for as long as the state does; then `curate`, which gets it
    with the present time, rejects it as `no_feedback`.
    """
    now = datetime.now(UTC)
    times = {"settled": now - timedelta(seconds=settled_s), "window_began": now - timedelta(days=settings.state_days)}
    return _publish(lake.sql(_TO_DECIDE, params=times), settings, producer)


def release(
    lake: duckdb.DuckDBPyConnection, settings: Settings, producer: GaplessProducer, event_ids: Sequence[str] = ()
) -> int:
    """Let held scores in, all or these only: publish them with their interactions; returns the number of events."""
    return _publish(lake.sql(_TO_RELEASE, params={"only": list(event_ids)}), settings, producer)


def _publish(events: duckdb.DuckDBPyRelation, settings: Settings, producer: GaplessProducer) -> int:
    codec, topic, published = Codec(), settings.topic("replay"), 0
    found = (event_of(row) for batch in events.to_arrow_reader() for row in batch.to_pylist())
    while chunk := list(islice(found, _CHUNK_EVENTS)):
        producer.deliver(Outgoing(topic, sample_id(event).encode(), codec.encode(event)) for event in chunk)
        published += len(chunk)
    return published
