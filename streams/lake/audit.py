"""The leak audit over what is in the lake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from schemas.events import RedactedEvent
from schemas.tables import EVENTS, event_of
from streams.errors import LakeUnavailable
from streams.lake.ports import Lake
from streams.redaction.audit import Report, audit, sampled

BATCH_ROWS: Final = 1_000
"""Rows in memory at once: a few MB of chats."""


def audit_lake(lake: Lake, share: float) -> Report:
    """The report over a share, in [0, 1], of the table `events`; memory stays flat. Raises `LakeUnavailable`."""
    total = Report()
    for event in _events(lake, share):
        total = total.plus(audit(event))
    return total


def _events(lake: Lake, share: float) -> Iterator[RedactedEvent]:
    store = lake.find(EVENTS)
    if store is None:
        return
    columns = [name for name in EVENTS.schema.names if name not in ("day", "kind")]
    batches = store.dataset().to_batches(
        columns=columns, batch_size=BATCH_ROWS, batch_readahead=1, fragment_readahead=1, use_threads=False
    )
    try:
        for batch in batches:
            ids = batch.column("event_id").to_pylist()
            places = [place for place, event_id in enumerate(ids) if sampled(event_id, share)]
            yield from map(event_of, batch.take(pa.array(places, pa.int64())).to_pylist())
    except OSError as exc:
        raise LakeUnavailable(f"{EVENTS.name}: {type(exc).__name__}") from exc
