"""Near duplicates among all that was ever placed in the state: fingerprints, the store's candidates, and the verdict.

The one way for curate, `millrace stage dedup` and the benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streams.runners import timed
from streams.stages import dedup
from streams.stages.dedup import Compared, Duplicate, Said
from streams.state import Document, StateStore


class Verdict(NamedTuple):
    """Whose duplicate a sample is, and the earlier samples that it was compared with."""

    sample_id: str
    duplicate: Duplicate | None
    compared: list[Compared]


def find(store: StateStore, samples: Sequence[tuple[str, Said]], threshold: float, ttl_s: int) -> list[Verdict]:
    """Place samples, each an id and what it said, in order, and decide about each; placed again, the same verdict.

    1 fingerprints → 2 place them, which tells who was there before → 3 load the records of those → 4 decide. Raises
    `StateUnavailable`; then the same again.
    """
    # 1 fingerprints
    with timed("dedup"):
        prints = dedup.fingerprints([said for _, said in samples])
        documents = [
            Document(own.name, dedup.record(sample_id, own), own.bands)
            for (sample_id, _), own in zip(samples, prints, strict=True)
        ]
    # 2 place them
    with timed("state"):
        placed = store.place(documents, ttl_s)
    # 3 load the records
    candidates = [dedup.candidates(own, each.shared) for own, each in zip(prints, placed, strict=True)]
    records = {
        document.name: document.record for document, each in zip(documents, placed, strict=True) if each.record is None
    }
    with timed("state"):
        missing = list({name: None for names in candidates for name in names if name not in records})
        records |= {
            name: record for name, record in zip(missing, store.records(missing), strict=True) if record is not None
        }
    # 4 decide
    with timed("dedup"):
        verdicts = []
        for (sample_id, _), own, each, names in zip(samples, prints, placed, candidates, strict=True):
            kept = [each.record] if each.record is not None else [records[name] for name in names if name in records]
            compared = dedup.compare(own, kept)
            verdicts.append(Verdict(sample_id, dedup.decide(sample_id, compared, threshold), compared))
        return verdicts
