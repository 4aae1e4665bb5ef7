"""How long the lake keeps dead letters: their originals are personal data as it was said."""

from __future__ import annotations

from datetime import datetime, timedelta

from schemas.tables import DEAD_LETTERS
from streams.lake.ports import Lake
from streams.letters.index import Index, Selection
from streams.settings import Settings

REPLAYED = Selection(states=("replayed",))


def outdated(settings: Settings, now: datetime) -> Selection:
    """The letters that Kafka took too long ago to be kept."""
    return Selection(until=now - timedelta(days=settings.deadletter_days))


def purge(lake: Lake, old: Selection, replayed: bool) -> int:
    """Remove `outdated` letters, and with `replayed` those that are in the lake by now; returns how many.

    Their files too, also what an earlier call left there. Raises `LakeUnavailable`.
    """
    store = lake.find(DEAD_LETTERS)
    if store is None or old.until is None:
        return 0
    entries = [letter.entry for letter in Index(lake).letters(REPLAYED)] if replayed else []
    return store.purge(old.until, entries)
