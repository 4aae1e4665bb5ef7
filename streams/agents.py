"""The Faust agents, `redact`, `curate` and `overflow`, each a process of its own in a consumer group of its own.

`overflow` redacts as `redact` does, but from the topic `reentry`: what was hot, and dead letters that are sent again.
It is a process of its own, since two agents in one would share its interpreter's lock; it lets the others go first.

Faust's obvious usage loses events: an agent that raises has acknowledged its event all the same, and `take` does so in
`finally`. So the loop below never raises, takes without acknowledging, and acknowledges once the outcome is durable.
Faust's own offsets and intake are replaced by those of `streams.intake`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Literal, Protocol, TypeVar, cast

import faust
from faust.types import EventT

from streams import curation, intake, metrics
from streams.brokers import GaplessProducer, GroupProgress, await_topics, read_by, topic_ids
from streams.codecs import codec_of
from streams.errors import BrokerUnavailable, DeliveryFailed, TransientError
from streams.metrics import Health
from streams.redaction.hashing import KeyedHasher
from streams.redaction.sealing import Sealer
from streams.reentry import origin_of
from streams.runners import BRIEF_S, Batch, RawRecord
from streams.runners.dead_letters import DeadLetters
from streams.runners.overflow import Diversion
from streams.settings import Settings
from streams.stages.redact import EARLIEST_OCCURRED_AT
from streams.state import StateStore, open_state
from streams.waiting import Backoff, await_answer
from streams.watchdog import EXIT_FATAL, Watchdog, die, on_signals

AgentName = Literal["redact", "curate", "overflow"]
AGENTS: Final[tuple[AgentName, ...]] = ("redact", "curate", "overflow")

LOGGER: Final = logging.getLogger("millrace.agents")
_MAX_WAIT_S: Final = 30.0
_COMMIT_EVERY_S: Final = 0.5
_SESSION_S: Final = 10.0
"""How long Kafka waits for a worker that was killed before another takes its partitions; Faust's own is a minute."""
_KAFKA_S: Final = 5.0
"""Kafka acknowledges within less, or is away."""

OVERFLOW_NICE: Final = 10
OVERFLOW_EVENTS: Final = 100
OVERFLOW_SHARE: Final = 0.1
"""While others are behind, `overflow` works for that part of the time at most, in batches of `OVERFLOW_EVENTS`."""
OVERFLOW_WAIT_S: Final = 1.0
"""It waits for at least so long then: what it puts out still costs `curate` more than itself."""
_BEHIND_BATCHES: Final = 4
"""So many batches lie between Kafka and a commit where nobody is behind."""

_LOOP: Final = "the event loop is blocked"
_BATCH: Final = "a batch does not end"
_ASSIGNMENT: Final = "Kafka answers and assigns no partitions"
T = TypeVar("T")


class Runner(Protocol):
    """What an agent feeds with batches."""

    def process(self, records: Sequence[RawRecord]) -> Batch:
        """See `streams.runners`."""
        ...


def serve(settings: Settings, agent: AgentName, report: bool = False, parent: int = 0) -> None:
    """Run one agent until SIGTERM or SIGINT, or until it is no child of process `parent`, if given.

    With `report`, the last line on stdout says what was done, as JSON.
    """
    settings.require("hash_key", "deadletter_public_keys")
    if agent == "overflow":
        os.nice(OVERFLOW_NICE)
    health = Health()
    stop_serving = metrics.serve(settings.metrics_host, settings.metrics_port, health)
    try:
        asyncio.run(_run(settings, agent, health, parent))
    finally:
        stop_serving()
    if report:
        print(json.dumps({"agent": agent, **metrics.stage_report()}), flush=True)


async def _run(settings: Settings, agent: AgentName, health: Health, parent: int) -> None:
    """1 build, which waits for what is away → 2 consume until told to stop → 3 end what is in hand, and commit.

    The watchdog ends the process where 2 stalls, or where 3 takes longer than `drain_s`.
    """
    stopping, watchdog = asyncio.Event(), Watchdog(health, settings.stall_s)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(stopping.set)

    def stop_alone() -> None:
        watchdog.stop_within(settings.drain_s)
        stop()

    on_signals(stop, watchdog, settings.drain_s)
    if parent:
        watchdog.stop_without_parent(parent, stop_alone)
    watchdog.start()
    beating = asyncio.create_task(_beat(watchdog))
    # 1
    building = asyncio.create_task(asyncio.to_thread(_AgentWorker, settings, agent, health, watchdog, stopping))
    await asyncio.wait([building, asyncio.create_task(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
    if not building.done():
        os._exit(0)  # still waiting for a dependency, in a thread that cannot be stopped; nothing was begun
    worker = building.result()
    app = worker.app()
    watchdog.beat(_ASSIGNMENT)
    try:
        await app.start()
    except Exception:
        _die("the intake could not start")  # asyncio.run would wait for Faust's tasks for ever
    worker.watch(app)
    LOGGER.info("agent started", extra={"fields": {"agent": agent}})
    # 2
    if (await app.wait(stopping.wait())).stopped:
        health.not_ready("crashed")
        _die("the intake ended by itself", app.crash_reason)
    # 3
    health.not_ready("stopping")
    await app.stop()
    worker.close()
    beating.cancel()
    LOGGER.info("agent stopped", extra={"fields": {"agent": agent}})


async def _beat(watchdog: Watchdog) -> None:
    while True:
        watchdog.beat(_LOOP)
        await asyncio.sleep(0.5)


class _AgentWorker:
    """One agent with its runner, producer and state."""

    def __init__(
        self, settings: Settings, agent: AgentName, health: Health, watchdog: Watchdog, stopping: asyncio.Event
    ) -> None:
        await_topics(settings, health)
        self._settings = settings
        self._agent = agent
        self._health = health
        self._watchdog = watchdog
        self._stopping = stopping
        self._producer = GaplessProducer(settings, self._waiting_for_kafka)
        self._store: StateStore | None = None
        if agent == "curate":
            self._store = open_state(settings)
            await_answer(self._store.ping, "the state", health, LOGGER)
        self._topics = read_by(settings, agent)
        self._diversion = Diversion(settings) if agent == "redact" and not settings.embedded_topic_ids else None
        self._others = _Others(settings) if agent == "overflow" else None
        self._runner = self._build_runner()
        self._in_hand = 0
        self._settling: asyncio.Task[None] | None = None
        self._abandoned = False
        self._scratch = tempfile.TemporaryDirectory(prefix="millrace-faust-")  # Faust makes folders that we do not use

    def app(self) -> faust.App:
        """The Faust app: consumes the agent's topics, raw, and commits what was acknowledged."""
        settings = self._settings
        app = faust.App(
            f"{settings.topic_prefix}-{self._agent}",
            broker=[f"kafka://{address}" for address in settings.kafka_bootstrap.split(",")],
            broker_credentials=_credentials(settings),
            broker_commit_interval=_COMMIT_EVERY_S,
            broker_heartbeat_interval=_SESSION_S / 5,
            broker_session_timeout=_SESSION_S,
            broker_rebalance_timeout=_SESSION_S,
            broker_max_poll_records=settings.batch_events * 4,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=settings.batch_bytes,  # of one partition; a larger record comes alone
            stream_buffer_maxsize=settings.batch_events * 4,
            stream_wait_empty=True,  # False commits what was not processed when the process is told to stop
            topic_allow_declare=False,
            topic_disable_leader=True,
            topic_partitions=settings.topic_partitions,
            store="memory://",
            web_enabled=False,
            datadir=self._scratch.name,
            loghandlers=[],
        )
        events = settings.batch_events if self._others is None else min(OVERFLOW_EVENTS, settings.batch_events)
        limits = intake.Limits(events, settings.batch_bytes, settings.drain_s)
        intake.use(app, limits)  # before the agent is declared
        topic = app.topic(*self._topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

        @app.agent(topic, concurrency=1, name=self._agent)
        async def consume(stream: Any) -> None:
            async for events in intake.batches(stream, limits, settings.batch_wait_s):
                start = time.monotonic()
                await self._batch(app, events)
                if self._others is not None:
                    await self._let_others_go_first(self._others, time.monotonic() - start)

        @app.on_partitions_revoked.connect
        async def revoked(*_: Any, **__: Any) -> None:
            self._watchdog.beat(_ASSIGNMENT)

        @app.on_partitions_assigned.connect
        async def assigned(*_: Any, **__: Any) -> None:
            self._watchdog.rest(_ASSIGNMENT)
            self._health.ready()

        return app

    def watch(self, app: faust.App) -> None:
        """Look from outside, in a thread, whether what is assigned to us moves."""
        threading.Thread(target=self._watch, args=(app,), name="progress", daemon=True).start()

    def close(self) -> None:
        """Let go of the state and the scratch folder."""
        self._scratch.cleanup()
        if self._store is not None:
            self._store.close()

    async def _batch(self, app: faust.App, events: Sequence[EventT[Any]]) -> None:
        """One batch; never raises.

        1 process → 2 produce, every delivery acknowledged by Kafka → 3 merge the state → 4 acknowledge in offset
        order. A dependency that is away is waited for in place; anything else that goes wrong ends the process with
        the batch unacknowledged. Where there is no state, 2 to 4 go on beside 1 of the next batch.
        """
        self._in_hand += 1
        self._watchdog.beat(_BATCH)
        start = time.perf_counter()
        reentry = self._settings.topic("reentry")
        records = [_raw(record, reentry) for event in events for record in event.value]
        if self._diversion is not None:
            self._diversion.waiting = _consumer(app).waiting()
        batch: Batch | None = None
        try:
            # 1
            if not self._abandoned:
                batch = await self._answered(lambda: self._runner.process(records))
        except asyncio.CancelledError:
            pass
        except Exception:
            _die("a batch failed for no known reason")
        await self._settled()
        if batch is None or self._abandoned:
            # Told to stop while waiting: not acknowledged, so the next run reads it again, and all that comes after it.
            self._give_up(app, events)
            return
        self._settling = asyncio.create_task(self._settle(app, events, records, batch, start))
        if self._store is not None:
            await self._settled()

    async def _settled(self) -> None:
        """Return once the batch before is acknowledged or given up."""
        settling, self._settling = self._settling, None
        if settling is not None:
            await asyncio.wait((settling,))  # goes on to its end even if we are cancelled here
            settling.result()

    async def _settle(
        self, app: faust.App, events: Sequence[EventT[Any]], records: Sequence[RawRecord], batch: Batch, start: float
    ) -> None:
        """Steps 2 to 4 of a batch."""
        try:
            # 2
            await asyncio.to_thread(self._producer.deliver, batch.outgoing)
            self._health.ready("kafka")
            # 3
            if self._store is not None:
                store, ttl_s = self._store, self._settings.state_days * 86_400
                for changes, kept_s in ((batch.changes, ttl_s), (batch.brief, BRIEF_S)):
                    if changes:
                        await self._answered(partial(store.merge, changes, kept_s))
        except asyncio.CancelledError:
            self._give_up(app, events)
            return
        except DeliveryFailed:
            _die("Kafka refused a record for good")
        except Exception:
            _die("a batch failed for no known reason")
        # 4
        for event in events:
            event.ack()
        self._out_of_hand()
        metrics.BATCH_SECONDS.labels(self._agent).observe(time.perf_counter() - start)
        for record in {(record.topic, record.partition): record for record in records}.values():
            self._show_lag(app, record)

    def _give_up(self, app: faust.App, events: Sequence[EventT[Any]]) -> None:
        self._abandoned = True
        _consumer(app).give_up(events)
        self._out_of_hand()

    def _out_of_hand(self) -> None:
        self._in_hand -= 1
        if not self._in_hand:
            self._watchdog.rest(_BATCH)

    async def _answered(self, call: Callable[[], T]) -> T:
        """Call in a thread until the dependencies answer. Raises `CancelledError` if told to stop meanwhile."""
        backoff = Backoff(0.1, _MAX_WAIT_S)
        while True:
            try:
                result = await asyncio.to_thread(call)
                self._health.ready("state")
                return result
            except TransientError as exc:
                kind, wait_s = type(exc).__name__, backoff.next_s()
                self._watchdog.beat(_BATCH)
                self._health.not_ready(kind, "state")
                LOGGER.warning("waiting for a dependency", extra={"fields": {"error": kind, "wait_s": wait_s}})
                if await self._stopped_within(wait_s):
                    raise asyncio.CancelledError from exc
                self._watchdog.beat(_BATCH)

    def _waiting_for_kafka(self, seconds: float) -> None:
        self._watchdog.beat(_BATCH)
        if seconds > _KAFKA_S:
            self._health.not_ready("Kafka does not acknowledge", "kafka")

    async def _let_others_go_first(self, others: _Others, took_s: float) -> None:
        """Wait while others are behind, but no longer than leaves us `OVERFLOW_SHARE` of the time."""
        end = time.monotonic() + max(OVERFLOW_WAIT_S, took_s * (1 / OVERFLOW_SHARE - 1))
        while time.monotonic() < end and await asyncio.to_thread(others.are_behind):
            if await self._stopped_within(min(OVERFLOW_WAIT_S, max(0.0, end - time.monotonic()))):
                return

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()

    def _watch(self, app: faust.App) -> None:
        """Beat for each partition that has nothing left or whose committed offset moves, as Kafka itself tells it.

        While Kafka does not answer, or something else is waited for, nothing is expected.
        """
        stall_s = self._settings.stall_s
        progress = GroupProgress(self._settings, f"{self._settings.topic_prefix}-{self._agent}", min(30.0, stall_s / 4))
        moved: dict[tuple[str, int], int] = {}
        while not self._stopping.is_set():
            time.sleep(min(10.0, stall_s / 8))
            try:
                left = progress.left((tp.topic, tp.partition) for tp in app.consumer.assignment())
                self._health.ready("broker")
            except BrokerUnavailable as exc:
                self._health.not_ready(f"Kafka does not answer: {exc}", "broker")
                self._watchdog.renew(_ASSIGNMENT)
                left = {}
            for gone in moved.keys() - left.keys():
                self._watchdog.rest(_behind(*gone))
            waits = self._health.has("state") or self._health.has("kafka")
            for tp, (position, end) in left.items():
                if waits or position == end or moved.get(tp) != position:
                    self._watchdog.beat(_behind(*tp))
            moved = {tp: position for tp, (position, _) in left.items()}

    def _show_lag(self, app: faust.App, last: RawRecord) -> None:
        high = app.consumer.highwater(faust.types.TP(last.topic, last.partition))
        if high is not None:
            metrics.LAG.labels(last.topic, str(last.partition)).set(max(0, high - last.offset - 1))

    def _build_runner(self) -> Runner:
        settings = self._settings
        codec = codec_of(settings, self._health)
        hasher = KeyedHasher(settings.hash_key)
        letters = DeadLetters(
            settings.topic("deadletter"), codec, Sealer(settings.deadletter_public_keys), settings.topic_partitions
        )
        ids = topic_ids(settings, self._topics)
        runner: Runner
        # What one of them needs takes seconds and 100 to 200 MB to load: Presidio and spaCy here, SciPy there.
        if self._store is not None:
            from streams.runners.curate import CurateRunner

            runner = CurateRunner(settings, codec, self._store, hasher, letters, ids, curation.load(settings.curation))
        else:
            from streams.redaction import configured
            from streams.runners.redact import RedactRunner

            redactor = configured.redactor(settings, hasher)
            runner = RedactRunner(settings, codec, redactor, hasher, letters, ids, self._diversion)
        gc.freeze()  # what was loaded stays: the collector need not look at it again with every batch
        return runner


class _Others:
    """The agents whom `overflow` lets go first."""

    def __init__(self, settings: Settings) -> None:
        self._most = _BEHIND_BATCHES * settings.batch_events
        self._read = [
            (GroupProgress(settings, f"{settings.topic_prefix}-{agent}"), read_by(settings, agent))
            for agent in ("redact", "curate")
        ]

    def are_behind(self) -> bool:
        """Whether one of them has more to do than is always on its way; not if Kafka does not tell."""
        try:
            return any(sum(map(group.behind, topics)) > self._most for group, topics in self._read)
        except BrokerUnavailable:
            return False


def _consumer(app: faust.App) -> intake.Consumer:
    return cast(intake.Consumer, app.consumer)


def _behind(topic: str, partition: int) -> str:
    return f"{topic}/{partition} has records, and none is acknowledged"


def _raw(record: Any, reentry: str) -> RawRecord:
    """A record of aiokafka as the runner takes it; on topic `reentry` what its headers say of its origin counts."""
    source, timestamp_ms, attempts = record.topic, record.timestamp, 0
    if record.topic == reentry and (origin := origin_of(record.headers)) is not None:
        source, timestamp_ms, attempts = origin
    return RawRecord(
        record.topic, record.partition, record.offset, _bounded(timestamp_ms), record.value, source, attempts
    )


def _bounded(timestamp_ms: int) -> int:
    """A record's time by its producer's clock, unless that is off: then the earliest possible, or now."""
    return max(EARLIEST_OCCURRED_AT // 1_000, min(timestamp_ms, int(time.time() * 1_000)))


def _credentials(settings: Settings) -> faust.SASLCredentials | faust.SSLCredentials | None:
    protocol = settings.kafka_security_protocol
    if protocol == "PLAINTEXT":
        return None
    context: ssl.SSLContext | None = None
    if protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=settings.kafka_ssl_ca or None)
        if settings.kafka_ssl_certificate:
            context.load_cert_chain(settings.kafka_ssl_certificate, settings.kafka_ssl_key or None)
    if protocol == "SSL":
        return faust.SSLCredentials(context)
    return faust.SASLCredentials(
        username=settings.kafka_sasl_username,
        password=settings.kafka_sasl_password,
        mechanism=settings.kafka_sasl_mechanism,
        ssl_context=context,
    )


def _die(why: str, cause: BaseException | None = None) -> None:
    die(EXIT_FATAL, why, cause or sys.exception())
