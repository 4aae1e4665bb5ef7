"""Where an exported line comes from: enough to find its events, its model and its rules again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streams.exports.rows import Exported, Pair

_OF_SAMPLE: Final = (
    "prompt_id",
    "score",
    "score_low",
    "score_high",
    "confidence",
    "quality",
    "profile",
    "origin",
    "reviewed",
    "role",
    "task_type",
    "intent",
    "difficulty",
    "language",
    "model",
    "model_version",
    "variant",
    "consent",
    "sensitive",
    "tags",
    "pii",
    "duplicate_of",
    "similarity",
)
_OF_SCORE: Final = ("method", "value", "minimum", "maximum", "wins", "losses", "ties", "over", "rater")

Meta = dict[str, Any]


def of_sample(row: Exported, versions: Mapping[str, int]) -> Meta:
    """A sample's lineage, to be encoded. `versions` are those of the tables that were read."""
    sample = row.sample
    return {
        "sample_id": row.sample_id,
        "revision": row.revision,
        "tenant": row.tenant,
        "occurred_at": row.occurred_at.isoformat(),
        "received_at": row.received_at.isoformat(),
        "sources": [
            {
                "event_id": source.event_id,
                "topic_id": source.entry.topic_id,
                "partition": source.entry.partition,
                "offset": source.entry.offset,
            }
            for source in row.sources
        ],
        **{name: getattr(sample, name) for name in _OF_SAMPLE},
        "cluster": row.cluster_id,
        "duplicates": row.duplicates,
        "scores": [{name: getattr(score, name) for name in _OF_SCORE} for score in sample.scores],
        "gates": sample.gates,
        "rules": row.rules,
        "redactor": row.redactor,
        "table_versions": dict(versions),
    }


def of_pair(row: Pair, versions: Mapping[str, int]) -> Meta:
    """A pair's lineage: of both halves, and what makes one the better."""
    return {
        "kind": row.kind,
        "margin": row.margin,
        "chosen": of_sample(row.chosen, versions),
        "rejected": of_sample(row.rejected, versions),
    }
