"""The runner of `curate`: here an interaction and its feedback become a sample, or a rejection with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeVar

from schemas.codec import Codec
from schemas.curation import Curation
from schemas.events import Position, RedactedEvent
from schemas.outcomes import Outcome
from schemas.reasons import Reason
from streams import metrics
from streams.brokers import Outgoing, largest_record_bytes
from streams.errors import OversizeError, TransientError
from streams.redaction import policy
from streams.redaction.hashing import KeyedHasher
from streams.runners import Batch, RawRecord, counted, duplicates, reason_for, timed
from streams.runners.bursts import Bursts
from streams.runners.dead_letters import DeadLetters
from streams.settings import Settings
from streams.stages import Drop, Keep, Wait, dedup
from streams.stages.gate import Gated, Gates
from streams.stages.join import InteractionLog, join, user_of
from streams.stages.normalise import normalise
from streams.stages.outcome import RULES, Applied, conflict, held, rejected, sample_id, sampled
from streams.stages.score import combine
from streams.state import Claim, StateStore

_DAY_S: Final = 86_400
_OVERHEAD_BYTES: Final = 65_536
"""What a record's key, headers and batch may take of Kafka's limit beside its value."""
V = TypeVar("V")
Recognised = Literal["new", "replayed", "conflict"]


class _Item(NamedTuple):
    """A decoded record. `entry` and `received_at` are the replay topic's own for what comes through it."""

    record: RawRecord
    event: RedactedEvent
    entry: Position
    received_at: int


class _Judged(NamedTuple):
    """An event applied to its interaction, and what the stages said of the interaction as of then."""

    item: _Item
    applied: Applied
    verdict: Keep[Gated] | Drop | Wait
    stage: str


class CurateRunner:
    """`feedback.redacted` and `feedback.replay` → `feedback.curated`: one outcome an event, or nothing yet."""

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        store: StateStore,
        hasher: KeyedHasher,
        dead_letters: DeadLetters,
        topic_ids: Mapping[str, str],
        curation: Curation | None = None,
    ) -> None:
        """`curation` None is the built-in one."""
        self._curation = Curation() if curation is None else curation
        self._rules = f"{RULES} {self._curation.rules()}"
        self._codec = codec
        self._store = store
        self._hasher = hasher
        self._dead_letters = dead_letters
        self._replay = settings.topic("replay")
        self._curated = settings.topic("curated")
        self._topic_ids = topic_ids
        self._largest_bytes = largest_record_bytes(settings) - _OVERHEAD_BYTES
        self._gates = Gates(self._curation.gates, policy.parse(settings.redaction_policy))
        self._ttl_s = settings.state_days * _DAY_S
        self._window = self._ttl_s * 1_000_000

    def process(self, records: Sequence[RawRecord]) -> Batch:
        """The outcomes of a batch, in order.

        1 decode → 2 claim event ids → 3 load the interactions and who scored how often → 4 hold bursts, apply each
        other event and judge its interaction → 5 claim near-duplicate bands and decide duplicates → 6 outcomes and
        state changes. Claims name their owner, so that a batch that is tried again finds its own.
        """
        outgoing: dict[RawRecord, Outgoing] = {}
        # 1 decode
        items = []
        for record in records:
            try:
                items.append(self._decode(record))
            except TransientError:
                raise
            except Exception as exc:
                outgoing[record] = self._dead_letter(record, None, reason_for(exc))
        # 2 claim event ids
        fresh = []
        for item, recognised in zip(items, self._recognise(items), strict=True):
            if recognised == "conflict":
                metrics.DROPPED.labels("claim", Reason.ID_CONFLICT).inc()
                nothing = self._applied(item, InteractionLog())
                outgoing[item.record] = self._curated_record(item.record, conflict(nothing))
            elif recognised == "replayed":
                metrics.REPLAYED.labels("curate").inc()
            elif item.event.interaction_id:
                fresh.append(item)
        # 3 load the interactions and who scored how often
        logs = self._load({_key(item.event) for item in fresh})
        bursts = self._bursts(fresh, logs)
        # 4 hold bursts, apply each other event and judge its interaction
        judged: list[_Judged] = []
        changes: dict[str, dict[str, bytes]] = {}
        for item in fresh:
            key = _key(item.event)
            try:
                if item.record.topic != self._replay and bursts.is_over(item.event, logs[key]):
                    counted(metrics.DROPPED, "hold", Reason.BURST_HELD)
                    outgoing[item.record] = self._curated_record(item.record, held(self._applied(item, logs[key])))
                    continue
                log, revision = logs[key].apply(item.event)
                applied = self._applied(item, log.as_of(revision))
                verdict, stage = _judge(applied, self._curation, self._gates, self._window)
            except Exception:
                outgoing[item.record] = self._dead_letter(item.record, item, Reason.STAGE_FAILED)
                continue
            if log is not logs[key]:
                changes.setdefault(key, {})[item.event.event_id] = _field(revision, item.record)
                logs[key] = log
            judged.append(_Judged(item, applied, verdict, stage))
        # 5 claim near-duplicate bands and decide duplicates
        found = self._duplicates([one for one in judged if isinstance(one.verdict, Keep)])
        # 6 outcomes and state changes
        for one in judged:
            try:
                outcome = _outcome(one, self._curation, found.get(one.item.record))
                if outcome is not None:
                    outgoing[one.item.record] = self._curated_record(one.item.record, outcome)
            except Exception as exc:
                outgoing[one.item.record] = self._dead_letter(one.item.record, one.item, reason_for(exc))
        return Batch(tuple(outgoing[record] for record in records if record in outgoing), changes, bursts.changes)

    def _decode(self, record: RawRecord) -> _Item:
        with timed("decode"):
            event = self._codec.decode(record.value or b"", RedactedEvent)
        counted(metrics.RECEIVED, "curate", event.kind)
        if record.topic == self._replay:
            return _Item(record, event, self._position(record), record.timestamp_ms * 1_000)
        return _Item(record, event, event.entry, event.received_at)

    def _recognise(self, items: Sequence[_Item]) -> list[Recognised]:
        """Whether each event is new, replayed (its id came in at another position) or in conflict (with another body).

        What comes through the replay topic was let in before and is not claimed again.
        """
        claims = {item.record: _event_claim(item) for item in items if item.record.topic != self._replay}
        with timed("state"):
            held = dict(zip(claims, self._store.claim(list(claims.values()), self._ttl_s), strict=True))
        verdicts: list[Recognised] = []
        for item in items:
            holder = held.get(item.record)
            if holder is None or holder == [claims[item.record].owner]:
                verdicts.append("new")
            else:
                same_body = holder[0].partition(b" ")[0] == item.event.digest.encode()
                verdicts.append("replayed" if same_body else "conflict")
        return verdicts

    def _load(self, keys: set[str]) -> dict[str, InteractionLog]:
        ordered = sorted(keys)
        with timed("state"):
            hashes = self._store.load(ordered)
        logs = {}
        with timed("decode"):
            for key, fields in zip(ordered, hashes, strict=True):
                applied = [(int(value[:8]), self._codec.decode(value[8:], RedactedEvent)) for value in fields.values()]
                applied.sort(key=lambda numbered: (numbered[0], numbered[1].event_id))
                logs[key] = InteractionLog(tuple(event for _, event in applied))
        return logs

    def _bursts(self, fresh: Sequence[_Item], logs: Mapping[str, InteractionLog]) -> Bursts:
        """Counts of the scores that were not let in before; whose they are, only the events before them tell."""
        users = {key: user_of(log) for key, log in logs.items()}
        scores = []
        for item in fresh:
            key = _key(item.event)
            if item.event.interaction is not None:
                users[key] = item.event.interaction.user
            if item.event.scores and item.record.topic != self._replay:
                scores.append((item.event, users[key]))
        with timed("state"):
            return Bursts(self._store, self._curation.scores.burst_per_hour, scores)

    def _duplicates(self, judged: Sequence[_Judged]) -> dict[RawRecord, dedup.Duplicate | None]:
        """Whose near duplicate each kept interaction is."""
        samples = [
            (sample_id(one.item.event), dedup.said_by(one.item.event.tenant, _gated(one).normalised)) for one in judged
        ]
        verdicts = duplicates.find(self._store, samples, self._curation.dedup.threshold, self._ttl_s)
        return {one.item.record: verdict.duplicate for one, verdict in zip(judged, verdicts, strict=True)}

    def _curated_record(self, record: RawRecord, outcome: Outcome) -> Outgoing:
        """To the partition that was read from: so the positions of an entry partition only grow in each."""
        with timed("encode"):
            value = self._codec.encode(outcome)
        if len(value) > self._largest_bytes:
            raise OversizeError("an outcome is larger than Kafka takes")
        return Outgoing(self._curated, outcome.sample_id.encode(), value, record.partition)

    def _dead_letter(self, record: RawRecord, item: _Item | None, reason: Reason) -> Outgoing:
        metrics.DROPPED.labels("curate", reason).inc()
        if item is None:
            return self._dead_letters.seal(record, self._position(record), "curate", reason)
        event_hash = self._hasher.event(item.event.tenant, item.event.event_id)
        return self._dead_letters.seal(record, item.entry, "curate", reason, item.event.tenant, event_hash)

    def _applied(self, item: _Item, log: InteractionLog) -> Applied:
        return Applied(item.event, item.entry, item.received_at, log, self._rules)

    def _position(self, record: RawRecord) -> Position:
        return Position(self._topic_ids[record.topic], record.partition, record.offset)


def _key(event: RedactedEvent) -> str:
    """Where the state keeps an interaction's events."""
    return f"interaction:{sample_id(event)}"


def _field(revision: int, record: RawRecord) -> bytes:
    """An applied event as the state keeps it: its revision in 8 digits, then the record as it came."""
    return b"%08d" % revision + (record.value or b"")


def _event_claim(item: _Item) -> Claim:
    event, entry = item.event, item.entry
    owner = f"{event.digest} {entry.topic_id}/{entry.partition}/{entry.offset}"
    return Claim([f"event:{event.tenant}/{event.event_id}"], owner.encode())


def _outcome(one: _Judged, curation: Curation, duplicate: dedup.Duplicate | None) -> Outcome | None:
    """The outcome that an event brought about; None while there is nothing to decide."""
    if isinstance(one.verdict, Drop):
        return rejected(one.applied, one.verdict, one.stage)
    if isinstance(one.verdict, Wait):
        return None
    with timed("score"):
        joined = one.verdict.record.normalised.joined
        combined = combine(joined.scores, curation.scores, joined.interaction)
    return sampled(one.applied, one.verdict.record, combined, duplicate)


def _gated(one: _Judged) -> Gated:
    assert isinstance(one.verdict, Keep)
    return one.verdict.record


def _judge(applied: Applied, curation: Curation, gates: Gates, window: int) -> tuple[Keep[Gated] | Drop | Wait, str]:
    """Join, normalise and gate an interaction; with the stage that decided."""
    with timed("join"):
        joined = join(applied.log, applied.received_at, window)
    if not isinstance(joined, Keep):
        return _noted(joined, "join"), "join"
    _noted(joined, "join")
    with timed("normalise"):
        normalised = _noted(normalise(joined.record, curation.normalise), "normalise")
    if not isinstance(normalised, Keep):
        return normalised, "normalise"
    with timed("gate"):
        return _noted(gates(normalised.record), "gate"), "gate"


def _noted(verdict: V, stage: str) -> V:
    if isinstance(verdict, Drop):
        counted(metrics.DROPPED, stage, verdict.reason)
    elif isinstance(verdict, Keep):
        counted(metrics.KEPT, stage)
    return verdict
