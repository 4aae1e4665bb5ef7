"""Where a record goes that cannot be processed: sealed, with a clear index that holds no value."""

from __future__ import annotations

from schemas.codec import Codec, schema_name
from schemas.events import Position
from schemas.outcomes import DeadLetter
from schemas.reasons import Reason
from streams import metrics
from streams.brokers import Outgoing
from streams.redaction.sealing import Sealer
from streams.runners import RawRecord


class DeadLetters:
    """Seals what cannot be processed.

    All letters of a stage go to the partition that the record was read from: so the positions of an entry partition
    only grow there, and the sink can tell a replay.
    """

    def __init__(self, topic: str, codec: Codec, sealer: Sealer, partitions: int) -> None:
        self._topic = topic
        self._codec = codec
        self._sealer = sealer
        self._partitions = partitions

    def seal(
        self,
        record: RawRecord,
        entry: Position,
        stage: str,
        reason: Reason,
        tenant: str | None = None,
        event_hash: str | None = None,
    ) -> Outgoing:
        """The dead letter of a record: its position, reason and keyed hash in clear, the original sealed."""
        metrics.DEAD_LETTERED.labels(stage, reason).inc()
        original = record.value or b""
        copies, sealed = self._sealer.seal(original)
        letter = DeadLetter(
            entry=entry,
            topic=record.source,
            reason=reason,
            stage=stage,
            received_at=record.timestamp_ms * 1_000,
            tenant=tenant,
            event_hash=event_hash,
            schema_id=schema_name(original),
            attempts=record.attempts + 1,
            sealed=copies,
            size_bytes=len(original),
            original=sealed,
        )
        value = self._codec.encode(letter)
        return Outgoing(self._topic, b"", value, record.partition % self._partitions)
