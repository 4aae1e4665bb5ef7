"""The runner of `redact`: here PII ends."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, get_args

import msgspec

from schemas.codec import Codec
from schemas.errors import InvalidEvent, UndecodableRecord
from schemas.events import FeedbackEvent, Position, RedactedEvent, Tenant
from schemas.intake import check_event
from schemas.reasons import Reason
from streams import metrics
from streams.brokers import Outgoing
from streams.errors import OversizeError, TransientError
from streams.redaction import audit
from streams.redaction.hashing import KeyedHasher
from streams.redaction.redactor import Redactor
from streams.runners import Batch, RawRecord, counted, reason_for, timed
from streams.runners.dead_letters import DeadLetters
from streams.runners.overflow import Diversion
from streams.settings import Settings
from streams.stages import Drop
from streams.stages.redact import redact, texts_of

_TENANT: Final = re.compile(next(meta.pattern or "" for meta in get_args(Tenant)[1:]))


class RedactRunner:
    """`feedback.events` → `feedback.redacted`, re-keyed by tenant and interaction."""

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        redactor: Redactor,
        hasher: KeyedHasher,
        dead_letters: DeadLetters,
        topic_ids: Mapping[str, str],
        diversion: Diversion | None = None,
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._redactor = redactor
        self._hasher = hasher
        self._dead_letters = dead_letters
        self._topic_ids = topic_ids
        self._diversion = diversion
        self._tenants = settings.tenant_of_source
        for kind in audit.Kind:
            metrics.AUDIT_FINDINGS.labels(kind)  # shown as 0 from the start: an alert on a rise needs a first value

    def process(self, records: Sequence[RawRecord]) -> Batch:
        """One outgoing record for each that came in.

        1 decode all → 2 what is hot goes round as it came → 3 look at all other texts together → 4 redact each.
        """
        # 1
        with timed("decode"):
            decoded = [self._decoded(record) for record in records]
        # 2
        diverted = [None] * len(records) if self._diversion is None else self._diversion.divert(records, decoded)
        # 3
        with timed("redact"):
            kept = (event for event, instead in zip(decoded, diverted, strict=True) if instead is None)
            events = (event for event in kept if isinstance(event, FeedbackEvent))
            self._redactor.prepare(text for event in events for text in texts_of(event))
        # 4
        return Batch(
            tuple(
                instead or self._one(record, event)
                for record, event, instead in zip(records, decoded, diverted, strict=True)
            ),
            {},
        )

    def _one(self, record: RawRecord, decoded: FeedbackEvent | Exception) -> Outgoing:
        entry = Position(self._topic_ids[record.topic], record.partition, record.offset)
        if isinstance(decoded, Exception):
            return self._drop(record, entry, reason_for(decoded), None)
        event = decoded
        try:
            counted(metrics.RECEIVED, "redact", event.kind)
            if not _TENANT.match(event.tenant):
                return self._drop(record, entry, Reason.UNKNOWN_TENANT, event)
            with timed("redact"):
                verdict = redact(event, entry, record.timestamp_ms * 1_000, self._redactor, self._hasher)
            if isinstance(verdict, Drop):
                return self._drop(record, entry, verdict.reason, event)
            counted(metrics.KEPT, "redact")
            self._audit(verdict.record)
            with timed("encode"):
                key = f"{event.tenant}/{event.interaction_id or verdict.record.event_id}"
                return Outgoing(self._settings.topic("redacted"), key.encode(), self._codec.encode(verdict.record))
        except TransientError:
            raise
        except Exception as exc:  # the boundary fails closed: whatever it is, the event is sealed away
            return self._drop(record, entry, reason_for(exc), event)

    def _decoded(self, record: RawRecord) -> FeedbackEvent | Exception:
        try:
            return self._decode(record)
        except TransientError:
            raise
        except Exception as exc:
            return exc

    def _decode(self, record: RawRecord) -> FeedbackEvent:
        if record.value is None:
            raise UndecodableRecord("a tombstone is no event")
        if len(record.value) > self._settings.max_event_bytes:
            raise OversizeError("the record is larger than max_event_bytes")
        event = self._codec.decode(record.value, FeedbackEvent)
        check_event(event)
        if record.source not in self._tenants:
            raise InvalidEvent("source", "the record does not say which source it is of")
        tenant = self._tenants[record.source]
        return event if tenant is None else msgspec.structs.replace(event, tenant=tenant)

    def _audit(self, event: RedactedEvent) -> None:
        """Count what a second look finds in a sampled event, which goes on its way whatever that is."""
        if not audit.sampled(event.event_id, self._settings.redaction_audit_share):
            return
        try:
            with timed("audit"):
                report = audit.audit(event)
        except Exception:
            metrics.AUDIT_FAILED.inc()
            return
        metrics.AUDIT_CHARS.inc(report.chars)
        for kind, count in report.findings.items():
            metrics.AUDIT_FINDINGS.labels(kind).inc(count)

    def _drop(self, record: RawRecord, entry: Position, reason: Reason, event: FeedbackEvent | None) -> Outgoing:
        metrics.DROPPED.labels("redact", reason).inc()
        tenant = self._tenants.get(record.source)
        if tenant is None and event is not None and _TENANT.match(event.tenant):
            tenant = event.tenant  # what is no tenant's name may be anything, and the index is in clear
        event_hash = None if event is None else self._hasher.event(tenant or "", event.event_id)
        return self._dead_letters.seal(record, entry, "redact", reason, tenant, event_hash)
