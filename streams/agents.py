"""The two Faust agents, `redact` and `curate`, each a process of its own in a consumer group of its own.

Faust's obvious usage loses events: an agent that raises has acknowledged its event all the same, and `take` does so in
`finally`. So the loop below never raises, takes without acknowledging, and acknowledges once the outcome is durable.
Faust's own offsets and intake are replaced by those of `streams.intake`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import random
import signal
import ssl
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, Protocol, TypeVar

import faust
from faust.types import EventT

from streams import intake, metrics
from streams.brokers import GaplessProducer, await_topics, topic_ids
from streams.errors import DeliveryFailed, TransientError
from streams.metrics import Health
from streams.redaction.hashing import KeyedHasher
from streams.redaction.sealing import Sealer
from streams.reentry import origin_of
from streams.registry import codec_of
from streams.runners import Batch, RawRecord
from streams.runners.dead_letters import DeadLetters
from streams.settings import Settings
from streams.stages.redact import EARLIEST_OCCURRED_AT
from streams.state import StateStore, open_state

AgentName = Literal["redact", "curate"]
AGENTS: Final[tuple[AgentName, ...]] = ("redact", "curate")

EXIT_FATAL: Final = 70
"""Exit status when the process must not go on: its batch is not acknowledged, and another run takes it up."""

LOGGER: Final = logging.getLogger("millrace.agents")
_MAX_WAIT_S: Final = 30.0
_COMMIT_EVERY_S: Final = 0.5
_SESSION_S: Final = 10.0
"""How long Kafka waits for a worker that was killed before another takes its partitions; Faust's own is a minute."""
T = TypeVar("T")


class Runner(Protocol):
    """What an agent feeds with batches."""

    def process(self, records: Sequence[RawRecord]) -> Batch:
        """See `streams.runners`."""
        ...


def serve(settings: Settings, agent: AgentName, report: bool = False, supervised: bool = False) -> None:
    """Run one agent until SIGTERM or SIGINT, or `supervised` until its parent process is gone.

    With `report`, the last line on stdout says what was done, as JSON.
    """
    settings.require("hash_key", "deadletter_public_keys")
    health = Health()
    stop_serving = metrics.serve(settings.metrics_host, settings.metrics_port, health)
    try:
        asyncio.run(_run(settings, agent, health, supervised))
    finally:
        stop_serving()
    if report:
        print(json.dumps({"agent": agent, **metrics.stage_report()}), flush=True)


async def _run(settings: Settings, agent: AgentName, health: Health, supervised: bool) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    if supervised:
        _stop_with_parent(loop, stopping)
    building = asyncio.create_task(asyncio.to_thread(_AgentWorker, settings, agent, health))
    await asyncio.wait([building, asyncio.create_task(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
    if not building.done():
        os._exit(0)  # still waiting for a dependency, in a thread that cannot be stopped; nothing was begun
    worker = building.result()
    app = worker.app()
    try:
        await app.start()
    except Exception:
        _die("the intake could not start")  # asyncio.run would wait for Faust's tasks for ever
    LOGGER.info("agent started", extra={"fields": {"agent": agent}})
    if (await app.wait(stopping.wait())).stopped:
        health.not_ready("crashed")
        _die("the intake ended by itself", app.crash_reason)
    health.not_ready("stopping")
    await app.stop()
    worker.close()
    LOGGER.info("agent stopped", extra={"fields": {"agent": agent}})


class _AgentWorker:
    """One agent with its runner, producer and state."""

    def __init__(self, settings: Settings, agent: AgentName, health: Health) -> None:
        await_topics(settings, health)
        self._settings = settings
        self._agent = agent
        self._health = health
        self._producer = GaplessProducer(settings)
        self._store: StateStore | None = open_state(settings) if agent == "curate" else None
        self._topics = (
            [*settings.tenant_of_source, settings.topic("reentry")]
            if agent == "redact"
            else [settings.topic("redacted"), settings.topic("replay")]
        )
        self._runner = self._build_runner()
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
            consumer_max_fetch_size=12_582_912,
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
        limits = intake.Limits(settings.batch_events, settings.batch_bytes)
        intake.use(app, limits)  # before the agent is declared
        topic = app.topic(*self._topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

        @app.agent(topic, concurrency=1, name=self._agent)
        async def consume(stream: Any) -> None:
            async for events in intake.batches(stream, limits, settings.batch_wait_s):
                await self._batch(app, events)

        @app.on_partitions_assigned.connect
        async def ready(*_: Any, **__: Any) -> None:
            self._health.ready()

        return app

    def close(self) -> None:
        """Let go of the state and the scratch folder."""
        self._scratch.cleanup()
        if self._store is not None:
            self._store.close()

    async def _batch(self, app: faust.App, events: Sequence[EventT[Any]]) -> None:
        """One batch; never raises.

        1 process → 2 produce, every delivery acknowledged by Kafka → 3 merge the state → 4 acknowledge in offset
        order. A dependency that is away is waited for in place; anything else that goes wrong ends the process with
        the batch unacknowledged.
        """
        if self._abandoned:
            return  # what comes after a batch that was not acknowledged must not be either
        start = time.perf_counter()
        reentry = self._settings.topic("reentry")
        records = [_raw(record, reentry) for event in events for record in event.value]
        try:
            # 1
            batch = await self._answered(app, lambda: self._runner.process(records))
            # 2
            await asyncio.to_thread(self._producer.deliver, batch.outgoing)
            # 3
            if self._store is not None and batch.changes:
                store, ttl_s = self._store, self._settings.state_days * 86_400
                await self._answered(app, lambda: store.merge(batch.changes, ttl_s))
        except asyncio.CancelledError:
            # Told to stop while waiting: not acknowledged, so the next run reads it again.
            self._abandoned = True
            return
        except DeliveryFailed:
            _die("Kafka refused a record for good")
        except Exception:
            _die("a batch failed for no known reason")
        # 4
        for event in events:
            event.ack()
        metrics.BATCH_SECONDS.labels(self._agent).observe(time.perf_counter() - start)
        for record in {(record.topic, record.partition): record for record in records}.values():
            self._show_lag(app, record)

    async def _answered(self, app: faust.App, call: Callable[[], T]) -> T:
        """Call in a thread until the dependencies answer, with growing, jittered waits."""
        wait_s = 0.1
        while True:
            try:
                result = await asyncio.to_thread(call)
                self._health.ready()
                return result
            except TransientError as exc:
                kind = type(exc).__name__
                self._health.not_ready(kind)
                LOGGER.warning("waiting for a dependency", extra={"fields": {"error": kind, "wait_s": wait_s}})
                if app.should_stop:
                    raise asyncio.CancelledError from exc
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
                wait_s = min(_MAX_WAIT_S, wait_s * 2)

    def _show_lag(self, app: faust.App, last: RawRecord) -> None:
        high = app.consumer.highwater(faust.types.TP(last.topic, last.partition))
        if high is not None:
            metrics.LAG.labels(last.topic, str(last.partition)).set(max(0, high - last.offset - 1))

    def _build_runner(self) -> Runner:
        settings = self._settings
        codec = codec_of(settings)
        hasher = KeyedHasher(settings.hash_key)
        letters = DeadLetters(
            settings.topic("deadletter"), codec, Sealer(settings.deadletter_public_keys), settings.topic_partitions
        )
        ids = topic_ids(settings, self._topics)
        runner: Runner
        # What one of them needs takes seconds and 100 to 200 MB to load: Presidio and spaCy here, SciPy there.
        if self._store is not None:
            from streams.runners.curate import CurateRunner

            runner = CurateRunner(settings, codec, self._store, hasher, letters, ids)
        else:
            from streams.redaction import configured
            from streams.runners.redact import RedactRunner

            runner = RedactRunner(settings, codec, configured.redactor(settings, hasher), hasher, letters, ids)
        gc.freeze()  # what was loaded stays: the collector need not look at it again with every batch
        return runner


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
    LOGGER.critical(why, exc_info=cause or True)
    logging.shutdown()
    os._exit(EXIT_FATAL)


def _stop_with_parent(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    """Stop when the supervising process is gone: nobody would ever stop this one."""
    parent = os.getppid()

    def look() -> None:
        if os.getppid() != parent:
            stopping.set()
        else:
            loop.call_later(1.0, look)

    look()
